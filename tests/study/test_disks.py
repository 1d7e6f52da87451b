"""Disks that are full or read-only, damaged files, and two `dvc repro` at once."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import pytest

from tests.study.mlflow_view import aliases, summary
from tests.study.workspace import LIMIT, MODEL, RESULTS, Built, Study, command_of


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 MiB; the test is skipped where none may be mounted."""
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"full disk: mount cannot be run: {error}")
    if mounted.returncode:
        pytest.skip(f"full disk: mounting a small one is not permitted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Disk:
    """What a stage and sync say on a disk that is full, and on one that is read-only."""

    said: dict[str, subprocess.CompletedProcess[str]]
    kept: bool
    content: dict[str, str]
    changes: str
    sync: str
    statuses: set[str]


@pytest.fixture(scope="module")
def disk(copy_study: Callable[[], Study]) -> Disk:
    """Fill the disk of a workspace, then make it read-only, then have it as it was."""
    study = copy_study()
    with small_disk(study.root.parent / "disk") as folder:
        there = study.copy(folder / "a study")
        before = there.content()
        said = {}
        with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1 << 12))
        said["full train"] = there.stage("train", "penalized")
        said["full sync"] = there.run(*command_of("sync"), check=False)
        (folder / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        said["read-only train"] = there.stage("train", "penalized")
        said["read-only sync"] = there.run(*command_of("sync"), check=False)
        kept = there.content() == before
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        there.run(*command_of("train@penalized"))
        sync = there.sync()
        statuses = {run.info.status for _, run in there.runs()}
        return Disk(said, kept, there.content(), there.git("status", "--porcelain"), sync, statuses)


@pytest.mark.parametrize(
    ("trouble", "cause"), [("full", "No space left on device"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_nothing_is_named(disk: Disk, trouble: str, cause: str) -> None:
    training, sync = disk.said[f"{trouble} train"], disk.said[f"{trouble} sync"]
    assert training.returncode == 1
    assert re.search(rf"^error: .*: cannot be written: {cause}\. Nothing was left half-written", training.stderr, re.M)
    assert "free space or permissions, then run the same command again" in training.stderr
    assert sync.returncode in (0, 1)
    for said in (training, sync):
        assert "Traceback" not in said.stderr


def test_a_read_only_workspace_cannot_be_synchronized(disk: Disk) -> None:
    assert disk.said["read-only sync"].returncode == 1
    assert "Everything that was trained is kept. Free space or permissions" in disk.said["read-only sync"].stderr


def test_a_disk_that_takes_nothing_loses_nothing(built: Built, disk: Disk) -> None:
    assert disk.kept
    assert disk.content == built.study.content()
    assert disk.changes == ""
    assert "RUNNING" not in disk.statuses


@dataclass(frozen=True)
class Damaged:
    cache: set[str]
    evaluation: subprocess.CompletedProcess[str]
    comparison: subprocess.CompletedProcess[str]
    registration: subprocess.CompletedProcess[str]
    sync: subprocess.CompletedProcess[str]
    mended: set[str]
    content: dict[str, str]
    changes: str
    last_sync: str
    study: Study


@pytest.fixture(scope="module")
def damaged(copy_study: Callable[[], Study]) -> Damaged:
    """Damage a file of DVC's cache, then a model and a history, then the database of MLflow."""
    study = copy_study()
    digest = md5((study.root / MODEL).read_bytes()).hexdigest()
    cached = study.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-1000] + bytes(1000))
    (study.root / MODEL).unlink()
    cache = study.repro("train@penalized")
    for path in (MODEL, RESULTS / "history.csv"):
        damage(study.root / path)
    evaluation, comparison = study.stage("evaluate", "extras"), study.stage("compare", "extras")
    mended = study.repro()
    damage(study.root / "mlflow.db")
    registration = study.stage("register", "digit-classifier")
    sync = study.run(*command_of("sync"), check=False)
    (study.root / "mlflow.db").rename(study.root.parent / "moved.db")
    again = study.sync()
    changes = study.git("status", "--porcelain")
    return Damaged(cache, evaluation, comparison, registration, sync, mended, study.content(), changes, again, study)


def damage(path: Path) -> None:
    """As a disk does that loses a block; what DVC has linked to its cache is not written through."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(b"\0" * 100 + content[100:])


def test_a_damaged_file_of_the_cache_is_made_again(built: Built, damaged: Damaged) -> None:
    assert damaged.cache == {"train@penalized"}
    assert damaged.content == built.study.content()
    assert damaged.changes == ""


def test_a_damaged_model_or_history_is_named_and_mended_by_repro(damaged: Damaged) -> None:
    for said, path in ((damaged.evaluation, MODEL), (damaged.comparison, RESULTS / "history.csv")):
        assert said.returncode == 1
        assert re.search(rf"^error: .*{path}: expected .*the file is damaged", said.stderr, re.M), said.stderr
        assert "Delete it, then run `dvc repro` to make it again." in said.stderr
        assert "Traceback" not in said.stderr
    assert damaged.mended <= {"train@penalized"}


def test_a_damaged_database_is_named_and_made_again(built: Built, damaged: Damaged) -> None:
    assert damaged.registration.returncode == 0
    assert damaged.sync.returncode == 1
    for said in (damaged.registration, damaged.sync):
        assert re.search(r"mlflow\.db is damaged: .*, or move it away, .*run\s`python -m pipeline sync`", said.stderr)
        assert "Traceback" not in said.stderr
    assert summary(damaged.study) == summary(built.study)
    assert aliases(damaged.study) == aliases(built.study)


@dataclass(frozen=True)
class Together:
    exit_codes: list[int]
    output: str
    content: dict[str, str]
    changes: str
    names: list[str | None]


@pytest.fixture(scope="module")
def together(copy_study: Callable[[], Study]) -> Together:
    """Start `dvc repro` of one stage in two terminals at once."""
    study = copy_study()
    log = study.root.parent / "together.log"
    with log.open("ab") as output:
        processes = [
            subprocess.Popen(
                command_of("train@penalized"), cwd=study.root, env=study.environment, stdout=output, stderr=output
            )
            for _ in range(2)
        ]
        codes = sorted(process.wait(LIMIT) for process in processes)
    names = [run.info.run_name for _, run in study.runs()]
    return Together(codes, log.read_text(), study.content(), study.git("status", "--porcelain"), names)


def test_the_second_repro_of_a_stage_is_refused(built: Built, together: Together) -> None:
    assert together.exit_codes[0] == 0
    assert together.exit_codes[1] != 0
    assert re.search(r"is busy|Unable to acquire lock", together.output), together.output
    assert together.content == built.study.content()
    assert together.changes == ""
    assert together.names.count("penalized") == 1
