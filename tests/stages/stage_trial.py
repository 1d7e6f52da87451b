"""Run stages in a process of their own, because a process has one Keras backend, without MLflow.

Run as `python stage_trial.py STAGE:NAME...` in a workspace. Prints, as JSON, the SHA-256 of all files below data/ after
each stage.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from pipeline.config.load import load_params
from pipeline.io import storage
from pipeline.io.paths import Workspace


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): storage.sha256(path) for path in folder.rglob("*") if path.is_file()}


def main(stages: list[str]) -> None:
    workspace = Workspace(Path.cwd())
    after = []
    for stage, _, name in (argument.partition(":") for argument in stages):
        importlib.import_module(f"pipeline.stages.{stage}").main(workspace, load_params(workspace.root), name)
        after.append(hashes(workspace.root / "data"))
    json.dump(after, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
