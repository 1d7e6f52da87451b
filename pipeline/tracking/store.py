"""The store of MLflow: where it lies, its client and experiments, the lock that guards upserts, reports of failures."""

import contextlib
import functools
import logging
import os
import re
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.runtime.environment import PARENT_RUN_VARIABLE

DATABASE = "mlflow.db"
DEFAULT_URI = f"sqlite:///{DATABASE}"
# A file with SQLAlchemy's options, such as `?timeout=30`; a database in memory would vanish with each process.
SQLITE_FILE = re.compile(r"sqlite(\+pysqlite)?:///(?!:memory:|file:)(?P<path>[^?]+)(?P<options>\?.*)?")
PASSWORD = re.compile(r"(://[^:/?#@]*:).*@")
# Of the servers that are reached through a driver of SQLAlchemy's.
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

# Raised for refused requests, a locked or foreign database, a dead server, a full disk.
MLFLOW_ERRORS = (MlflowException, sqlite3.Error, OSError)

# Codes with which a server refuses requests; all of them where another workspace has just written or deleted the same.
DOES_NOT_EXIST, EXISTS_ALREADY = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
RACES = (DOES_NOT_EXIST, EXISTS_ALREADY, "BAD_REQUEST", "INVALID_PARAMETER_VALUE")
MAX_ATTEMPTS = 3

NO_ADDRESS = "not an address that MLflow records at"
NOT_UTF8 = "the name of the database's folder is not UTF-8, which MLflow cannot store"
# What the text of a failure tells, by a regular expression, and what to do then.
REMEDIES = {
    "database is locked|file lock": "{store} is in use: wait for the program that writes to it, or end it",
    "out-of-date database schema": "{store} is whole, but another version of MLflow wrote it. Record with that one or, "
    "if it was an older one, copy the database and run `mlflow db upgrade '{uri}'`",
    "file is not a database|malformed": "{store} is damaged: put a copy in its place, or move it away, by which only "
    "the decisions about champions are lost",
    f"{NO_ADDRESS}|Failed to parse|unsupported URI": "Set MLFLOW_TRACKING_URI to http://HOST:PORT, or to a database, "
    "such as sqlite:///mlflow.db",
    NOT_UTF8: "Rename the folder, or set MLFLOW_TRACKING_URI to a database elsewhere",
    "No module named": "Install the driver of that database, or record on an MLflow server",
}

LOCK_TIMEOUT = 120.0
PROBE_TIMEOUT = 5.0

# Columns of MLflow's SQLite schema with the absolute paths of artifacts.
ARTIFACT_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def persistent(action: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Repeat an idempotent action that failed because another workspace wrote to the same server.

    Servers refuse what two workspaces write at once: the name of a dataset, a run that the other has just deleted.
    """

    @functools.wraps(action)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return action(*args, **kwargs)
            except MlflowException as error:
                if error.error_code not in RACES:
                    raise
        return action(*args, **kwargs)

    return wrapper


@dataclass(frozen=True)
class Location:
    """Where runs are recorded; `artifact_root` and `database` are None if that is a server."""

    uri: str
    artifact_root: Path | None
    database: Path | None
    lock: Path

    @property
    def shown(self) -> str:
        """The URI as it may be printed, however malformed: without a password."""
        return PASSWORD.sub(r"\1***@", self.uri)


def quoted(path: Path | str) -> str:
    """A path as part of an address, in which `%` begins an escape, `?` a query and `#` a fragment."""
    return re.sub("[%?#]", lambda found: f"%{ord(found[0]):02X}", str(path))


def sqlite_uri(database: Path, options: str = "") -> str:
    """The address of a SQLite file."""
    path = quoted(database)
    # MLflow makes the folder of what follows `sqlite:///`, without decoding it.
    driver = "sqlite" if path + options == str(database) else "sqlite+pysqlite"
    return f"{driver}:///{path}{options}"


def find_location(workspace: Workspace) -> Location:
    """MLFLOW_TRACKING_URI if set, otherwise DATABASE in the project's root.

    The root is DVC_ROOT if set: `dvc exp run --temp` works in a temporary folder, and its runs must outlive it. A
    relative SQLite path is relative to the root too. Each database has an artifact folder of its own beside it, because
    `sync` removes from there what the database does not know.
    """
    root = Path(os.environ.get("DVC_ROOT") or workspace.root).resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    file = SQLITE_FILE.fullmatch(uri)
    if file is None:
        return Location(uri, artifact_root=None, database=None, lock=root / ".mlflow.lock")
    database = root / unquote(file["path"])
    if database.name == DATABASE:
        artifacts = "mlartifacts"
    else:
        artifacts = f"{database.stem}-mlartifacts" if database.suffix == ".db" else f"{database.name}.mlartifacts"
    folder = database.parent
    uri = sqlite_uri(database, file["options"] or "")
    return Location(uri, folder / artifacts, database, folder / ".mlflow.lock")


@dataclass(frozen=True)
class Store:
    """An MLflow store that could be reached; `root` is the folder of the workspace."""

    client: MlflowClient
    location: Location
    root: Path

    def lock(self) -> FileLock:
        """The lock under which runs are written: two processes at once would make two runs of equal outputs."""
        return FileLock(self.location.lock, timeout=LOCK_TIMEOUT)

    def parent_run(self) -> str | None:
        """The run of `mlflow run`, if it is in this store."""
        run_id = os.environ.get(PARENT_RUN_VARIABLE)
        if not run_id:
            return None
        try:
            return self.client.get_run(run_id).info.run_id
        except MlflowException:
            return None

    @persistent
    def ensure_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """The id of an experiment, which is created, restored, or moved along with the project if necessary."""
        root, database = self.location.artifact_root, self.location.database
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            # Refused if another workspace that shares the server is quicker; it is found the next time.
            location = None if root is None else quoted(root / name)
            return self.client.create_experiment(name, artifact_location=location, tags=dict(tags))
        if experiment.lifecycle_stage != "active":
            self.client.restore_experiment(experiment.experiment_id)
        if root is not None and database is not None:
            follow_move(database, root, experiment)
        return experiment.experiment_id


def connect(workspace: Workspace) -> Store:
    """Open the store of a workspace, and create its database if there is none yet.

    Raises one of MLFLOW_ERRORS when it cannot be reached.
    """
    location = find_location(workspace)
    if location.database is None:
        _probe(location.uri)
    elif not _is_utf8(location.database):
        raise MlflowException(NOT_UTF8)
    if location.database is not None and location.database.exists():
        # Without the lock, for which a project that may only be read has no place.
        return Store(_open(location.uri), location, workspace.root)
    location.lock.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that create the same database at once both fail.
    with FileLock(location.lock, timeout=LOCK_TIMEOUT):
        if location.database is not None and not location.database.exists():
            _make_database(location.database)
        return Store(_open(location.uri), location, workspace.root)


def _probe(uri: str) -> None:
    """Notice a malformed address, a closed port or a dead host within seconds; MLflow's client would try for minutes.

    Raises one of MLFLOW_ERRORS.
    """
    if uri.startswith(("http://", "https://")):
        # Any answer counts, even a certificate that only MLflow is configured to trust.
        with contextlib.suppress(requests.exceptions.SSLError):
            requests.get(uri, timeout=PROBE_TIMEOUT)
    elif uri.partition("://")[0].partition("+")[0] in PORTS:
        try:
            # Without the user and the password, as SQLAlchemy finds them: they may hold any character.
            parts = urlsplit(re.sub("://[^:/]*(:[^@]*)?@", "://", uri, count=1))
            address = (parts.hostname, parts.port or PORTS[parts.scheme.partition("+")[0]])
        except ValueError as error:
            raise MlflowException(f"{NO_ADDRESS}: {error}") from None
        # Without a host, a socket of this machine is meant.
        if address[0] is not None:
            socket.create_connection((address[0], address[1]), PROBE_TIMEOUT).close()
    elif uri.startswith(("file:", "sqlite:", "sqlite+")) or ("://" not in uri and uri != "databricks"):
        # MLflow would take it for a folder, or for a database in memory.
        raise MlflowException(NO_ADDRESS)


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _make_database(database: Path) -> None:
    """Create an empty database, whole or not at all: MLflow cannot open one that lacks some of its tables."""
    folder = database.with_name(f".{database.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        _open(sqlite_uri(folder / database.name))
        (folder / database.name).replace(database)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open(uri: str) -> MlflowClient:
    # Alembic logs every step of creating a database.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        client = MlflowClient(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except MLFLOW_ERRORS:
        raise
    except Exception as error:
        # The libraries below MLflow (database drivers, migrations) raise exceptions of their own.
        raise MlflowException(str(error)) from error
    return client


@contextlib.contextmanager
def best_effort(workspace: Workspace) -> Iterator[None]:
    """Turn errors of MLflow's into a warning: if the stage failed here, DVC would train all over again."""
    try:
        yield
    except MLFLOW_ERRORS as error:
        warn(workspace, error)


def every_page(search: Callable[..., PagedList[Result]], *arguments: Any) -> Iterator[Result]:
    """All results of a search of MLflow's client, which returns them one page at a time."""
    token: str | None = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextlib.contextmanager
def opened(workspace: Workspace) -> Iterator[Store]:
    """The store of a workspace, for commands about MLflow alone: its errors, in the block too, become PipelineError."""
    try:
        yield connect(workspace)
    except MLFLOW_ERRORS as error:
        raise PipelineError(
            f"{find_location(workspace).shown}: MLflow could not be reached or refused the request: {_brief(error)}\n"
            f"Everything that was trained is kept. {_remedy(workspace, error)}, then run `python -m pipeline sync`."
        ) from error


def require_database(workspace: Workspace, task: str) -> None:
    """Raises PipelineError when there is no database: MLflow would create an empty one."""
    database = find_location(workspace).database
    if database is not None and not database.is_file():
        raise PipelineError(
            f"{database}: expected MLflow's database, but there is none. Run `dvc repro register@{task}`, or "
            "`python -m pipeline sync` where the results are here already."
        )


def warn(workspace: Workspace, error: BaseException) -> None:
    """Report an error of MLflow's on stderr, and how to bring MLflow up to date; no result is lost."""
    sys.stderr.write(
        f"\nWARNING: MLflow at {find_location(workspace).shown} could not be reached, or refused the request: "
        f"{_brief(error)}\n"
        f"Everything trained is kept, and DVC goes on. {_remedy(workspace, error)}, then run "
        "`python -m pipeline sync`.\n\n"
    )
    sys.stderr.flush()


def _remedy(workspace: Workspace, error: BaseException) -> str:
    location, text = find_location(workspace), str(error)
    for cause, remedy in REMEDIES.items():
        if re.search(cause, text):
            return remedy.format(store=location.database or location.shown, uri=location.shown)
    if location.database is None:
        return "Check MLFLOW_TRACKING_URI or start the server"
    return f"Free space or permissions for {location.database}"


def _brief(error: BaseException) -> str:
    """The first sentence: MLflow's and SQLAlchemy's advice that follows is not about the pipeline."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].split('. ')[0][:300] if lines else '(no text)'}"


def follow_move(database: Path, root: Path, experiment: Experiment) -> None:
    """Rewrite MLflow's artifact paths after the project was moved, to below the present artifact root.

    MLflow makes every local artifact location absolute, and neither its client nor `mlflow db` changes one; a URI
    scheme of the project's own could be read only where its plugin is installed. So the tables are updated themselves.
    Runs, decisions and versions keep their ids, which making them anew would not do.
    """
    recorded, present = experiment.artifact_location, quoted(root / experiment.name)
    name = quoted(experiment.name)
    if recorded == present or not recorded.endswith(f"/{quoted(root.name)}/{name}"):
        return
    old, new = recorded.removesuffix(name), present.removesuffix(name)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table, column in ARTIFACT_COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )
