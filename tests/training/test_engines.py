"""Both training engines against plain `Model.fit`, and what they promise on their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.training.data import history_columns

# The first test waits for the trainings.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

HISTORY_COLUMNS = history_columns(("loss", "cross_entropy", "accuracy"))
ONE_STEP = ["l1 and l2", "three steps", "three steps of adam", "schedule"]
# What the others have together: which of it is wrong.
ALONE = ["sgd", "rmsprop", "adam", "l1", "l2", "activity l1", "batch norm"]
DENSE_ONE_STEP = [
    "binary",
    "binary l1",
    "absolute error",
    "he normal, batch norm",
    "three steps of a head",
]
DENSE_ALONE = ["binary l2", "softmax l2", "head on features"]
WATCHED = ["stopped by loss", "reduced by accuracy", "both"]


def printed_by_trial(backend: str, folder: Path, part: str) -> dict[str, Any]:
    script = Path(__file__).with_name("engine_trial.py")
    finished = subprocess.run(
        [sys.executable, script, backend, folder, part],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


class Trials:
    """What engine_trial.py prints for a backend and a part, run when it is first asked for.

    Of the part `one_seed`, that on JAX runs before the other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._printed: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, backend: str, part: str = "one_seed") -> dict[str, Any]:
        if (backend, part) == ("tensorflow", "one_seed"):
            self.of("jax")
        if (backend, part) not in self._printed:
            self._printed[backend, part] = printed_by_trial(backend, self._folder, part)
        return self._printed[backend, part]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    return Trials(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=["jax", "tensorflow"])
def trial(request: pytest.FixtureRequest, trials: Trials) -> dict[str, Any]:
    """Of each backend, and so of each family: dense on JAX, convolutional on TensorFlow."""
    return trials.of(request.param)


@pytest.fixture(params=["jax", "tensorflow"])
def seeds_trial(request: pytest.FixtureRequest, trials: Trials) -> dict[str, Any]:
    """Of each backend, under several seeds."""
    return trials.of(request.param, "over_seeds")


@pytest.fixture(params=["jax", "tensorflow"])
def alone_trial(request: pytest.FixtureRequest, trials: Trials) -> dict[str, Any]:
    """Of each backend, with one option at a time."""
    return trials.of(request.param, "alone")


@pytest.fixture
def dense_alone_trial(trials: Trials) -> dict[str, Any]:
    """Of dense networks alone, with one option at a time."""
    return trials.of("jax", "alone")


@pytest.fixture
def dense_trial(trials: Trials) -> dict[str, Any]:
    """Of dense networks alone."""
    return trials.of("jax")


def assert_equal_trainings(pair: dict[str, Any], columns: list[str], *, tolerance: float = 1e-5) -> None:
    engine, keras = pair["engine"], pair["keras"]
    for ours, plain in zip(engine["weights"], keras["weights"], strict=True):
        np.testing.assert_allclose(ours, plain, atol=tolerance)
    for column in columns:
        assert engine["history"][column] == pytest.approx(keras["history"][column], abs=tolerance), column


def assert_equal_in_all_columns(pair: dict[str, Any], *, num_columns: int) -> None:
    columns = [column for column in pair["engine"]["history"] if column not in ("epoch", "learning_rate")]
    assert len(columns) == num_columns
    assert_equal_trainings(pair, columns, tolerance=2e-5)


@pytest.mark.parametrize("name", ONE_STEP)
def test_one_step_equals_plain_keras(trial: dict[str, Any], name: str) -> None:
    several = name.startswith("three") or name == "schedule"
    assert_equal_trainings(trial["one_step"][name], list(HISTORY_COLUMNS[1:-1]), tolerance=2e-5 if several else 1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_one_step_with_one_option_equals_plain_keras(alone_trial: dict[str, Any], name: str) -> None:
    assert_equal_trainings(alone_trial[name], list(HISTORY_COLUMNS[1:-1]))


def test_a_schedule_gives_the_rates_of_plain_keras(trial: dict[str, Any]) -> None:
    """Of the weights that come of them, see the steps."""
    pair = trial["one_step"]["schedule"]
    rates = pair["engine"]["history"]["learning_rate"]
    assert rates == pytest.approx(pair["keras"]["history"]["learning_rate"])
    assert len(set(rates)) == 3


def test_moving_statistics_move_as_in_plain_keras(trial: dict[str, Any]) -> None:
    """They are among the weights that are compared: here, that three steps do move them away from 0 and 1."""
    weights = [np.array(weight) for weight in trial["one_step"]["three steps"]["engine"]["weights"]]
    untouched = [weight for weight in weights if weight.ndim == 1 and np.all((weight == 0) | (weight == 1))]
    assert untouched == []


def test_models_trained_on_jax_predict_the_same_on_tensorflow(trials: Trials) -> None:
    left, loaded = trials.of("jax")["models"], trials.of("tensorflow")["models"]
    assert set(left) == set(loaded) == {"mlp", "regressor", "mobilenet_v2"}
    for name, predicted in left.items():
        np.testing.assert_allclose(loaded[name], predicted, atol=1e-5)
        assert np.ptp(predicted, axis=0).max() > 0, "of different examples"


def of_seeds(trial: dict[str, Any], dropout: str, side: str, figure: str) -> np.ndarray:
    return np.array([last[figure] for last in trial[dropout][side]])


@pytest.mark.parametrize("figure", ["cross_entropy", "accuracy", "val_cross_entropy", "val_accuracy"])
def test_over_seeds_both_end_alike_with_dropout(seeds_trial: dict[str, Any], figure: str) -> None:
    """The means lie within three standard errors of their difference; an accuracy has steps, of one example."""
    engine, keras = (of_seeds(seeds_trial, "dropout", side, figure) for side in ("engine", "keras"))
    error = np.sqrt(engine.var(ddof=1) / len(engine) + keras.var(ddof=1) / len(keras))
    assert abs(engine.mean() - keras.mean()) < 3 * error + (1 / 13 if "accuracy" in figure else 0)


def test_dropout_makes_more_of_a_difference_than_seeds_do(seeds_trial: dict[str, Any]) -> None:
    """Without it, the figures would be so different that the seeds could not hide it."""
    for side in ("engine", "keras"):
        with_dropout, without = (of_seeds(seeds_trial, kind, side, "cross_entropy") for kind in ("dropout", "none"))
        assert with_dropout.min() > without.max()


@pytest.mark.parametrize("name", DENSE_ONE_STEP)
def test_one_step_of_a_dense_network_equals_plain_keras(dense_trial: dict[str, Any], name: str) -> None:
    assert_equal_in_all_columns(dense_trial["one_step"][name], num_columns=4 if name == "absolute error" else 6)


@pytest.mark.parametrize("name", DENSE_ALONE)
def test_one_step_of_a_dense_network_with_one_option_equals_plain_keras(
    dense_alone_trial: dict[str, Any], name: str
) -> None:
    assert_equal_in_all_columns(dense_alone_trial[name], num_columns=6)


def test_a_penalty_is_added_to_the_loss_alone(dense_trial: dict[str, Any]) -> None:
    penalized, plain = (dense_trial["one_step"][name]["engine"]["history"] for name in ("binary l1", "binary"))
    assert penalized["loss"][0] > penalized["cross_entropy"][0] + 1e-3
    assert penalized["cross_entropy"] == pytest.approx(plain["cross_entropy"], abs=1e-5)
    assert plain["loss"] == pytest.approx(plain["cross_entropy"])


@pytest.mark.parametrize("name", WATCHED)
def test_stopping_and_plateaus_are_those_of_plain_keras(trial: dict[str, Any], name: str) -> None:
    """All examples in one batch, so that both see the same history to float32's precision."""
    engine, keras = (trial["watched"][name][side]["history"] for side in ("engine", "keras"))
    assert engine["epoch"] == list(range(1, len(keras["loss"]) + 1))
    if "stopped" in name or name == "both":
        assert len(engine["epoch"]) < 30, "nothing was stopped"
    if "reduced" in name or name == "both":
        assert engine["learning_rate"] == pytest.approx(keras["learning_rate"])
        assert engine["learning_rate"][-1] < engine["learning_rate"][0], "nothing was reduced"
    assert engine["val_loss"] == pytest.approx(keras["val_loss"], rel=0.01)


def test_the_last_weights_stay_when_training_stops_early(trial: dict[str, Any]) -> None:
    stopped = trial["watched"]["stopped by loss"]["engine"]
    last = [stopped["history"][f"val_{figure}"][-1] for figure in ("loss", "cross_entropy", "accuracy")]
    assert stopped["final"] == pytest.approx(last, abs=1e-5)
    assert stopped["history"]["val_loss"][-1] > min(stopped["history"]["val_loss"])


def test_dropout_is_active_in_training_and_not_in_validation(dense_trial: dict[str, Any]) -> None:
    frozen = dense_trial["dense"]["frozen dropout"]
    last = [frozen["history"][f"val_{figure}"][-1] for figure in ("loss", "cross_entropy", "accuracy")]
    assert frozen["final"] == pytest.approx(last, abs=1e-5)
    without = dense_trial["one_step"]["he normal, batch norm"]["engine"]["history"]
    assert frozen["history"]["cross_entropy"][0] != pytest.approx(without["cross_entropy"][0], abs=1e-3)


def test_an_augmented_epoch_has_the_wanted_number_of_full_batches(dense_trial: dict[str, Any]) -> None:
    history = dense_trial["dense"]["augmented"]["history"]
    # 5 batches of 24.
    num_correct = np.array(history["accuracy"]) * 5 * 24
    np.testing.assert_allclose(num_correct, num_correct.round(), atol=1e-4)
    assert history["epoch"] == [1, 2]


def test_augmentation_changes_the_images_and_is_the_same_for_the_same_seed(dense_trial: dict[str, Any]) -> None:
    dense = dense_trial["dense"]
    assert dense["augmented"] == dense["augmented again"]
    assert dense["augmented"]["weights"] != dense["augmented otherwise"]["weights"]
    assert dense["augmented"]["weights"] != dense["not augmented"]["weights"]


def test_training_moves_the_weights(trial: dict[str, Any]) -> None:
    moved, still = trial["one_step"]["schedule"]["engine"]["weights"], trial["still"]["weights"]
    assert not np.allclose(moved[0], still[0], atol=1e-3)


def test_epoch_figures_count_every_example_once(trial: dict[str, Any]) -> None:
    """24 examples in batches of 7: the last batch of 3 counts as 3."""
    history = trial["still"]["history"]
    assert (history["accuracy"][0] * 24) == pytest.approx(round(history["accuracy"][0] * 24), abs=1e-5)
    assert (history["val_accuracy"][0] * 13) == pytest.approx(round(history["val_accuracy"][0] * 13), abs=1e-5)
    assert history["loss"][0] > history["cross_entropy"][0]


def test_last_epochs_weights_remain(trial: dict[str, Any]) -> None:
    history = trial["first"]["history"]
    last = [history[f"val_{figure}"][-1] for figure in ("loss", "cross_entropy", "accuracy")]
    assert trial["first"]["final"] == pytest.approx(last, abs=1e-5)
    assert trial["first"]["compiled"] is False


def test_same_seed_same_bits(trial: dict[str, Any]) -> None:
    assert trial["first"] == trial["again"]
    assert trial["first"]["weights"] != trial["other_seed"]["weights"]


def test_schedule_sets_the_rate_from_its_epochs_on(trial: dict[str, Any]) -> None:
    rates = trial["scheduled"]["history"]["learning_rate"]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_smaller_rate_moves_the_weights_less(trial: dict[str, Any]) -> None:
    """The scheduled rate must reach the optimizer, not the history alone."""
    losses = trial["scheduled"]["history"]["loss"]
    assert abs(losses[4] - losses[3]) < 0.1 * abs(losses[1] - losses[0])


def test_listener_hears_every_epoch(trial: dict[str, Any]) -> None:
    assert trial["first"]["heard"] == trial["first"]["history"]["epoch"] == [1, 2, 3]
    assert tuple(trial["first"]["history"]) == HISTORY_COLUMNS


def test_it_learns(trial: dict[str, Any]) -> None:
    history = trial["long"]["history"]
    assert history["val_accuracy"][-1] > 0.9 > history["val_accuracy"][0]
