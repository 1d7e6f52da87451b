"""What all tests share: a clean environment, the folder of real datasets, reproducible examples from Hypothesis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

REPOSITORY = Path(__file__).parents[1]

# The same examples on every machine and no deadline, because machines are shared: a failure is the code's.
hypothesis.settings.register_profile("project", derandomize=True, deadline=None, database=None, max_examples=50)
hypothesis.settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark who asks for the mirror as slow and of real data, and put the files with slow tests first.

    With the slow files last one worker would be busy with them long after the others have nothing to do.
    """
    for item in items:
        if "dataset_mirror" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def dataset_mirror() -> Path:
    """The folder with mnist/ and fashion-mnist/ as published; the test is skipped where there is none."""
    mirror = Path(os.environ.get("DATASET_MIRROR") or REPOSITORY.parent / "shared" / "datasets")
    if not mirror.is_dir():
        pytest.skip(f"real datasets: no folder {mirror}; set DATASET_MIRROR to one")
    return mirror


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def make_dvc_folder() -> Callable[[Path], None]:
    """Makes a folder, which need not exist, one of DVC's, without Git."""

    def make(folder: Path) -> None:
        config = folder / ".dvc" / "config"
        config.parent.mkdir(parents=True)
        config.write_text("[core]\n    no_scm = True\n    analytics = false\n")

    return make


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the user's MLflow, DVC or mirror, and none leaves its own settings to the next."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DVC_")) or name == "DATASET_MIRROR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
