"""The tiny study, built once per session by `dvc repro`, and copies of it to change.

Nobody changes the study itself. What changes a workspace is a scenario: a fixture of a module, which works on a copy
and returns what the module's tests look at.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.study.workspace import Built, Study, make_environment, make_study


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them slow, with time to wait for the study; MLflow uses parts of SQLAlchemy that will go."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1800))
            item.add_marker(pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, repository: Path, worker_id: str) -> Built:
    """The study after its first `dvc repro`, in a folder with a space in its name; workers share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "study"
    environment = make_environment(folder)
    seen = folder / "seen.json"
    with FileLock(folder / "lock"):
        if not seen.exists():
            seen.write_text(json.dumps(build(folder / "a study", repository, environment)))
    return Built(Study(folder / "a study", environment), **json.loads(seen.read_text()))


def build(root: Path, repository: Path, environment: dict[str, str]) -> dict[str, list[str] | float]:
    """Reproduce the study twice; what was seen on the way."""
    # What another worker has left, who failed here.
    shutil.rmtree(root, ignore_errors=True)
    study = make_study(root, repository, environment)
    said = study.dvc("repro")
    untracked = study.git("status", "--porcelain").splitlines()
    study.commit()
    start = time.monotonic()
    again = study.repro()
    seconds = time.monotonic() - start
    return {
        "ran": re.findall(r"Running stage '([^']+)'", said),
        "untracked": untracked,
        "second_repro": sorted(again),
        "second_repro_seconds": seconds,
    }


@pytest.fixture(scope="session")
def copy_study(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Study]:
    """Makes a copy of the study to change, in a folder of its own."""
    return lambda: built.study.copy(tmp_path_factory.mktemp("copy") / "a study")


@pytest.fixture
def study(copy_study: Callable[[], Study]) -> Study:
    """A copy for one test to change."""
    return copy_study()
