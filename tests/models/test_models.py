"""The models of params.yaml: as large as the sources', built of the layers that the study names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline import compute, models
from pipeline.params import CnnVariant, MlpVariant, load_params

REPOSITORY = Path(__file__).parents[2]
PARAMS = load_params(REPOSITORY / "params.yaml")
REPORTED = YAML(typ="safe").load(REPOSITORY / "reported_results.yaml")
IMAGE = (28, 28)


@pytest.fixture(autouse=True)
def keras_on_jax() -> None:
    compute.configure("jax", threads=2)


def built(name: str) -> Any:
    return models.build(PARAMS.all_variants[name], input_shape=IMAGE, num_classes=10, seed=0)


def layer_kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", PARAMS.all_variants)
def test_parameter_count_equals_the_sources(name: str) -> None:
    expected = REPORTED[PARAMS.all_variants[name].study][name]["params"]
    assert built(name).count_params() == expected


def test_batch_normalization_has_statistics_that_are_not_trained() -> None:
    model = built("fashion_cnn_batchnorm")
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 242_250


def test_digits_400x300_is_dense_dropout_twice() -> None:
    model = built("digits_400x300")
    assert layer_kinds(model)[1:] == ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.4, 0.4]


def test_digits_64x16_l2_has_one_dropout_and_two_penalties() -> None:
    model = built("digits_64x16_l2")
    assert layer_kinds(model).count("Dropout") == 1
    penalties = [layer.kernel_regularizer for layer in model.layers if type(layer).__name__ == "Dense"]
    assert [float(penalty.l2) if penalty else None for penalty in penalties] == pytest.approx([1e-4, 1e-4, None])


def test_convolution_comes_before_normalization_pooling_and_dropout() -> None:
    block = ["Conv2D", "BatchNormalization", "MaxPooling2D", "Dropout"]
    tail = ["Flatten", "Dense", "BatchNormalization", "Dropout", "Dense"]
    assert layer_kinds(built("fashion_cnn_batchnorm"))[2:] == [*block, *block, *block, *tail]


def test_activity_penalty_is_the_sources_sum_over_32_images() -> None:
    model = built("fashion_512x256_l1")
    images = np.random.default_rng(0).integers(0, 256, (32, *IMAGE)).astype(np.uint8)
    model(images)
    dense = [layer for layer in model.layers if layer.name.startswith("dense")]
    activations = images.reshape(32, -1) / 255
    total = 0.0
    for layer in dense:
        kernel, bias = layer.get_weights()
        activations = np.maximum(activations @ kernel + bias, 0)
        total += 1e-4 * np.abs(activations).sum()
    assert sum(float(loss) for loss in model.losses) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("name", ["digits_64x64", "fashion_cnn_basic"])
def test_raw_pixels_become_probabilities(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *IMAGE)).astype(np.uint8)
    model = built(name)
    probabilities = np.asarray(model(images))
    assert probabilities.shape == (5, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities, np.asarray(model(images.astype("float32"))))


def test_equal_seeds_give_equal_weights() -> None:
    spec = PARAMS.all_variants["digits_64x64"]

    def kernel(seed: int) -> np.ndarray:
        return models.build(spec, input_shape=IMAGE, num_classes=10, seed=seed).get_weights()[0]

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))


def test_both_penalties_of_a_layer_add_up() -> None:
    spec = MlpVariant.model_validate(
        {
            "study": "s",
            "dataset": "d",
            "family": "mlp",
            "layers": [{"units": 3, "l1": 0.5, "l2": 0.25}],
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "batch_size": 1,
            "epochs": 1,
        }
    )
    model = models.build(spec, input_shape=(2, 2), num_classes=2, seed=0)
    kernel = model.layers[2].get_weights()[0]
    expected = 0.5 * np.abs(kernel).sum() + 0.25 * np.square(kernel).sum()
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


def test_every_family_of_the_parameters_can_be_built() -> None:
    families = {variant.family for variant in PARAMS.all_variants.values()}
    assert families == set(compute.BACKEND_OF_FAMILY)
    assert {MlpVariant, CnnVariant} == {type(variant) for variant in PARAMS.all_variants.values()}
