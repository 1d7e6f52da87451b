"""The location of MLflow's store."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.io.paths import Workspace

SQLITE = "sqlite:///"
DATABASE = "mlflow.db"


@dataclass(frozen=True)
class Location:
    """Where runs are recorded; `artifact_root` and `database` are None if that is a server."""

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
