"""Describe the weights of every dense layer of a derived variant: kernels, not biases nor batch normalization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import compute, entry, storage, tracking
from pipeline.errors import PipelineError
from pipeline.params import Params, require
from pipeline.paths import Workspace
from pipeline.plots import kernels as plots

if TYPE_CHECKING:
    import keras

# Nothing is computed that threads could split.
THREADS = 1
# A weight is near zero below this part of the standard deviation that its layer started with: 6 to 7 % do then.
NEAR_ZERO = 0.1


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Tabulate and draw the weights of the dense layers of a variant, as trained and as they started."""
    variant = require(params.derived, name, "variant under derived")
    compute.configure("jax", threads=THREADS)
    path = workspace.model(name, variant)
    layers = dense_layers(storage.read_model(path))
    if not layers:
        raise PipelineError(f"{path}: expected a model with dense layers, got none. Run `dvc repro derive@{name}`.")
    kernels = {layer.name: kernel_of(layer) for layer in layers}
    initial = {layer.name: std for layer in layers if (std := initial_std(layer)) is not None}
    folder = workspace.kernels(name)
    storage.write_table(folder / "statistics.csv", statistics(kernels, initial))
    title = f"{name}: weights after training, with median and quartiles"
    storage.write_figure(folder / "violins.png", plots.violins(kernels, initial, title=title))
    tracking.publish_kernels(workspace, params, name)


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """The dense layers of a model from input to output, the output layer included."""
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def kernel_of(layer: keras.layers.Dense) -> NDArray[np.float32]:
    """The kernel (inputs, outputs) of a layer, by name: its place among a model's arrays depends on its neighbours."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(layer.kernel))


def initial_std(layer: keras.layers.Dense) -> float | None:
    """The standard deviation that a layer's initializer aims at; None for one that is neither He nor Glorot."""
    import keras

    num_inputs, num_outputs = layer.kernel.shape
    match layer.kernel_initializer:
        case keras.initializers.HeNormal():
            return math.sqrt(2 / num_inputs)
        case keras.initializers.GlorotUniform():
            return math.sqrt(2 / (num_inputs + num_outputs))
        case _:
            return None


def statistics(kernels: Mapping[str, NDArray[Any]], initial: Mapping[str, float]) -> pd.DataFrame:
    """A row per layer: its shape, and the distribution of its weights beside the standard deviation at the start.

    `share_near_zero` are the weights within NEAR_ZERO of that standard deviation; both are empty where it is not known.
    """
    return pd.DataFrame([_row(name, kernel.astype(np.float64), initial.get(name)) for name, kernel in kernels.items()])


def _row(name: str, kernel: NDArray[np.float64], initial: float | None) -> dict[str, Any]:
    return {
        "layer": name,
        "shape": "x".join(map(str, kernel.shape)),
        "num_weights": kernel.size,
        "mean": float(kernel.mean()),
        "std": float(kernel.std()),
        "min": float(kernel.min()),
        "max": float(kernel.max()),
        "initial_std": initial,
        "share_near_zero": None if initial is None else float(np.mean(np.abs(kernel) < NEAR_ZERO * initial)),
    }


if __name__ == "__main__":
    entry.run(main)
