"""The logged model of a regressor: waves of finite values pass, all else is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pytest

from pipeline.tracking import publish

BUILD_MODEL = """
import sys
from pipeline.runtime import backend
# Hides TensorFlow, which Keras would import to save a model.
backend.configure("jax", threads=1)
import keras
keras.utils.set_random_seed(0)
inputs = keras.Input((20,), name="wave")
outputs = keras.layers.Dense(4, name="parameters")(inputs)
keras.Model(inputs, outputs, name="tiny").save(sys.argv[1])
"""
ACCEPTED = ("float32", "float64", "list")
REFUSED = {
    "nan": "got NaN, infinite values",
    "beyond float32": "beyond the range of float32",
    "images": "got shape (1, 28, 28)",
    "one wave without a batch": "got shape (20,)",
    "no wave": "got shape (0, 20)",
    "text": "got values of type <U1",
    "ragged": "got rows of unequal length",
}
BAD_REQUESTS = ("nan", "infinite", "text", "null", "wrong shape", "empty")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, make_stages_in: Any) -> Path:
    """The folder of a model that publishing a variant logged."""
    folder = tmp_path_factory.mktemp("served_regressor")
    path = folder / "waves.keras"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", BUILD_MODEL, str(path)], check=True, env=environment)
    stages = replace(make_stages_in(folder, whole=True), keras_file=path)
    stages.train("wave_net")
    publish.publish(stages.workspace, stages.params, "train", "wave_net")
    run = stages.view.run("waves", "wave_net")
    model = stages.view.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    return Path(model.artifact_location)


@pytest.fixture(scope="module")
def trial(logged: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What served_regressor_trial.py finds of it, in a folder from which the project cannot be imported."""
    script = Path(__file__).with_name("served_regressor_trial.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, script, logged],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**environment, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_it_needs_nothing_of_the_project(trial: dict[str, Any]) -> None:
    assert (trial["knows the project"], trial["backend"]) == (False, "tensorflow")


@pytest.mark.parametrize("name", ACCEPTED)
def test_waves_of_any_number_type_pass(trial: dict[str, Any], name: str) -> None:
    parameters = np.array(trial["in process"][name])
    assert parameters.shape == (5, 4)
    np.testing.assert_allclose(parameters, trial["in process"]["float32"], rtol=1e-6)


def test_values_may_be_of_any_size(trial: dict[str, Any]) -> None:
    """There are no pixels here. The model of this test is linear, without a bias."""
    expected = 1000 * np.array(trial["in process"]["float32"])
    np.testing.assert_allclose(trial["in process"]["far beyond pixels"], expected, rtol=1e-4)


def test_batches_give_what_single_waves_give(trial: dict[str, Any]) -> None:
    expected = np.repeat(trial["in process"]["float32"], 300, axis=0)
    np.testing.assert_allclose(trial["in process"]["many"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(trial: dict[str, Any], name: str) -> None:
    code, message = trial["in process"][name]
    assert code == "INVALID_PARAMETER_VALUE"
    assert "expected waves of shape (n, 20) with finite values" in message
    assert REFUSED[name] in message


def test_the_server_answers_with_parameters(trial: dict[str, Any]) -> None:
    status, parameters = trial["by http"]["values"]
    assert status == 200
    np.testing.assert_allclose(parameters, trial["in process"]["float32"][:1], rtol=1e-5)


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_the_server_answers_bad_requests_with_400(trial: dict[str, Any], name: str) -> None:
    status, _ = trial["by http"][name]
    assert status == 400


def test_the_signature_tells_waves_and_parameters(logged: Path) -> None:
    signature = mlflow.models.Model.load(logged).signature.to_dict()
    waves, parameters = ({"dtype": "float32", "shape": [-1, size]} for size in (20, 4))
    assert json.loads(signature["inputs"]) == [{"type": "tensor", "tensor-spec": waves}]
    assert json.loads(signature["outputs"]) == [{"type": "tensor", "tensor-spec": parameters}]
