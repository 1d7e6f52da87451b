"""The models of params.yaml: as large as the sources', built of the layers that the study names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline import models
from pipeline.config.load import load_params
from pipeline.config.models import CnnVariant, DerivedVariant, MlpVariant
from pipeline.runtime import backend

REPOSITORY = Path(__file__).parents[2]
PARAMS = load_params(REPOSITORY)
REPORTED = YAML(typ="safe").load(REPOSITORY / "reported_results.yaml")
IMAGE = (28, 28)


@pytest.fixture(autouse=True)
def keras_on_jax() -> None:
    backend.configure("jax", threads=2)


# The frozen networks and their heads have tests of their own.
TRANSFERS = PARAMS.transfers.keys()
NAMES = [name for name in PARAMS.all_variants if name not in TRANSFERS]


def with_the_sources_layers(name: str) -> Any:
    """A variant of params.yaml; a derived one with what the source's search or sweep chose."""
    spec = PARAMS.all_variants[name]
    if not isinstance(spec, DerivedVariant):
        return spec
    if spec.layers_from in PARAMS.sweeps:
        return spec.resolved(PARAMS.swept["four_nine_dropout_10"].layers)
    units = REPORTED[spec.study][spec.layers_from]["reported"]["best_units"]
    return spec.resolved(PARAMS.searches[spec.layers_from].layers(units))


def reported_parameters(name: str) -> int:
    spec = PARAMS.all_variants[name]
    rows = REPORTED[spec.study]
    if isinstance(spec, DerivedVariant) and spec.layers_from in PARAMS.searches:
        return rows[spec.layers_from]["reported"]["refit_params"]
    # The source varies the regularization of one architecture, and counts it once.
    return rows[name if name in rows else "four_nine_baseline"]["params"]


def built(name: str) -> Any:
    spec = with_the_sources_layers(name)
    if spec.dataset in PARAMS.signals:
        return models.build(spec, input_shape=(PARAMS.signals[spec.dataset].num_points,), num_outputs=4, seed=0)
    num_classes = len(PARAMS.datasets[spec.dataset].classes)
    return models.build(spec, input_shape=IMAGE, num_outputs=num_classes, seed=0)


def layer_kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count_equals_the_sources(name: str) -> None:
    assert built(name).count_params() == reported_parameters(name)


def test_47_models_are_counted_here_and_the_transfers_elsewhere() -> None:
    assert (len(NAMES), len(TRANSFERS)) == (47, 2)
    uncounted = [name for name in NAMES if name.startswith("four_nine")]
    assert len(uncounted) == 14
    assert {reported_parameters(name) for name in uncounted} == {98_902}


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
    spec = PARAMS.variants["digits_64x64"]

    def kernel(seed: int) -> np.ndarray:
        return models.build(spec, input_shape=IMAGE, num_outputs=10, seed=seed).get_weights()[0]

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))


def test_both_penalties_of_a_layer_add_up() -> None:
    spec = MlpVariant.model_validate(
        {
            "study": "s",
            "dataset": "d",
            "family": "mlp",
            "engine": "jax",
            "layers": [{"units": 3, "l1": 0.5, "l2": 0.25}],
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "batch_size": 1,
            "epochs": 1,
        }
    )
    model = models.build(spec, input_shape=(2, 2), num_outputs=2, seed=0)
    kernel = model.layers[2].get_weights()[0]
    expected = 0.5 * np.abs(kernel).sum() + 0.25 * np.square(kernel).sum()
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "penalty", "coefficient"),
    [("four_nine_l1_1e-2", "l1", 0.01), ("four_nine_l2_1e-3", "l2", 0.001)],
)
def test_four_against_nine_is_penalized_on_every_layer_and_ends_in_two_sigmoids(
    name: str, penalty: str, coefficient: float
) -> None:
    """The source's L1 and L2 models ended in ReLU, and its L2 models had the L1 penalty."""
    dense = [layer for layer in built(name).layers if type(layer).__name__ == "Dense"]
    assert [type(layer.kernel_regularizer).__name__.lower() for layer in dense] == [penalty] * 4
    assert [float(getattr(layer.kernel_regularizer, penalty)) for layer in dense] == pytest.approx([coefficient] * 4)
    assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "relu", "sigmoid"]
    assert dense[-1].units == 2


def test_sigmoid_outputs_are_each_a_probability_of_their_own() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, *IMAGE)).astype(np.uint8)
    probabilities = np.asarray(built("four_nine_baseline")(images))
    assert probabilities.shape == (40, 2)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)


def test_searched_networks_start_from_he_normal_kernels_but_for_the_output() -> None:
    dense = [layer for layer in built("digits_grid_3_bn_dropout").layers if type(layer).__name__ == "Dense"]
    initializers = [type(layer.kernel_initializer).__name__ for layer in dense]
    assert initializers == ["HeNormal", "HeNormal", "HeNormal", "GlorotUniform"]
    # Of 784 inputs: the standard deviation of the truncated normal distribution is that of He et al.
    assert np.std(dense[0].get_weights()[0]) == pytest.approx((2 / 784) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("digits_grid_2_bn_dropout", ["Dense", "BatchNormalization", "Dropout"]),
        ("digits_grid_2_bn", ["Dense", "BatchNormalization"]),
        ("digits_grid_2_dropout", ["Dense", "Dropout"]),
    ],
)
def test_a_searched_block_is_dense_then_normalization_then_dropout(name: str, block: list[str]) -> None:
    assert layer_kinds(built(name))[2:] == [*block, *block, "Dense"]


def test_the_regressor_takes_signals_as_they_are_and_is_linear_at_the_end() -> None:
    model = built("sine_64x16")
    assert layer_kinds(model) == ["InputLayer", "Dense", "Dense", "Dense"]
    # (1,000 + 1) * 64: why the first layer has most of the parameters.
    assert model.layers[1].count_params() == 64_064
    assert model.layers[-1].activation.__name__ == "linear"
    signals = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    values = signals
    for layer in model.layers[1:]:
        kernel, bias = layer.get_weights()
        values = values @ kernel + bias
        values = values if layer is model.layers[-1] else np.maximum(values, 0)
    np.testing.assert_allclose(np.asarray(model(signals)), values, atol=1e-4)


def test_every_family_of_the_parameters_can_be_built() -> None:
    assert {variant.family for variant in PARAMS.all_variants.values()} == {"mlp", "cnn", "mobilenet_v2", "regressor"}
    assert {MlpVariant, CnnVariant} == {type(variant) for variant in PARAMS.variants.values()}
