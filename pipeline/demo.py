"""The demonstration: all stages on small embedded data, in a workspace of its own below the project."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pipeline import entry, lanes, progress
from pipeline.errors import PipelineError
from pipeline.paths import Workspace

FOLDER = ".demo"
PARAMS = Path("demo") / "params.yaml"
# What the workspace has in common with the full study.
SHARED = ("dvc.yaml", "reported_results.yaml", "pipeline", "benchmarks/block_costs.csv")
# A stage can take 1 GB of memory.
MAX_LANES = 4
DVC_CONFIG = "[core]\n    no_scm = True\n    analytics = false\n    check_update = false\n"


def prepare(project: Path) -> Workspace:
    """Make or refresh the demo's workspace, and return it; what its stages have made stays.

    Raises PipelineError when `project` is not the project's root.
    """
    folder = project / FOLDER
    missing = [name for name in (*SHARED, str(PARAMS)) if not (project / name).exists()]
    if missing:
        raise PipelineError(f"{project}: expected the project's root, but {', '.join(missing)} is missing there.")
    try:
        _fill(project, folder)
    except OSError as error:
        raise PipelineError(
            f"{folder}: cannot be written: {error}. Free space or permissions, then run it again."
        ) from None
    return Workspace(folder)


def reproduce(workspace: Workspace) -> None:
    """Run the stages that are not up to date, on all cores. Raises PipelineError when one fails."""
    # DVC_ROOT would lead the runs to the store of a surrounding `dvc` command.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    environment["DVC_NO_ANALYTICS"] = "true"
    # Stages are started as `python -m ...`, which must be this Python.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    needs = lanes.stale_stages(workspace.root)
    with progress.stages(len(needs)) as listener:

        def on_finished(finished: lanes.Finished) -> None:
            listener(finished.stage, finished.seconds, finished.failed)

        failure = lanes.run(
            workspace.root,
            needs,
            num_lanes=_num_cores(),
            environment=environment,
            on_start=entry.prepare_process,
            on_finished=on_finished,
        )
    if failure:
        raise PipelineError(
            f"the demo stopped at {failure.stage}, which printed:\n\n{failure.printed.strip()}\n\n"
            f"Mend what it names, then run it again: it goes on where it stopped. "
            f"To begin anew, delete {workspace.root}."
        )


def _num_cores() -> int:
    # The cores that this process may use: in a container that can be fewer than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, MAX_LANES)


def _fill(project: Path, folder: Path) -> None:
    for name in SHARED:
        _replace(project / name, folder / name)
    _replace(project / PARAMS, folder / "params.yaml")
    config = folder / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(DVC_CONFIG)


def _replace(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(destination, ignore_errors=True)
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, destination)
