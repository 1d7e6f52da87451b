from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.data.examples import read_rows
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import evaluate_signal
from pipeline.studies.waves import data
from pipeline.studies.waves.metrics import WavePredictions
from pipeline.studies.waves.scores import score

if TYPE_CHECKING:
    import keras

NUM_POINTS = 30
DETAILS = {
    "layers.csv",
    "predictions.csv",
    "first_test_rows.csv",
    "test_curves.png",
    "extended_curves.png",
    "curve_error.png",
}
EXTENDED = [[0, 0, 0, 0], [2, 1, 0, 0], [0, 0, -1, 0.1], [1, 1, 0, 0]]
REGRESSOR = {
    "study": "hums",
    "dataset": "hums",
    "family": "regressor",
    "engine": "jax",
    "layers": [{"units": 4}],
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batch_size": 8,
    "epochs": 2,
}
SIGNAL = {
    "title": "Hums",
    "num_points": NUM_POINTS,
    "length_in_pi": 10,
    "train_size": 40,
    "validation_size": 10,
    "test_size": 25,
    "seed": 7,
    "example": [0, 0, 0, 0],
    "extended": EXTENDED,
}
REPORTED = """\
hums:
  narrow:
    reported: {test_mae: 0.0357}
    extended_test:
      - {wave: [2, 1, 0, 0], predicted: [2, 1, 0.5, 0]}
      - {wave: [0, 0, -1, 0.1], predicted: [0.1, 0.2, 0.3, 0.4]}
"""


def params_with(**changes: Any) -> Params:
    content = {"compute": {"seed": 1, "threads": 1}, "sources": {}, "datasets": {}, "studies": {}, "tasks": {}}
    signals = {"hums": {**SIGNAL, **changes}, "other": SIGNAL}
    other = {**REGRESSOR, "study": "other", "dataset": "other"}
    regressors = {"narrow": REGRESSOR, "wide": REGRESSOR, "elsewhere": other}
    return Params.model_validate({**content, "variants": {}, "signals": signals, "regressors": regressors})


def build(*, seed: int = 0, num_points: int = NUM_POINTS, num_outputs: int = 4) -> keras.Model:
    backend.configure("jax", threads=1)
    import keras

    keras.utils.set_random_seed(seed)
    signal = keras.Input((num_points,), name="signal")
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")(signal)
    return keras.Model(signal, keras.layers.Dense(num_outputs, name="parameters")(hidden), name="regressor")


def train(workspace: Workspace) -> Workspace:
    """The workspace after training: two models with their figures, the rows of both test sets, no others."""
    params = params_with()
    rows = data.generate(params.signals["hums"])
    for split in ("test", "extended"):
        inputs, targets = rows[split]
        storage.write_arrays(workspace.prepared("hums", split), inputs=inputs, targets=targets)
    mean = {name: {"mean": mean, "std": 0.3} for name, mean in zip("abcd", (0.5, 0.4, 0.6, 0.5), strict=True)}
    storage.write_json(workspace.dataset_results("hums") / "statistics.json", {"train_parameters": mean})
    for seed, name in enumerate(("narrow", "wide")):
        regressor = params.regressors[name]
        storage.write_model(workspace.model(name, regressor), build(seed=seed))
        last, best = ({"loss": error, "mean_absolute_error": error} for error in (0.25 + seed, 0.1))
        figures = {
            "parameters": {"total": 100, "trainable": 100},
            "epochs": 2,
            "best_epoch": 1,
            "train": {"last": last, "best": best},
            "validation": {"last": last, "best": best},
            "train_evaluated": {"mean_absolute_error": 0.125},
        }
        storage.write_json(workspace.training_results(name, regressor) / "metrics.json", figures)
    workspace.reported_results.write_text(REPORTED)
    return workspace


@pytest.fixture
def trained(workspace: Workspace) -> Workspace:
    return train(workspace)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Evaluated once, for all tests that only look."""
    workspace = train(Workspace(tmp_path_factory.mktemp("evaluated")))
    # Set up before the fixture that cleans the environment after each test.
    with mock.patch.dict(os.environ):
        evaluate_signal.main(workspace, params_with(), "hums")
    return workspace


def outputs(workspace: Workspace) -> dict[str, bytes]:
    folders = (workspace.root / "predictions", workspace.root / "results" / "evaluate")
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in found}


def metrics(workspace: Workspace) -> dict[str, Any]:
    return storage.read_json(workspace.evaluation("hums") / "metrics.json")


def test_writes_what_the_regressors_of_the_signal_make_of_it(trained: Workspace) -> None:
    evaluate_signal.main(trained, params_with(), "hums")
    expected = {f"results/evaluate/hums/{file}" for file in ("metrics.json", "answers.json", "differences.csv")}
    for name in ("narrow", "wide"):
        expected |= {f"predictions/hums/{name}.npz"}
        expected |= {f"results/evaluate/hums/variants/{name}/{file}" for file in DETAILS}
    assert set(outputs(trained)) == expected
    assert list(metrics(trained)) == ["narrow", "wide"]


def test_scores_are_those_of_the_saved_predictions(evaluated: Workspace) -> None:
    x = data.axis(params_with().signals["hums"])
    arrays = storage.read_arrays(
        evaluated.predictions("hums") / "narrow.npz", "predicted", "targets", "extended_predicted", "extended_targets"
    )
    predicted, targets, extended_predicted, extended_targets = arrays
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert (predicted.shape, extended_predicted.shape) == ((25, 4), (4, 4))
    test = read_rows(evaluated.prepared("hums", "test"), params_with().signals["hums"])
    np.testing.assert_array_equal(targets, test.targets)
    scores = metrics(evaluated)["narrow"]
    for figures, true, found in (
        (scores, targets, predicted),
        (scores["extended"], extended_targets, extended_predicted),
    ):
        errors = np.abs(true - found)
        assert figures["mean_absolute_error"] == pytest.approx(errors.mean(), rel=1e-5)
        assert list(figures["parameters"].values()) == pytest.approx(errors.mean(axis=0), rel=1e-5)
        curves = np.abs(data.waves(true, x) - data.waves(found, x))
        assert figures["curve_error"] == pytest.approx(curves.mean(), rel=1e-5)
        # 30 points over five periods.
        assert figures["curve_error_first_period"] == pytest.approx(curves[:, :6].mean(), rel=1e-5)
        assert figures["curve_error_last_period"] == pytest.approx(curves[:, -6:].mean(), rel=1e-5)
        assert figures["num_examples"] == len(true)
    content = evaluated.model("narrow", params_with().regressors["narrow"]).read_bytes()
    assert scores["model_sha256"] == hashlib.sha256(content).hexdigest()
    assert scores["validation_mean_absolute_error"] == 0.25
    assert scores["reported_mean_absolute_error"] == 0.0357
    assert "reported_mean_absolute_error" not in metrics(evaluated)["wide"]


def test_equivalent_and_free_parameters_count_only_in_the_plain_error() -> None:
    x = np.linspace(0, 10, 20)
    true = np.array([[0.5, 1, 0.5, 1], [0, 0.5, 0.5, 0]], np.float32)
    # Other signs; another frequency of a sine that is not there.
    predicted = np.array([[-0.5, -1, 0.5, -1], [0, 1.5, 0.5, 0]], np.float32)
    rows = WavePredictions(true, predicted, data.waves(true, x).astype(np.float32), data.waves(predicted, x))
    scores = score(rows, x)
    assert scores.parameters == {"a": 0.5, "b": 1.5, "c": 0, "d": 1}
    assert scores.mean_absolute_error == 0.75
    assert scores.sign_fixed == {"a": 0, "b": 0.5, "c": 0, "d": 0}
    assert scores.sign_fixed_mean_absolute_error == 0.125
    assert scores.determined == {"a": 0, "b": 0, "c": 0, "d": 0}
    assert scores.curve_error == pytest.approx(0, abs=1e-6)


def test_a_parameter_that_no_row_determines_has_no_figure() -> None:
    x = np.linspace(0, 10, 20)
    true = np.zeros((1, 4), np.float32)
    rows = WavePredictions(true, true, np.zeros((1, 20), np.float32), np.zeros((1, 20)))
    assert score(rows, x).determined == {"c": 0}


def test_the_table_sets_the_sources_predictions_beside_ours(evaluated: Workspace) -> None:
    table = storage.read_table(evaluated.evaluation_details("hums", "narrow") / "predictions.csv")
    groups = [f"{group}_{name}" for group in ("true", "predicted", "reported") for name in "abcd"]
    assert list(table.columns) == [*groups, "curve_error", "reported_curve_error"]
    assert table[groups[:4]].to_numpy().tolist() == EXTENDED
    (predicted,) = storage.read_arrays(evaluated.predictions("hums") / "narrow.npz", "extended_predicted")
    np.testing.assert_allclose(table[groups[4:8]], predicted, rtol=1e-6)
    assert table[groups[8:]].iloc[1].tolist() == [2, 1, 0.5, 0]
    assert table[groups[8:]].iloc[2].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert table[[*groups[8:], "reported_curve_error"]].iloc[[0, 3]].isna().all(axis=None)
    # 2 sin(x) + 0.5 for 2 sin(x).
    assert table["reported_curve_error"].iloc[1] == pytest.approx(0.5)
    assert table["curve_error"].mean() == pytest.approx(metrics(evaluated)["narrow"]["extended"]["curve_error"])


def test_of_a_demonstration_nothing_reported_is_shown(trained: Workspace) -> None:
    evaluate_signal.main(trained, params_with(demonstration=True), "hums")
    table = storage.read_table(trained.evaluation_details("hums", "narrow") / "predictions.csv")
    told = [name for name in table.columns if name.startswith("reported")]
    assert len(told) == 5
    assert table[told].isna().all(axis=None)
    assert "reported_mean_absolute_error" not in metrics(trained)["narrow"]


def test_answers_come_from_the_figures(evaluated: Workspace) -> None:
    answers = storage.read_json(evaluated.evaluation("hums") / "answers.json")
    assert list(answers) == ["narrow", "wide"]
    answer, scores = answers["narrow"], metrics(evaluated)["narrow"]
    assert answer["first_layer"]["parameters"] == NUM_POINTS * 5 + 5
    learned = answer["learned_the_transform"]
    assert learned["curve_error"] == {"test": scores["curve_error"], "extended": scores["extended"]["curve_error"]}
    x = data.axis(params_with().signals["hums"])
    signal = params_with().signals["hums"]
    extended = read_rows(evaluated.prepared("hums", "extended"), signal)
    inputs = extended.inputs
    constant = np.abs(inputs - data.waves([[0.5, 0.4, 0.6, 0.5]], x)).mean()
    assert learned["curve_error_of_always_the_mean"]["extended"] == pytest.approx(constant, rel=1e-5)
    targets = read_rows(evaluated.prepared("hums", "test"), signal).targets
    assert answer["fit"]["mean_absolute_error"] == {
        "train": 0.125,
        "validation": 0.25,
        "test": scores["mean_absolute_error"],
        "always_the_mean": pytest.approx(np.abs(targets - [0.5, 0.4, 0.6, 0.5]).mean(), rel=1e-5),
    }
    # An untrained network has not learned.
    assert learned["verdict"] == "no"
    worst = answer["fails_on"]["worst_extended"]
    table = storage.read_table(evaluated.evaluation_details("hums", "narrow") / "predictions.csv")
    assert [row["curve_error"] for row in worst] == pytest.approx(sorted(table["curve_error"], reverse=True)[:3])


def test_regressors_are_compared_with_each_other_and_with_always_the_mean(evaluated: Workspace) -> None:
    table = storage.read_table(evaluated.evaluation("hums") / "differences.csv")
    assert list(zip(table["first"], table["second"], strict=True)) == [
        ("narrow", "wide"),
        ("narrow", "always_the_mean"),
        ("wide", "always_the_mean"),
    ]
    scores = metrics(evaluated)
    always_mean = storage.read_json(evaluated.evaluation("hums") / "answers.json")["narrow"]["fit"]
    expected = scores["narrow"]["mean_absolute_error"] - always_mean["mean_absolute_error"]["always_the_mean"]
    assert table["difference"].iloc[1] == pytest.approx(expected)
    # Untrained networks are worse than a constant.
    assert list(table["verdict"].iloc[1:]) == ["always_the_mean is better"] * 2


def test_the_error_has_an_interval_and_a_gap_to_training(evaluated: Workspace) -> None:
    scores = metrics(evaluated)["narrow"]
    error = scores["mean_absolute_error"]
    assert scores["mean_absolute_error_low"] < error < scores["mean_absolute_error_high"]
    assert (scores["train_mean_absolute_error"], scores["mean_absolute_error_gap"]) == (
        0.125,
        pytest.approx(0.125 - error),
    )


def test_the_same_bytes_twice(trained: Workspace) -> None:
    evaluate_signal.main(trained, params_with(), "hums")
    first = outputs(trained)
    for name in first:
        (trained.root / name).unlink()
    evaluate_signal.main(trained, params_with(), "hums")
    assert outputs(trained) == first


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"num_points": 29}, r"from \(None, 30\) to \(None, 4\), got one from \(None, 29\) to \(None, 4\)"),
        ({"num_outputs": 3}, r"from \(None, 30\) to \(None, 4\), got one from \(None, 30\) to \(None, 3\)"),
    ],
)
def test_a_model_of_another_shape_is_named(trained: Workspace, model: dict[str, int], expected: str) -> None:
    path = trained.model("wide", params_with().regressors["wide"])
    storage.write_model(path, build(**model))
    with pytest.raises(PipelineError, match=rf"wide\.keras: expected a model {expected}"):
        evaluate_signal.main(trained, params_with(), "hums")


@pytest.mark.parametrize(
    "missing",
    ["data/prepared/hums/extended.npz", "models/hums/hums/wide.keras", "results/train/hums/hums/wide/metrics.json"],
)
def test_what_is_missing_is_named(trained: Workspace, missing: str) -> None:
    (trained.root / Path(missing)).unlink()
    with pytest.raises(PipelineError, match=rf"{missing}: expected .* the file is missing"):
        evaluate_signal.main(trained, params_with(), "hums")


def test_an_unknown_signal_is_named(trained: Workspace) -> None:
    with pytest.raises(PipelineError, match="unknown signal 'hum'; expected one of: hums, other"):
        evaluate_signal.main(trained, params_with(), "hum")
