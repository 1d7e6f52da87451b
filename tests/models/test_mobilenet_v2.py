"""The frozen MobileNetV2: what it is fed with, its parts together, and what is said of weights that do not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.data import Features
from pipeline.config.load import load_params
from pipeline.runtime import backend

PARAMS = load_params(Path(__file__).parents[2])
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What mobilenet_trial.py prints."""
    script = Path(__file__).with_name("mobilenet_trial.py")
    finished = subprocess.run(
        [sys.executable, script, tmp_path_factory.mktemp("trial")],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return json.loads(finished.stdout)


def fed(features: Features) -> np.ndarray:
    """What the network is fed with for IMAGES."""
    backend.configure("jax", threads=2)
    import keras

    from pipeline.models import mobilenet_v2

    pixels = keras.Input((28, 28), name="pixels")
    return np.asarray(keras.Model(pixels, mobilenet_v2.network_input(pixels, features))(IMAGES))


def interpolated(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear interpolation between pixel centres, the edge repeated beyond them."""
    length = len(image)
    centres = (np.arange(size) + 0.5) * length / size - 0.5
    rows = np.stack([np.interp(centres, np.arange(length), row) for row in image])
    return np.stack([np.interp(centres, np.arange(length), column) for column in rows.T]).T


def test_the_ablation_is_fed_with_raw_pixels_between_zeros() -> None:
    received = fed(PARAMS.features["fashion-mnist-32"])
    expected = np.zeros((3, 32, 32), np.float32)
    expected[:, 2:30, 2:30] = IMAGES
    np.testing.assert_array_equal(received, np.repeat(expected[..., np.newaxis], 3, axis=3))


def test_the_corrected_transfer_is_fed_with_enlarged_pixels_from_minus_1_to_1() -> None:
    received = fed(PARAMS.features["fashion-mnist-96"])
    expected = np.stack([interpolated(image, 96) for image in IMAGES]) / 127.5 - 1
    np.testing.assert_allclose(received, np.repeat(expected[..., np.newaxis], 3, axis=3), atol=1e-5)
    assert received.min() < -0.9
    assert received.max() > 0.9


def test_padding_is_black_in_either_scaling_and_may_be_odd() -> None:
    features = Features(dataset="d", weights="w", size=33, resize="pad", pixels="symmetric")
    received = fed(features)[..., 0].copy()
    assert received.shape == (3, 33, 33)
    np.testing.assert_allclose(received[:, 2:30, 2:30], IMAGES / 127.5 - 1, atol=1e-6)
    received[:, 2:30, 2:30] = -1
    assert (received == -1).all()


@pytest.mark.slow
def test_parameter_counts_are_the_sources_and_the_base_is_frozen(trial: dict[str, Any]) -> None:
    assert (trial["total"], trial["trainable"], trial["base"]) == (2_924_106, 663_562, 2_257_984)
    assert trial["trainable in base"] == 0


@pytest.mark.slow
def test_the_head_normalizes_then_hides_then_drops_out(trial: dict[str, Any]) -> None:
    assert trial["head"] == ["InputLayer", "BatchNormalization", "Dense", "Dropout", "Dense"]


@pytest.mark.slow
def test_the_complete_model_predicts_what_its_parts_do(trial: dict[str, Any]) -> None:
    assert trial["input"] == [None, 28, 28]
    assert trial["features"] == [6, 1280]
    np.testing.assert_allclose(trial["complete"], trial["by parts"], atol=1e-4)
    np.testing.assert_array_equal(trial["complete"], trial["of floats"])
    assert np.ptp(trial["complete"], axis=0).max() > 0.01, "of different images"


@pytest.mark.slow
def test_random_weights_tell_images_apart(trial: dict[str, Any]) -> None:
    assert trial["spread"] > 0.1


@pytest.mark.slow
def test_weights_as_keras_2_saved_them_are_read_too(trial: dict[str, Any]) -> None:
    assert trial["same as keras 2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("missing.weights.h5", "but the file is missing. Run `dvc repro` to make it."),
        ("text.weights.h5", "file signature not found"),
        ("short.weights.h5", "truncated file"),
        ("narrow.weights.h5", "could not be loaded"),
        ("narrow.h5", "Shape mismatch"),
    ],
)
def test_weights_that_cannot_be_loaded_are_named(trial: dict[str, Any], file: str, reason: str) -> None:
    said = trial["refusals"][file]
    assert f"/{file}: expected weights of MobileNetV2 without its top, but the file is " in said
    assert reason in said
    assert said.endswith(("Run `dvc repro` to make it.", "Delete it, then run `dvc repro` again."))
