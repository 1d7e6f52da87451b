"""Small workspaces as the stages leave them, each with an MLflow store of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.tracking import store
from pipeline.tracking.settings import PARENT_RUN_VARIABLE, prepare_environment

REPOSITORY = Path(__file__).parents[2]

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

EMBEDDED = {"kind": "embedded", "images": "digits", "train_size": 60, "test_size": 10, "seed": 1}

PREAMBLE = """
import sys
from pathlib import Path
from pipeline import tracking
from pipeline.params import load_params
from pipeline.paths import Workspace
workspace = Workspace(Path.cwd())
params = load_params(workspace.params)
"""

CURVES = ("loss", "cross_entropy", "accuracy", "val_loss", "val_cross_entropy", "val_accuracy", "learning_rate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MLflow uses parts of SQLAlchemy that will be gone one day; its pinned version does not matter to us."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"))


@pytest.fixture(autouse=True)
def no_parent_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may themselves run under `mlflow run`."""
    monkeypatch.delenv(PARENT_RUN_VARIABLE, raising=False)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")


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


@dataclass(frozen=True)
class View:
    """What MLflow shows of a workspace."""

    client: MlflowClient

    def experiments(self) -> set[str]:
        return {experiment.name for experiment in self.client.search_experiments()} - {"Default"}

    def runs(self, experiment: str, *, deleted: bool = False) -> list[Run]:
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        return list(self.client.search_runs([found.experiment_id], run_view_type=view))

    def run(self, experiment: str, name: str) -> Run:
        """The one run of a name."""
        (run,) = [run for run in self.runs(experiment) if run.info.run_name == name]
        return run

    def curve(self, run: Run, name: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, name)
        return sorted((point.step, point.value) for point in history)

    def files(self, run: Run, folder: str) -> set[str]:
        return {Path(item.path).name for item in self.client.list_artifacts(run.info.run_id, folder)}


@dataclass(frozen=True)
class FakeStages:
    """Writes what the stages would write, with figures that are easy to tell apart."""

    workspace: Workspace
    params: Params
    keras_file: Path

    def fetch(self, dataset: str = "mnist") -> None:
        folder = self.workspace.raw(dataset)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
            (folder / name).write_bytes(name.encode())

    def prepare(self, dataset: str = "mnist") -> None:
        for split in ("train", "validation", "test"):
            path = self.workspace.prepared(dataset, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(split.encode())
        results = self.workspace.dataset_results(dataset)
        results.mkdir(parents=True, exist_ok=True)
        splits = {"train": "1", "validation": "2", "test": "3"}
        statistics = {
            "title": "MNIST",
            "num_examples": {"train": 54, "validation": 6, "test": 10},
            "sha256": {split: digit * 64 for split, digit in splits.items()},
        }
        (results / "statistics.json").write_text(json.dumps(statistics))
        (results / "examples.png").write_bytes(b"picture")

    def train(self, name: str = "small", *, seed: float = 0.0) -> None:
        """`seed` changes the outputs as another training would."""
        variant = self.params.all_variants[name]
        model, results = self.workspace.model(name, variant), self.workspace.training_results(name, variant)
        model.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.keras_file, model)
        results.mkdir(parents=True, exist_ok=True)
        (results / "history.csv").write_text(history_csv(variant.epochs, seed))
        (results / "metrics.json").write_text(json.dumps(training_metrics(variant.epochs, seed)))
        (results / "curves.png").write_bytes(b"curves")

    def evaluate(self, study: str = "digits", *, accuracy: float = 0.75) -> None:
        figures = {}
        for name, variant in self.params.variants_of(study).items():
            folder = self.workspace.evaluation_details(study, name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "per_class.csv").write_text("class,precision,recall,f1,support\n0,1,1,1,10\n")
            (folder / "confusion_matrix.png").write_bytes(f"matrix {accuracy}".encode())
            digest = hashlib.sha256(self.workspace.model(name, variant).read_bytes()).hexdigest()
            figures[name] = {"loss": 0.5, "accuracy": accuracy, "macro_f1": 0.7, "model_sha256": digest}
            predictions = self.workspace.predictions(study) / f"{name}.npz"
            predictions.parent.mkdir(parents=True, exist_ok=True)
            predictions.write_bytes(b"predictions")
        (self.workspace.evaluation(study) / "metrics.json").write_text(json.dumps(figures))

    def compare(self, study: str = "digits") -> None:
        folder = self.workspace.comparison(study)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ranking.csv").write_text("variant,validation_rank,test_accuracy,verdict\nsmall,1,0.75,\nlarge,2,,\n")
        (folder / "test_accuracy.png").write_bytes(b"bars")

    def summarize(self) -> None:
        self.workspace.variants_table.parent.mkdir(parents=True, exist_ok=True)
        self.workspace.variants_table.write_text("variant,study\nsmall,digits\nlarge,digits\nlarge,activity\n")

    def select(self, variant: str = "small", task: str = "mnist-classifier") -> None:
        candidates = [
            {"variant": name, "study": "digits", "parameters": 100, "val_accuracy": 0.9, "val_cross_entropy": 0.3}
            for name in ("small", "large")
        ]
        rule = {"task": task, "metric": "val_accuracy", "tolerance": 0.002, "prefer_fewer_parameters": True}
        path = self.workspace.selection(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**rule, "selected": variant, "reason": "It is small.", "candidates": candidates}))

    def everything(self) -> None:
        """All stages but those of the second study, which lists one of the two variants."""
        self.fetch()
        self.prepare()
        self.train("small")
        self.train("large")
        self.evaluate("digits")
        self.compare("digits")
        self.summarize()
        self.select("small")

    @property
    def view(self) -> View:
        uri = f"sqlite:///{self.workspace.root / 'mlflow.db'}"
        return View(MlflowClient(uri, registry_uri=uri))

    def process(self, code: str) -> subprocess.Popen[str]:
        """Python in the workspace, as DVC runs a stage; `workspace`, `params` and `tracking` are at hand."""
        return subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code],
            cwd=self.workspace.root,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, code: str) -> str:
        """What Python prints; on stderr nothing may come."""
        with self.process(code) as process:
            output, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        return output

    @staticmethod
    def epoch(epoch: int, seed: float = 0.0) -> dict[str, float]:
        """The row of history.csv that `train` writes."""
        return {name: seed + epoch + index / 10 for index, name in enumerate(CURVES)}


def history_csv(num_epochs: int, seed: float = 0.0) -> str:
    rows = [",".join(["epoch", *CURVES])]
    for epoch in range(1, num_epochs + 1):
        rows.append(",".join([str(epoch), *map(str, FakeStages.epoch(epoch, seed).values())]))
    return "\n".join(rows) + "\n"


def training_metrics(num_epochs: int, seed: float = 0.0) -> dict[str, Any]:
    figures = {"loss": 0.4 + seed, "cross_entropy": 0.3, "accuracy": 0.9}
    return {
        "parameters": {"total": 2355, "trainable": 2355},
        "epochs": num_epochs,
        "best_epoch": 2,
        "train": {"last": figures, "best": figures},
        "validation": {"last": figures, "best": {**figures, "accuracy": 0.95}},
        "train_evaluated": figures,
    }


def raw_params(*, embedded: bool = False, num_epochs: int = 3) -> dict[str, Any]:
    """Two studies that share a variant; the dataset is real, or embedded as in the demo."""
    real = {"kind": "idx_files", "folder": "mnist", "urls": ["https://example.org/mnist"], "sha256": {}}
    optimizer = {"name": "adam", "learning_rate": 0.001}
    variant = {
        "family": "mlp",
        "study": "digits",
        "dataset": "mnist",
        "layers": [{"units": 64, "dropout": 0.2, "batch_norm": True}, {"units": 16}],
        "optimizer": optimizer,
        "batch_size": 128,
        "epochs": num_epochs,
    }
    study = {"title": "Digits", "dataset": "mnist", "shared_from": "digits", "tolerance": 0.004}
    return {
        "compute": {"seed": 7, "threads": 1},
        "datasets": {
            "mnist": {
                "title": "MNIST",
                "source": EMBEDDED if embedded else real,
                "classes": ["zero", "one", "two"],
                "split": {"validation_size": 6, "seed": 1},
                "example": 3,
            }
        },
        "studies": {"digits": study, "activity": {**study, "title": "Activity"}},
        "tasks": {
            "mnist-classifier": {
                "dataset": "mnist",
                "metric": "val_accuracy",
                "tolerance": 0.002,
                "prefer_fewer_parameters": True,
            }
        },
        "variants": {"small": variant, "large": {**variant, "also_in": ["activity"]}},
    }


MakeStages = Callable[..., FakeStages]


@pytest.fixture(scope="session")
def make_stages_in(keras_file: Path, empty_database: Path) -> MakeStages:
    """Makes a workspace with an empty database below a folder, of params with the given options."""

    def make(parent: Path, folder: str = "project", **options: Any) -> FakeStages:
        root = parent / folder
        root.mkdir()
        shutil.copyfile(empty_database, root / "mlflow.db")
        raw = raw_params(**options)
        (root / "params.yaml").write_text(json.dumps(raw))
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
