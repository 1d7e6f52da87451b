"""How every DVC stage starts: `python -m pipeline.stages STAGE NAME`, run by DVC in the workspace."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from pipeline.runtime import fork_server, process


def main() -> None:
    """Run a stage: in a fork where there is a server that forks, before anything is imported that takes time."""
    process.prepare_process()
    status = fork_server.run_main_module()
    if status is not None:
        sys.exit(status)
    parser = argparse.ArgumentParser(prog="python -m pipeline.stages", description="Run a stage, as dvc.yaml does.")
    parser.add_argument("stage", choices=stages(), metavar="STAGE", help=f"one of {', '.join(stages())}")
    parser.add_argument(
        "name", metavar="NAME", help="the item of the parameters that the stage works on, or DVC's name: STAGE@ITEM"
    )
    arguments = parser.parse_args()
    process.run(importlib.import_module(f"pipeline.stages.{arguments.stage}").main, arguments.name)


def stages() -> list[str]:
    """The stages there are: one module each."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "__main__", "fitting")
    )


if __name__ == "__main__":
    main()
