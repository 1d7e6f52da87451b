from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.evaluation import scoring
from pipeline.runtime import backend

if TYPE_CHECKING:
    import keras

NUM_IMAGES = 25


def build(*, l2: float = 0.0, activity_l1: float = 0.0, dropout: float = 0.0) -> Any:
    """A model of 4x4 images with one hidden layer of 4 units and 3 classes."""
    backend.configure("jax", threads=1)
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((4, 4), name="pixels")
    features = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1 / 255, name="scale")(pixels))
    features = keras.layers.Dense(
        4,
        activation="relu",
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        activity_regularizer=keras.regularizers.L1(activity_l1) if activity_l1 else None,
        name="hidden",
    )(features)
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    output = keras.layers.Dense(3, activation="softmax", name="probabilities")(features)
    return keras.Model(pixels, output, name="model")


def forward(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer's output and the probabilities, by NumPy."""
    kernel, bias, output_kernel, output_bias = model.get_weights()
    hidden = np.maximum(images.reshape(len(images), -1) / 255 @ kernel + bias, 0)
    scores = np.exp(hidden @ output_kernel + output_bias)
    return hidden, scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 4, 4), dtype=np.uint8)


@pytest.mark.parametrize("batch_size", [1, 7, 25, 1000])
def test_every_example_is_predicted_in_order_whatever_the_batch_size(images: np.ndarray, batch_size: int) -> None:
    model = build(dropout=0.5)
    probabilities, penalty = scoring.predict_in_batches(model, images, batch_size)
    assert probabilities.dtype == np.float32
    assert penalty == 0
    np.testing.assert_allclose(probabilities, forward(model, images)[1], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [7, 25])
def test_penalty_is_the_exact_mean_per_example(images: np.ndarray, batch_size: int) -> None:
    model = build(l2=0.1, activity_l1=0.3)
    _, penalty = scoring.predict_in_batches(model, images, batch_size)
    kernel = model.get_layer("hidden").get_weights()[0]
    hidden, _ = forward(model, images)
    expected = 0.1 * (kernel.astype(np.float64) ** 2).sum() + 0.3 * np.abs(hidden).sum() / NUM_IMAGES
    assert penalty == pytest.approx(expected, rel=1e-5)


def test_a_row_is_correct_if_its_label_is_the_most_probable_class_and_of_equals_the_lowest() -> None:
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [0.5, 0.5]])
    assert scoring.is_correct(probabilities, np.array([0, 0, 0, 1])).tolist() == [True, False, True, False]


def test_cross_entropy_is_the_mean_negative_logarithm_of_the_true_class() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]], dtype=np.float32)
    assert scoring.cross_entropy(probabilities, np.array([0, 0])) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_cross_entropy_of_certainty_is_finite() -> None:
    probabilities = np.array([[1.0, 0.0]], dtype=np.float32)
    assert scoring.cross_entropy(probabilities, np.array([1])) == pytest.approx(-math.log(1e-7))
    assert scoring.cross_entropy(probabilities, np.array([0])) == pytest.approx(1e-7)


def test_cross_entropy_agrees_with_keras() -> None:
    backend.configure("jax", threads=1)
    import keras

    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(5, 0.1), size=200).astype(np.float32)
    labels = generator.integers(0, 5, 200)
    expected = keras.losses.categorical_crossentropy(np.eye(5, dtype=np.float32)[labels], probabilities)
    assert scoring.cross_entropy(probabilities, labels) == pytest.approx(
        float(np.mean(keras.ops.convert_to_numpy(expected), dtype=np.float64)), rel=1e-5
    )


def test_score_adds_the_penalty_to_the_loss_only() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]], dtype=np.float32)
    score = scoring.score(probabilities, np.array([1, 1]), 2.0, "categorical_crossentropy")
    cross_entropy = (math.log(2) - math.log(0.75)) / 2
    assert score.cross_entropy == pytest.approx(cross_entropy)
    assert score.loss == pytest.approx(cross_entropy + 2)
    assert score.accuracy == 0.5


def test_binary_cross_entropy_is_the_mean_over_examples_and_classes() -> None:
    # Unlike those of softmax, the rows need not sum to 1.
    probabilities = np.array([[0.5, 0.25], [0.75, 0.5]], dtype=np.float32)
    expected = -(math.log(0.5) + math.log(0.75) + math.log(0.25) + math.log(0.5)) / 4
    assert scoring.cross_entropy(probabilities, np.array([0, 1], np.uint8), "binary_crossentropy") == pytest.approx(
        expected
    )


def test_binary_cross_entropy_of_certainty_is_finite() -> None:
    probabilities = np.array([[1.0, 0.0]], dtype=np.float32)
    assert scoring.cross_entropy(probabilities, np.array([1]), "binary_crossentropy") == pytest.approx(
        -math.log(1e-7), rel=1e-6
    )
    assert scoring.cross_entropy(probabilities, np.array([0]), "binary_crossentropy") == pytest.approx(1e-7, rel=1e-6)


def test_binary_cross_entropy_agrees_with_keras() -> None:
    backend.configure("jax", threads=1)
    import keras

    generator = np.random.default_rng(0)
    probabilities = generator.uniform(size=(200, 3)).astype(np.float32)
    labels = generator.integers(0, 3, 200)
    expected = keras.losses.binary_crossentropy(np.eye(3, dtype=np.float32)[labels], probabilities)
    assert scoring.cross_entropy(probabilities, labels, "binary_crossentropy") == pytest.approx(
        float(np.mean(keras.ops.convert_to_numpy(expected), dtype=np.float64)), rel=1e-5
    )


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("categorical_crossentropy", -math.log(0.9)),
        ("binary_crossentropy", -(math.log(0.9) + math.log(0.6)) / 2),
    ],
)
def test_the_objective_decides_which_cross_entropy_is_scored(objective: Any, expected: float) -> None:
    probabilities = np.array([[0.4, 0.9]], dtype=np.float32)
    score = scoring.score(probabilities, np.array([1]), 0.5, objective)
    assert score.cross_entropy == pytest.approx(expected, rel=1e-6)
    assert score.loss == pytest.approx(expected + 0.5, rel=1e-6)
    assert score.accuracy == 1
