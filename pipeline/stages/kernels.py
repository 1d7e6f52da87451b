"""Describe the weights of every dense layer of a derived variant: kernels, not biases nor batch normalization."""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import kernels as plots

# A weight is near zero below this part of the standard deviation that its layer started with: 6 to 7 % do then.
NEAR_ZERO = 0.1


@dataclass(frozen=True)
class DenseKernel:
    """The kernel (inputs, outputs) of a dense layer, and the class of its initializer."""

    layer: str
    values: NDArray[np.float32]
    initializer: str

    @property
    def initial_std(self) -> float | None:
        """The standard deviation that the initializer aims at; None for one that is neither He nor Glorot."""
        divisor = {"HeNormal": self.values.shape[0], "GlorotUniform": sum(self.values.shape)}.get(self.initializer)
        return None if divisor is None else math.sqrt(2 / divisor)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Tabulate and draw the weights of the dense layers of a variant, as trained and as they started."""
    variant = require(params.derived, name, "variant under derived")
    layers = dense_kernels(workspace.model(name, variant))
    kernels = {layer.layer: layer.values for layer in layers}
    initial = {layer.layer: std for layer in layers if (std := layer.initial_std) is not None}
    folder = workspace.kernels(name)
    storage.write_table(folder / "statistics.csv", statistics(kernels, initial))
    title = f"{name}: weights after training, with median and quartiles"
    storage.write_figure(folder / "violins.png", plots.violins(kernels, initial, title=title))


def dense_kernels(path: Path) -> list[DenseKernel]:
    """The dense layers of a saved model from input to output, the output layer included.

    Read from the archive itself: Keras takes seconds to start, and nothing is computed. Raises PipelineError when the
    file is missing or damaged.
    """
    with storage.explained(path, "a Keras model"), zipfile.ZipFile(path) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
        dense = [layer["config"] for layer in layers if layer["class_name"] == "Dense"]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            # Groups have names of Keras's own; an attribute says which layer each belongs to.
            variables = {group["vars"].attrs["name"]: group["vars"] for group in file["layers"].values()}
            # A layer's first variable is its kernel.
            kernels = {layer["name"]: np.asarray(variables[layer["name"]]["0"]) for layer in dense}
        return [DenseKernel(it["name"], kernels[it["name"]], it["kernel_initializer"]["class_name"]) for it in dense]


def statistics(kernels: Mapping[str, NDArray[Any]], initial: Mapping[str, float]) -> pd.DataFrame:
    """A row per layer: its shape, and the distribution of its weights, and the standard deviation at the start.

    `share_near_zero` are the weights within NEAR_ZERO of that standard deviation; both are empty where it is not known.
    """
    rows = []
    for name, kernel in kernels.items():
        values, std = kernel.astype(np.float64), initial.get(name)
        rows.append(
            {
                "layer": name,
                "shape": "x".join(map(str, kernel.shape)),
                "num_weights": kernel.size,
                "mean": float(values.mean()),
                "std": float(values.std()),
                "min": float(values.min()),
                "max": float(values.max()),
                "initial_std": std,
                "share_near_zero": None if std is None else float(np.mean(np.abs(values) < NEAR_ZERO * std)),
            }
        )
    return pd.DataFrame(rows)
