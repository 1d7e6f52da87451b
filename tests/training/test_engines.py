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

from pipeline.training.data import HISTORY_COLUMNS

ONE_STEP = ["sgd", "adam", "rmsprop", "l1", "l2", "activity l1", "batch norm"]


@pytest.fixture(scope="module", params=["jax", "tensorflow"])
def trial(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What engine_trial.py prints of each backend, and so of each family: dense on JAX, convolutional on TensorFlow."""
    script = Path(__file__).with_name("engine_trial.py")
    finished = subprocess.run(
        [sys.executable, script, request.param],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("name", ONE_STEP)
def test_one_step_equals_plain_keras(trial: dict[str, Any], name: str) -> None:
    engine, keras = trial["one_step"][name]["engine"], trial["one_step"][name]["keras"]
    for ours, plain in zip(engine["weights"], keras["weights"], strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    for column in HISTORY_COLUMNS[1:-1]:
        assert engine["history"][column] == pytest.approx(keras["history"][column], abs=1e-5), column


def test_training_moves_the_weights(trial: dict[str, Any]) -> None:
    moved, still = trial["one_step"]["sgd"]["engine"]["weights"], trial["still"]["weights"]
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
