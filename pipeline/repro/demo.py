"""The demonstration: all stages on small embedded data, in a workspace of its own below the project."""

import shutil
from pathlib import Path

from pipeline.config.load import FILES
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.repro import parallel

FOLDER = ".demo"
# The folder of the demo's parameters, in files of the same names as those of the full study.
PARAMS = "demo"
# What the workspace shares with the full study.
SHARED = (
    "dvc.yaml",
    "reported_results.yaml",
    "pipeline",
    "benchmarks/block_costs.csv",
    "benchmarks/updates.csv",
    "docs/findings.md.jinja",
)
DVC_CONFIG = "[core]\n    no_scm = True\n    analytics = false\n    check_update = false\n"


def prepare(project: Path) -> Workspace:
    """Make or refresh the demo's workspace in the project's root, and return it; the outputs of its stages stay."""
    folder = project / FOLDER
    try:
        fill(project, folder)
    except OSError as error:
        raise PipelineError(
            f"{folder}: cannot be written: {error}. Free space or permissions, then run it again."
        ) from None
    return Workspace(folder)


def fill(project: Path, folder: Path) -> None:
    """Copy what the demo's stages start from into a folder, in place of what was copied before."""
    for name in SHARED:
        copy(project / name, folder / name)
    for file in FILES:
        copy(project / PARAMS / file, folder / file)
    config = folder / ".dvc" / "config"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(DVC_CONFIG)


def require_project(project: Path) -> None:
    """Raises PipelineError when `project` is not the project's root."""
    missing = [name for name in (*SHARED, *(f"{PARAMS}/{file}" for file in FILES)) if not (project / name).exists()]
    if missing:
        raise PipelineError(f"{project}: expected the project's root, but {', '.join(missing)} is missing there.")


def reproduce(workspace: Workspace) -> None:
    """Run the stages that are not up to date. Raises PipelineError when one fails."""
    parallel.reproduce(workspace, subject="the demo", advice=f"To begin anew, delete {workspace.root}.")


def copy(source: Path, destination: Path) -> None:
    """Copy a file, or a folder without compiled code, in place of what was there; nothing where there is none."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(destination, ignore_errors=True)
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copy2(source, destination)
