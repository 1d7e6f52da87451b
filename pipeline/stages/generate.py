"""Generate a signal's training, validation, test and extended test rows, with statistics and plots."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data import Signal
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data import preprocessing
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.waves import data, plots

NUM_EXAMPLES = 5
# Points of the formula's curve for each one of the row that it is laid over.
FINENESS = 10


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Generate a signal's rows from its seed, describe and plot them."""
    signal = require(params.signals, name, "signal")
    splits = data.generate(signal)
    for split, (inputs, targets) in splits.items():
        storage.write_arrays(workspace.prepared(name, split), inputs=inputs, targets=targets)
    folder = workspace.dataset_results(name)
    storage.write_json(folder / "statistics.json", describe(signal, splits))
    _draw(folder, signal, splits["train"])


def describe(signal: Signal, splits: dict[str, data.Rows]) -> dict[str, Any]:
    """What statistics.json holds. Of the test rows only their number and digest."""
    parameters = splits["train"][1].astype(np.float64)
    return {
        "title": signal.title,
        "num_points": signal.num_points,
        "length_in_pi": signal.length_in_pi,
        "num_examples": {split: len(targets) for split, (_, targets) in splits.items()},
        "train_parameters": {
            name: {"mean": float(values.mean()), "std": float(values.std())}
            for name, values in zip(data.PARAMETERS, parameters.T, strict=True)
        },
        "sha256": {split: preprocessing.digest(*arrays) for split, arrays in splits.items()},
        "example": dict(zip(data.PARAMETERS, signal.example, strict=True)),
    }


def _draw(folder: Path, signal: Signal, train: data.Rows) -> None:
    x = data.axis(signal)
    inputs, targets = train
    storage.write_figure(folder / "examples.png", plots.examples(x, inputs[:NUM_EXAMPLES], targets[:NUM_EXAMPLES]))
    (points,), _ = data.rows([signal.example], x)
    fine_x = np.linspace(x[0], x[-1], FINENESS * len(x))
    (curve,) = data.waves([signal.example], fine_x)
    figure = plots.example(x, points, fine_x=fine_x, formula_curve=curve, wave=signal.example)
    storage.write_figure(folder / "example.png", figure)
