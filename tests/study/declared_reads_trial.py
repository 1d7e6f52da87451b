"""Run the stages of dvc.yaml in the working folder, and print as JSON which files of the project each one read.

Run as `python declared_reads_trial.py STAGE...`, with the names that DVC has. Their runs in MLflow are not made,
because what these show beside the stage's own outputs decides on no output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from pipeline.config.load import load_params
from pipeline.io.paths import Workspace


def main(stages: Sequence[str]) -> None:
    root = Path.cwd().resolve()
    # Its functions give a context in which runs are logged.
    sys.modules["pipeline.tracking.live"] = MagicMock()
    read: dict[str, set[str]] = {stage: set() for stage in stages}
    running: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not running or not isinstance(arguments[0], str | bytes):
            return
        path, flags = Path(os.fsdecode(arguments[0])).absolute(), arguments[2]
        is_read = isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY
        if is_read and path.is_relative_to(root) and path.is_file():
            read[running[-1]].add(str(path.relative_to(root)))

    sys.addaudithook(hear)
    workspace, params = Workspace(root), load_params(root)
    for stage in stages:
        group, _, item = stage.partition("@")
        running.append(stage)
        importlib.import_module(f"pipeline.stages.{MODULES.get(group, group)}").main(workspace, params, item or "all")
        running.pop()
    json.dump({stage: sorted(paths) for stage, paths in read.items()}, sys.stdout)


# Variants are trained by one module, whatever their group.
MODULES = dict.fromkeys(("train", "warm_start", "train_swept", "derive", "transfer", "regress"), "train")

if __name__ == "__main__":
    main(sys.argv[1:])
