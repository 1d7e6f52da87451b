"""How every DVC stage starts: `python -m pipeline.stages STAGE NAME`, run by DVC in the workspace."""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime import fork_server, process

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.io.paths import Workspace


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
    process.run(partial(run, arguments.stage), arguments.name)


def run(stage: str, workspace: Workspace, params: Params, item: str) -> None:
    """Run a stage on an item, then show what it saved in MLflow, unless the stage did that while it worked."""
    from pipeline.io import leftovers
    from pipeline.runtime.environment import prepare_environment
    from pipeline.tracking.stage_table import STAGES

    prepare_environment()
    leftovers.refuse(workspace, params)
    importlib.import_module(f"pipeline.stages.{stage}").main(workspace, params, item)
    if not STAGES[stage].logs_live:
        from pipeline.tracking import publish

        publish.publish(workspace, params, stage, item)


def stages() -> list[str]:
    """The stages there are: one module each."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))


if __name__ == "__main__":
    main()
