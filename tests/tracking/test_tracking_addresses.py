"""Addresses that MLflow is reached at: folders of any name, addresses with options or mistakes, what failures tell."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import loading, publish, store
from pipeline.tracking.publish import ARTIFACT_FOLDER

NAMES = ["feature%2Fx", "what?now", "a #1 & 100%", 'it\'s "so"', "Übung ±é", "a;b\\c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_project_lies_in_a_folder_of_any_name(make_stages: Callable[..., Any], tmp_path: Path, name: str) -> None:
    stages = make_stages(name)
    database = stages.workspace.root / "mlflow.db"
    stages.prepare()
    stages.train("small")
    stages.select("small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    publish.publish(stages.workspace, stages.params, "register", "mnist-classifier")
    report = publish.synchronize(stages.workspace, stages.params)
    assert (report.created, report.repaired, report.removed) == (["data: prepare@mnist"], [], [])
    assert publish.synchronize(stages.workspace, stages.params).num_changes == 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)
    files = {path.name for path in (stages.workspace.root / "mlartifacts" / "digits").rglob("*") if path.is_file()}
    assert {"history.csv", "MLmodel", "small.keras"} <= files
    version = loading.registered_version(stages.workspace, stages.params, "mnist-classifier")
    with loading.open_version(stages.workspace, version) as model:
        assert model.predict(np.zeros((2, 28, 28), np.uint8)).shape == (2, 3)
    # Nothing beside the project.
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_is_not_utf8_is_named_and_nothing_is_recorded(make_stages: Callable[..., Any]) -> None:
    stages = make_stages(os.fsdecode(b"caf\xe9"))
    before = (stages.workspace.root / "mlflow.db").read_bytes()
    stages.train("small")
    with pytest.raises(PipelineError, match=r"is not UTF-8, which MLflow cannot store\n.*Rename the folder, or set"):
        publish.synchronize(stages.workspace, stages.params)
    assert (stages.workspace.root / "mlflow.db").read_bytes() == before


def test_artifacts_of_other_programs_stay(stages: Any) -> None:
    stages.train("small")
    publish.synchronize(stages.workspace, stages.params)
    root = stages.workspace.root / "mlartifacts"
    # As `mlflow server` on another database in this folder keeps them.
    foreign = root / "1" / ("a" * 32) / "artifacts"
    orphan = root / "digits" / ("b" * 32)
    for folder in (foreign, orphan):
        folder.mkdir(parents=True)
    assert publish.synchronize(stages.workspace, stages.params).removed == [str(orphan)]
    assert foreign.is_dir()


def test_the_database_beside_the_artifacts_says_what_may_go(stages: Any, empty_database: Path) -> None:
    """Even if MLflow opened another one, as it did when a folder's name had a `?`."""
    stages.train("small")
    publish.synchronize(stages.workspace, stages.params)
    kept = {path for path in (stages.workspace.root / "mlartifacts").rglob("*") if ARTIFACT_FOLDER.fullmatch(path.name)}
    assert kept
    right = store.connect(stages.workspace)
    wrong = store.Store(store.connect(Workspace(empty_database.parent)).client, right.location, right.root)
    publish.remove_orphans(wrong, publish.SyncReport())
    assert all(path.is_dir() for path in kept)


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("sqlite:///mlflow.db", "mlartifacts"),
        ("sqlite:///mlflow.db?timeout=30", "mlartifacts"),
        ("sqlite:///a.db", "a-mlartifacts"),
        ("sqlite:///a.sqlite", "a.sqlite.mlartifacts"),
        ("sqlite:///a", "a.mlartifacts"),
        ("sqlite:////elsewhere/b%2520c.db", "b%20c-mlartifacts"),
    ],
)
def test_each_database_has_an_artifact_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, folder: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    root = store.find_location(Workspace(tmp_path)).artifact_root
    assert root is not None
    assert root.name == folder


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://me:secret@host:5000/mlflow", "https://me:***@host:5000/mlflow"),
        ("postgresql://me:se#cr/e?t@[host/db", "postgresql://me:***@[host/db"),
        ("postgresql://me:se@cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_no_password_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, shown: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store.find_location(Workspace(tmp_path)).shown == shown


def test_an_address_may_have_options(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=30")
    stages.fetch()
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert len(stages.view.runs("data")) == 1


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("my-server:5000", store.NO_ADDRESS),
        ("./mlruns", store.NO_ADDRESS),
        ("file:///mlruns", store.NO_ADDRESS),
        ("sqlite://", store.NO_ADDRESS),
        ("sqlite:///:memory:", store.NO_ADDRESS),
        ("http://[my-server]:5000", "'[my-server]:5000' is not a valid host"),
        ("postgresql://me:secret@[my-server]/mlflow", store.NO_ADDRESS),
        ("postgresql://me:secret@my-server:port/mlflow", store.NO_ADDRESS),
    ],
)
def test_a_mistake_in_an_address_is_one_warning(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str, cause: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    stages.fetch()
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert f"MLflow at {uri.replace('secret', '***')} could not be reached" in said
    assert cause in said
    assert "Set MLFLOW_TRACKING_URI to http://HOST:PORT" in said
    with pytest.raises(PipelineError, match="Set MLFLOW_TRACKING_URI to http://HOST:PORT"):
        publish.synchronize(stages.workspace, stages.params)
    assert not (stages.workspace.root / "mlruns").exists()


def test_a_database_server_that_is_away_costs_seconds(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://me:se#c/r?et@127.0.0.1:{port}/mlflow")
    stages.fetch()
    start = time.monotonic()
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    assert time.monotonic() - start < 10
    said = capsys.readouterr().err
    assert f"postgresql+psycopg://me:***@127.0.0.1:{port}/mlflow could not be reached" in said
    assert "Connection refused" in said
    assert "start the server" in said


def test_a_locked_database_is_not_called_damaged(stages: Any) -> None:
    database = stages.workspace.root / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PipelineError, match=r"is locked\n.*wait for the program that writes to it") as told:
            publish.synchronize(stages.workspace, stages.params)
    assert "move it away" not in str(told.value)


def test_a_database_of_another_version_of_mlflow_is_not_called_damaged(stages: Any) -> None:
    database = stages.workspace.root / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(PipelineError, match=r"schema \(found version ffffffffffff, but expected \w+\)\n") as told:
        publish.synchronize(stages.workspace, stages.params)
    assert "is whole, but another version of MLflow wrote it" in str(told.value)
    assert "move it away" not in str(told.value)


def test_a_damaged_database_is_called_so(stages: Any) -> None:
    (stages.workspace.root / "mlflow.db").write_text("this is no database " * 100)
    with pytest.raises(PipelineError, match=r"file is not a database\n.*only the decisions about champions are lost"):
        publish.synchronize(stages.workspace, stages.params)
