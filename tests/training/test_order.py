"""Both engines see the examples in a new order in each epoch, and drop other units in each step; runs repeat."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module", params=["jax", "tensorflow"])
def trial(request: pytest.FixtureRequest) -> dict[str, Any]:
    script = Path(__file__).with_name("order_trial.py")
    finished = subprocess.run(
        [sys.executable, script, request.param],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_every_epoch_has_every_example_once_in_an_order_of_its_own(trial: dict[str, Any]) -> None:
    orders = trial["one"]["orders"]
    assert [sorted(order) for order in orders] == [list(range(1, trial["examples"] + 1))] * trial["epochs"]
    assert len({tuple(order) for order in orders}) == trial["epochs"]


def test_every_step_drops_units_of_its_own(trial: dict[str, Any]) -> None:
    masks = trial["one"]["masks"]
    assert len(masks) == trial["epochs"] * trial["steps"]
    assert len({str(mask) for mask in masks}) == len(masks)


def test_another_run_sees_and_drops_the_same_and_another_seed_does_not(trial: dict[str, Any]) -> None:
    assert trial["again"] == trial["one"]
    assert trial["other"]["orders"] != trial["one"]["orders"]
    assert trial["other"]["masks"] != trial["one"]["masks"]


def test_plain_keras_in_the_benchmarks_sees_a_new_order_in_every_epoch_too(trial: dict[str, Any]) -> None:
    if "plain" not in trial:
        pytest.skip("plain Keras runs on TensorFlow")
    plain = trial["plain"]
    assert [sorted(order) for order in plain["one"]] == [list(range(1, trial["examples"] + 1))] * trial["epochs"]
    assert len({tuple(order) for order in plain["one"]}) == trial["epochs"]
    assert plain["again"] == plain["one"]
    assert plain["other"] != plain["one"]
