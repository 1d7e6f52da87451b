"""`python -m pipeline` in the process of the tests, where a command needs no Keras: it saves seconds of imports."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from pipeline import cli


@dataclass(frozen=True)
class Answer:
    """What a process would have ended with."""

    returncode: int
    stdout: str
    stderr: str


def call(root: Path, *arguments: str, columns: int = 200) -> Answer:
    """Run a command in a folder, with its output in pipes and not on a terminal."""
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(root),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns), "NO_COLOR": "1"}),
        mock.patch.object(sys, "argv", ["pipeline", *arguments]),
    ):
        try:
            cli.main()
        except SystemExit as end:
            # As Python does: a text is printed, and the status is 1.
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Answer(status, output.getvalue(), errors.getvalue())
