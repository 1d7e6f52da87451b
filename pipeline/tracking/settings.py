"""What must stand in the environment before MLflow is imported, and where MLflow's store lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.io.paths import Workspace

# The run of `mlflow run`, moved here from MLFLOW_RUN_ID, which would make MLflow resume and rename that run.
PARENT_RUN_VARIABLE = "PIPELINE_PARENT_RUN_ID"

# Defaults, where the user has not set the variable. MLflow's own retries keep a stage waiting for minutes.
QUIET_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# What `mlflow run` exports to say where fluent calls log to; each run here states its experiment itself.
REDIRECTIONS = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")

SQLITE = "sqlite:///"
DATABASE = "mlflow.db"


@dataclass(frozen=True)
class Location:
    """Where runs are recorded: `artifact_root` is None where a server decides that itself."""

    uri: str
    artifact_root: Path | None
    database: Path | None
    lock: Path

    @property
    def shown(self) -> str:
        """The URI as it may be printed: without a password."""
        parts = urlsplit(self.uri)
        if parts.password is None:
            return self.uri
        return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"))


def prepare_environment() -> None:
    """Quiet MLflow, shorten its retries, and take what `mlflow run` exports out of its way."""
    for name, value in QUIET_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in REDIRECTIONS:
        os.environ.pop(name, None)
    parent = os.environ.pop("MLFLOW_RUN_ID", None)
    if parent:
        os.environ[PARENT_RUN_VARIABLE] = parent


def find_location(workspace: Workspace) -> Location:
    """MLFLOW_TRACKING_URI if set, otherwise DATABASE in the project's root.

    The root is DVC_ROOT if set: `dvc exp run --temp` works in a temporary folder, and its runs must outlive it. A
    relative SQLite path is relative to the root too. Each database has an artifact folder of its own beside it, because
    `sync` removes from there what the database does not know.
    """
    root = Path(os.environ.get("DVC_ROOT") or workspace.root).resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DATABASE}"
    if not uri.startswith(SQLITE):
        return Location(uri, artifact_root=None, database=None, lock=root / ".mlflow.lock")
    database = root / unquote(uri.removeprefix(SQLITE))
    folder = database.parent
    artifacts = "mlartifacts" if database.name == DATABASE else f"{database.stem}-mlartifacts"
    return Location(f"{SQLITE}{database}", folder / artifacts, database, folder / ".mlflow.lock")
