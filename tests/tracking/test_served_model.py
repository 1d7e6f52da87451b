"""The logged model: raw pixels of any number type pass, all else is refused, and nothing of the project is needed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pytest

from pipeline.tracking import publish

ACCEPTED = ("uint8", "int64", "float32", "float64", "list")
REFUSED = {
    "nan": "got NaN or infinite pixels",
    "too bright": "got pixels from",
    "negative": "got pixels from -255.0",
    "divided by 255": "got 0.0 to 1.0, as if divided by 255: multiply them by 255;",
    "flat": "got shape (5, 784)",
    "one image without a batch": "got shape (28, 28)",
    "no image": "got shape (0, 28, 28)",
    "text": "got values of type <U1",
    "true and false": "got values of type bool",
    "ragged": "got rows of unequal length",
}
BAD_REQUESTS = ("nan", "300", "divided by 255", "-1", "text", "null", "ragged", "wrong shape", "empty", "no key")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, make_stages_in: Any) -> Path:
    """The folder of a model that publishing a variant logged."""
    stages = make_stages_in(tmp_path_factory.mktemp("served"))
    stages.train("small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    run = stages.view.run("digits", "small")
    model = stages.view.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    return Path(model.artifact_location)


@pytest.fixture(scope="module")
def trial(logged: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What served_model_trial.py finds of it, in a folder from which the project cannot be imported."""
    script = Path(__file__).with_name("served_model_trial.py")
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
    assert trial["knows the project"] is False


def test_it_computes_on_tensorflow_whatever_the_environment_says(trial: dict[str, Any]) -> None:
    assert trial["backend"] == "tensorflow"


@pytest.mark.parametrize("name", ACCEPTED)
def test_raw_pixels_of_any_number_type_pass(trial: dict[str, Any], name: str) -> None:
    probabilities = np.array(trial["in process"][name])
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities, np.array(trial["in process"]["uint8"]))


@pytest.mark.parametrize("name", ["almost black", "black"])
def test_whole_numbers_and_black_are_not_taken_for_divided_pixels(trial: dict[str, Any], name: str) -> None:
    assert np.array(trial["in process"][name]).shape == (5, 3)


def test_batches_give_what_single_images_give(trial: dict[str, Any]) -> None:
    expected = np.repeat(trial["in process"]["uint8"], 300, axis=0)
    np.testing.assert_allclose(trial["in process"]["many"], expected, rtol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(trial: dict[str, Any], name: str) -> None:
    code, message = trial["in process"][name]
    assert code == "INVALID_PARAMETER_VALUE"
    assert "expected images of shape (n, 28, 28) with pixels from 0 to 255" in message
    assert REFUSED[name] in message


def test_the_server_answers_with_probabilities(trial: dict[str, Any]) -> None:
    status, probabilities = trial["by http"]["integers"]
    assert status == 200
    np.testing.assert_allclose(probabilities, trial["in process"]["uint8"][:1], rtol=1e-5)


def test_the_server_does_not_round_pixels(trial: dict[str, Any]) -> None:
    (fraction, exact), (whole, rounded) = trial["by http"]["fractions"], trial["by http"]["whole"]
    assert (fraction, whole) == (200, 200)
    assert exact != rounded


def test_the_server_takes_almost_black_images_as_whole_numbers(trial: dict[str, Any]) -> None:
    status, _ = trial["by http"]["almost black"]
    assert status == 200


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_the_server_answers_bad_requests_with_400(trial: dict[str, Any], name: str) -> None:
    status, _ = trial["by http"][name]
    assert status == 400


def test_the_signature_tells_raw_pixels_and_probabilities(logged: Path) -> None:
    signature = mlflow.models.Model.load(logged).signature.to_dict()
    tensor = {"type": "tensor"}
    pixels, probabilities = ({"dtype": "uint8", "shape": [-1, 28, 28]}, {"dtype": "float32", "shape": [-1, 3]})
    assert json.loads(signature["inputs"]) == [{**tensor, "tensor-spec": pixels}]
    assert json.loads(signature["outputs"]) == [{**tensor, "tensor-spec": probabilities}]


def test_the_requirements_are_pinned_to_what_is_installed(logged: Path) -> None:
    pinned = (logged / "requirements.txt").read_text().split()
    names = ("mlflow", "keras", "tensorflow", "numpy")
    assert set(pinned) == {f"{name}=={importlib.metadata.version(name)}" for name in names}


def test_logging_a_model_loads_neither_keras_nor_a_backend(make_stages_in: Any, tmp_path: Path) -> None:
    stages = make_stages_in(tmp_path)
    stages.train("small")
    code = """
publish.publish(workspace, params, "train", "small")
print([name for name in ("keras", "tensorflow", "jax") if name in sys.modules])
"""
    assert stages.python(code) == "[]\n"
    assert len(stages.view.run("digits", "small").outputs.model_outputs) == 1
