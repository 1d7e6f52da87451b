from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.errors import PipelineError
from pipeline.runtime import backend
from pipeline.training import summary

SPEC = {
    "study": "digits",
    "dataset": "mnist",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "batch_size": 1,
    "epochs": 1,
}
AUGMENTATION = {"shear_degrees": 10, "rotation_degrees": 10, "zoom": 0.2}


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [0.9, 0.5, 0.4], "val_loss": [0.7, 0.45, 0.5], "learning_rate": [0.1] * 3}
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"layers": [{"units": 4}]}, ()),
        ({"layers": [{"units": 4}, {"units": 4, "dropout": 0.1}]}, ("dropout",)),
        ({"layers": [{"units": 4}], "augmentation": AUGMENTATION}, ("augmentation",)),
        ({"layers": [{"units": 4, "dropout": 0.1}], "augmentation": AUGMENTATION}, ("dropout", "augmentation")),
    ],
)
def test_what_a_dense_network_does_in_training_only(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    spec = MlpVariant.model_validate({**SPEC, "family": "mlp", "engine": "jax", **changes})
    assert summary.active_in_training(spec) == expected


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, ()), (0.2, ("dropout",))])
def test_what_a_convolutional_network_does_in_training_only(dropout: float, expected: tuple[str, ...]) -> None:
    blocks = [{"filters": 4, "padding": "same", "dropout": dropout}]
    spec = CnnVariant.model_validate(
        {**SPEC, "family": "cnn", "engine": "tensorflow", "blocks": blocks, "layers": [{"units": 4}]}
    )
    assert summary.active_in_training(spec) == expected


def test_finite_figures_have_converged(history: pd.DataFrame) -> None:
    summary.check_converged(history, "variants.narrow")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_is_told_from_its_first_epoch_on(history: pd.DataFrame, value: float) -> None:
    history.loc[1:, "val_loss"] = value
    with pytest.raises(PipelineError) as raised:
        summary.check_converged(history, "variants.narrow")
    assert str(raised.value) == (
        "variants.narrow: training diverged, its figures are NaN or infinite from epoch 2 on. "
        "Lower optimizer.learning_rate."
    )


def test_parameters_are_counted_with_and_without_the_moving_averages() -> None:
    backend.configure("jax", threads=1)
    import keras

    inputs = keras.Input((5,), name="inputs")
    hidden = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(3, name="hidden")(inputs))
    # 5 inputs and a bias to 3 units, scale and shift of each; mean and variance of each besides.
    assert summary.parameter_counts(keras.Model(inputs, hidden)) == {"total": 18 + 12, "trainable": 18 + 6}
