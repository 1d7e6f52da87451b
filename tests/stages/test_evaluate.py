from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.config.models import Objective
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import classification, scoring
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import evaluate
from tests.stages.two_studies import CONTENT

if TYPE_CHECKING:
    import keras

CATEGORICAL: Objective = "categorical_crossentropy"
BINARY: Objective = "binary_crossentropy"
FILES = {
    "per_class.csv",
    "layers.csv",
    "confusion_matrix.csv",
    "confusion_matrix.png",
    "most_wrong.png",
    "reliability.csv",
    "reliability.png",
}
NUM_IMAGES = 25
PROJECT = Path(__file__).parents[2]


def build(*, seed: int = 0, num_classes: int = 3, l2: float = 0.0) -> keras.Model:
    """A model of 4x4 images with one hidden layer of 4 units."""
    backend.configure("jax", threads=1)
    import keras

    keras.utils.set_random_seed(seed)
    pixels = keras.Input((4, 4), name="pixels")
    features = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1 / 255, name="scale")(pixels))
    penalty = keras.regularizers.L2(l2) if l2 else None
    features = keras.layers.Dense(4, activation="relu", kernel_regularizer=penalty, name="hidden")(features)
    output = keras.layers.Dense(num_classes, activation="softmax", name="probabilities")(features)
    return keras.Model(pixels, output, name="model")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 4, 4), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return (np.arange(NUM_IMAGES) % 3).astype(np.uint8)


def train(workspace: Workspace, images: np.ndarray, labels: np.ndarray) -> Workspace:
    """Three models, and the test set."""
    for seed, (name, variant) in enumerate(Params.model_validate(CONTENT).all_variants.items()):
        storage.write_model(workspace.model(name, variant), build(seed=seed, l2=0.01 * seed))
    storage.write_arrays(workspace.prepared("shapes", "test"), images=images, labels=labels)
    return workspace


@pytest.fixture
def trained(workspace: Workspace, images: np.ndarray, labels: np.ndarray) -> Workspace:
    """The workspace after training."""
    return train(workspace, images, labels)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray, labels: np.ndarray) -> Workspace:
    """A workspace after both studies were evaluated, for tests that only look."""
    workspace = train(Workspace(tmp_path_factory.mktemp("seen")), images, labels)
    for study in ("first", "second"):
        evaluate.main(workspace, Params.model_validate(CONTENT), study)
    return workspace


@pytest.fixture
def evaluated(seen: Workspace, tmp_path: Path) -> Workspace:
    """The same for one test alone."""
    return Workspace(Path(shutil.copytree(seen.root, tmp_path, dirs_exist_ok=True)))


def test_scores_are_exact_counts_over_every_example(images: np.ndarray, labels: np.ndarray) -> None:
    model = build(l2=0.1)
    result = classification.evaluate(model, images=images, labels=labels, num_classes=3, objective=CATEGORICAL)
    num_correct = int((result.probabilities.argmax(axis=1) == labels).sum())
    assert 0 < num_correct < NUM_IMAGES
    assert result.scores.num_examples == NUM_IMAGES
    assert result.scores.num_correct == num_correct
    assert result.scores.accuracy == num_correct / NUM_IMAGES
    assert result.scores.accuracy_low < result.scores.accuracy < result.scores.accuracy_high
    assert result.confusion.sum() == NUM_IMAGES
    assert result.confusion.trace() == num_correct
    cross_entropy = -np.log(result.probabilities[np.arange(NUM_IMAGES), labels]).mean()
    penalty = 0.1 * (model.get_layer("hidden").get_weights()[0] ** 2).sum()
    assert result.scores.cross_entropy == pytest.approx(cross_entropy, rel=1e-5)
    assert result.scores.loss == pytest.approx(cross_entropy + penalty, rel=1e-5)


def test_a_variants_own_objective_is_scored(trained: Workspace, content: dict[str, Any], labels: np.ndarray) -> None:
    content["variants"]["narrow"]["output"] = {"activation": "sigmoid"}
    evaluate.main(trained, Params.model_validate(content), "first")
    scores = storage.read_json(trained.evaluation("first") / "metrics.json")
    for name, objective in (("narrow", BINARY), ("wide", CATEGORICAL)):
        (probabilities,) = storage.read_arrays(trained.predictions("first") / f"{name}.npz", "probabilities")
        assert scores[name]["cross_entropy"] == scoring.cross_entropy(probabilities, labels, objective), name


def test_writes_what_a_study_lists(seen: Workspace) -> None:
    folder = seen.evaluation("second")
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "variants"}
    assert {path.name for path in (folder / "variants").iterdir()} == {"wide", "deep"}
    for name in ("wide", "deep"):
        assert {path.name for path in seen.evaluation_details("second", name).iterdir()} == FILES
    assert {path.name for path in seen.predictions("second").iterdir()} == {"wide.npz", "deep.npz"}


def test_the_layers_of_a_model_are_told_with_their_parameters(seen: Workspace) -> None:
    table = storage.read_table(seen.evaluation_details("second", "deep") / "layers.csv")
    assert list(table.columns) == ["layer", "kind", "output_shape", "parameters"]
    model = storage.read_model(seen.root / "models" / "shapes" / "second" / "deep.keras")
    assert list(table["layer"]) == [layer.name for layer in model.layers]
    assert table["parameters"].sum() == model.count_params()
    assert (table["kind"].iloc[0], table["output_shape"].iloc[-1]) == ("InputLayer", "3")


def test_a_shared_variant_is_the_model_of_its_home_study(seen: Workspace) -> None:
    content = (seen.root / "models" / "shapes" / "first" / "wide.keras").read_bytes()
    metrics = storage.read_json(seen.evaluation("second") / "metrics.json")
    assert metrics["wide"]["model_sha256"] == hashlib.sha256(content).hexdigest()


def test_predictions_and_tables_agree_with_the_metrics(seen: Workspace, labels: np.ndarray) -> None:
    scores = storage.read_json(seen.evaluation("first") / "metrics.json")["narrow"]
    probabilities, saved_labels = storage.read_arrays(
        seen.predictions("first") / "narrow.npz", "probabilities", "labels"
    )
    assert (probabilities.shape, probabilities.dtype) == ((NUM_IMAGES, 3), np.float32)
    assert (saved_labels.dtype, saved_labels.tolist()) == (np.uint8, labels.tolist())
    assert int((probabilities.argmax(axis=1) == labels).sum()) == scores["num_correct"]
    per_class = storage.read_table(seen.evaluation_details("first", "narrow") / "per_class.csv")
    assert list(per_class.columns) == ["class", "precision", "recall", "f1", "support"]
    assert list(per_class["class"]) == ["disc", "square", "star"]
    assert list(per_class["support"]) == [9, 8, 8]
    assert per_class["f1"].mean() == pytest.approx(scores["macro_f1"])
    bins = storage.read_table(seen.evaluation_details("first", "narrow") / "reliability.csv")
    assert (len(bins), bins["num_examples"].sum()) == (15, NUM_IMAGES)
    filled = bins.dropna()
    assert len(filled) == (bins["num_examples"] > 0).sum()
    assert (filled["accuracy"] * filled["num_examples"]).sum() == pytest.approx(scores["num_correct"])
    assert filled["confidence"].between(filled["low"], filled["high"]).all()
    distances = (filled["confidence"] - filled["accuracy"]).abs() * filled["num_examples"]
    assert scores["expected_calibration_error"] == pytest.approx(distances.sum() / NUM_IMAGES)
    confidence = probabilities.max(axis=1).mean()
    assert scores["overconfidence"] == pytest.approx(confidence - scores["accuracy"], rel=1e-5)
    confusion = storage.read_table(seen.evaluation_details("first", "narrow") / "confusion_matrix.csv")
    assert list(confusion.columns) == ["true class", "disc", "square", "star"]
    assert np.trace(confusion.to_numpy()[:, 1:].astype(int)) == scores["num_correct"]


def test_a_variant_that_left_params_is_not_reported(evaluated: Workspace, content: dict[str, Any]) -> None:
    del content["variants"]["wide"]
    for study in content["studies"].values():
        study["variants"].remove("wide")
    evaluate.main(evaluated, Params.model_validate(content), "first")
    assert list(storage.read_json(evaluated.evaluation("first") / "metrics.json")) == ["narrow"]


def test_the_same_bytes_twice(seen: Workspace, trained: Workspace, params: Params) -> None:
    def outputs(workspace: Workspace) -> dict[Path, bytes]:
        folders = (workspace.evaluation("first"), workspace.predictions("first"))
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(workspace.root): path.read_bytes() for path in files}

    evaluate.main(trained, params, "first")
    first = outputs(seen)
    assert len(first) == 1 + 2 * (len(FILES) + 1)
    assert outputs(trained) == first


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "labels"),
        (
            {"images": np.zeros((2, 4, 4), np.float32), "labels": np.zeros(2, np.uint8)},
            r"expected images \(n, height, width\) of uint8, got \(2, 4, 4\) of float32",
        ),
        (
            {"images": np.zeros((0, 4, 4), np.uint8), "labels": np.zeros(0, np.uint8)},
            r"got \(0, 4, 4\) of uint8",
        ),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, np.uint8)},
            r"expected one uint8 label per image \(2\), got \(3,\) of uint8",
        ),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, 3], np.uint8)},
            "expected labels below 3, the number of classes, got 3",
        ),
    ],
)
def test_a_malformed_test_set_is_named(
    trained: Workspace, params: Params, arrays: dict[str, np.ndarray], problem: str
) -> None:
    path = trained.prepared("shapes", "test")
    storage.write_arrays(path, **arrays)
    with pytest.raises(PipelineError, match=f"{path}: .*{problem}"):
        evaluate.main(trained, params, "first")


def test_a_damaged_test_set_is_named(trained: Workspace, params: Params) -> None:
    path = trained.prepared("shapes", "test")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PipelineError, match=f"{path}: .*damaged"):
        evaluate.main(trained, params, "first")


def test_a_missing_model_is_named(trained: Workspace, params: Params) -> None:
    path = trained.model("narrow", params.variants["narrow"])
    path.unlink()
    with pytest.raises(PipelineError, match=f"{path}: expected a Keras model, but the file is missing"):
        evaluate.main(trained, params, "first")


def test_a_model_of_other_classes_is_refused(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(PipelineError, match="expected probabilities of 3 classes, got 4"):
        classification.evaluate(
            build(num_classes=4), images=images, labels=labels, num_classes=3, objective=CATEGORICAL
        )


def test_unknown_study_is_refused(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown study 'third'; expected one of: first, second"):
        evaluate.main(workspace, params, "third")


def with_convolutions(content: dict[str, Any]) -> dict[str, Any]:
    content["variants"]["narrow"] |= {
        "family": "cnn",
        "engine": "tensorflow",
        "blocks": [{"filters": 2, "padding": "same"}],
    }
    return content


def test_one_convolutional_variant_puts_the_study_on_tensorflow(content: dict[str, Any]) -> None:
    params = Params.model_validate(with_convolutions(content))
    for study, expected in (("first", "tensorflow"), ("second", "jax")):
        assert backend.for_predicting(item.family for item in params.variants_of(study).values()) == expected


# One Keras backend per process, so the other one runs in a process of its own.
ON_TENSORFLOW = """
import json, sys
from pathlib import Path
from pipeline.config.models import Objective
from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.stages import evaluate

if "keras" in sys.modules:
    sys.exit("keras was imported before its backend was chosen")
evaluate.main(Workspace(Path(sys.argv[1])), Params.model_validate(json.loads(sys.argv[2])), "first")
print(sys.modules["keras"].backend.backend())
"""


def test_tensorflow_scores_the_same_as_jax(seen: Workspace, trained: Workspace, content: dict[str, Any]) -> None:
    expected = storage.read_json(seen.evaluation("first") / "metrics.json")
    arguments = [str(trained.root), json.dumps(with_convolutions(content))]
    done = subprocess.run(
        [sys.executable, "-c", ON_TENSORFLOW, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["tensorflow"], done.stderr
    scores = storage.read_json(trained.evaluation("first") / "metrics.json")
    for name in ("narrow", "wide"):
        assert scores[name].pop("model_sha256") == expected[name].pop("model_sha256")
        assert scores[name] == pytest.approx(expected[name], rel=1e-5)
