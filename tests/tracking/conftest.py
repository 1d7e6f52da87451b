"""Small workspaces as the stages leave them, each with an MLflow store of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.runtime.environment import PARENT_RUN_VARIABLE, prepare_environment
from pipeline.tracking import store
from tests import params_files
from tests.tracking.fake_stages import FakeStages
from tests.tracking.small_params import raw_params, whole_params

# In a process of its own: Keras has one backend per process, and these tests must run whatever it is.
BUILD_MODEL = """
import sys
import keras
keras.utils.set_random_seed(0)
inputs = keras.Input((28, 28), name="pixels")
layers = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1 / 255, name="scale")(inputs))
outputs = keras.layers.Dense(3, activation="softmax", name="probabilities")(layers)
keras.Model(inputs, outputs, name="tiny").save(sys.argv[1])
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MLflow uses parts of SQLAlchemy that will be gone one day; its pinned version does not matter to us."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"))


@pytest.fixture(autouse=True)
def prepared_environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a stage or command; the tests may themselves run under `mlflow run`."""
    monkeypatch.delenv(PARENT_RUN_VARIABLE, raising=False)
    prepare_environment()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes more than a second."""
    folder = tmp_path_factory.mktemp("database")
    prepare_environment()
    store.connect(Workspace(folder))
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model of 28x28 pixels and three classes."""
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", BUILD_MODEL, str(path)], check=True, env=environment)
    return path


MakeStages = Callable[..., FakeStages]


@pytest.fixture(scope="session")
def make_stages_in(keras_file: Path, empty_database: Path) -> MakeStages:
    """Makes a workspace with an empty database below a folder, of params with the given options."""

    def make(parent: Path, folder: str = "project", *, whole: bool = False, **options: Any) -> FakeStages:
        root = parent / folder
        root.mkdir()
        shutil.copyfile(empty_database, root / "mlflow.db")
        raw = whole_params(**options) if whole else raw_params(**options)
        params_files.write(root, raw)
        return FakeStages(Workspace(root), Params.model_validate(raw), keras_file)

    return make


@pytest.fixture
def make_stages(make_stages_in: MakeStages, tmp_path: Path) -> MakeStages:
    """The same below the test's own folder."""
    return partial(make_stages_in, tmp_path)


@pytest.fixture
def stages(make_stages: MakeStages) -> FakeStages:
    """A workspace where nothing has run yet."""
    return make_stages()


@pytest.fixture
def whole(make_stages: MakeStages) -> FakeStages:
    """The same, with something of every kind."""
    return make_stages(whole=True)
