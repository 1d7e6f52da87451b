"""Predictions of a registered model for a user's files: `python -m pipeline predict`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.inference import files, pictures
from pipeline.inference.files import Expected
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.studies.waves.data import PARAMETERS
from pipeline.tracking import loading

# More rows than these are for a file, not for a terminal.
SHOWN_ROWS = 20
OUTPUT_KINDS = (".csv", ".json")


@dataclass(frozen=True)
class FilePredictions:
    """One row per example: its `file`, its `index` there from 0, and what the model says; and the seconds of each step.

    Of a class that is `class`, its `probability`, and the `probability_<class>` of each; of a wave a, b, c and d.
    """

    model: str
    rows: pd.DataFrame
    reading: float
    loading: float
    predicting: float


def predict(
    workspace: Workspace, params: Params, task: str, places: Sequence[Path], *, version: int | None = None
) -> FilePredictions:
    """Predict files, and all files in folders, with a version of a task's registered model: without one its champion.

    Raises PipelineError when there is no such task, model or version, or a file cannot be used.
    """
    dataset = require(params.tasks, task, "task").dataset
    found = loading.registered_version(workspace, params, task, version)
    started = time.perf_counter()
    if dataset in params.signals:
        expected = Expected((params.signals[dataset].num_points,), is_image=False)
    else:
        shape = (pictures.IMAGE_SIZE, pictures.IMAGE_SIZE)
        expected = Expected(shape, is_image=True, picture_kind=params.pictures.get(dataset))
    inputs = files.read_inputs(places, expected)
    read = time.perf_counter()
    # The backend that the model is also served with; one that is fast for every family.
    backend.configure("tensorflow", threads=params.compute.threads)
    try:
        with loading.open_version(workspace, found) as model:
            loaded = time.perf_counter()
            outputs = model.predict(np.concatenate([file.examples for file in inputs]))
            predicted = time.perf_counter()
    except loading.UnusableModelError as error:
        raise PipelineError(f"{found}: {error}\n{error.advice}") from error
    sizes = [len(file.examples) for file in inputs]
    columns = {
        # Names of files may hold any bytes, texts may not.
        "file": np.repeat([str(file.path).encode(errors="backslashreplace").decode() for file in inputs], sizes),
        "index": np.concatenate([np.arange(size) for size in sizes]),
        **_columns(params, dataset, outputs, model=str(found)),
    }
    return FilePredictions(str(found), pd.DataFrame(columns), read - started, loaded - read, predicted - loaded)


def _columns(params: Params, dataset: str, outputs: NDArray[Any], *, model: str) -> dict[str, NDArray[Any]]:
    """What a model says, by name."""
    is_wave = dataset in params.signals
    names = PARAMETERS if is_wave else params.datasets[dataset].classes
    if outputs.shape[1] != len(names):
        raise PipelineError(
            f"{model}: expected {len(names)} outputs, as params/data.yaml has it of {dataset}, got {outputs.shape[1]}. "
            "Run `dvc repro` to train and register a model that fits, or name a version that does."
        )
    by_name = dict(zip(names, outputs.T, strict=True))
    if is_wave:
        return by_name
    classes = scoring.predicted_classes(outputs)
    return {
        "class": np.array(names)[classes],
        "probability": outputs[np.arange(len(outputs)), classes],
        **{f"probability_{name}": column for name, column in by_name.items()},
    }


def check_output(path: Path) -> None:
    """Raises PipelineError unless a file of that name can hold predictions: better before than after them."""
    if path.suffix.lower() not in OUTPUT_KINDS or path.is_dir():
        raise PipelineError(f"--output {path}: expected a file named *{' or *'.join(OUTPUT_KINDS)}, got {path.name!r}.")


def write(path: Path, predictions: FilePredictions) -> None:
    """Write all rows as CSV, or as JSON with the model beside them, whole or not at all."""
    if path.suffix.lower() == ".csv":
        storage.write_table(path, predictions.rows)
    else:
        rows = predictions.rows.astype(dict.fromkeys(predictions.rows.select_dtypes("float32"), float))
        storage.write_json(path, {"model": predictions.model, "predictions": rows.to_dict("records")})


def shown(predictions: FilePredictions, output: Path | None = None) -> Group:
    """For the terminal: the first rows, how many more there are, what took how long, and the file that has all rows."""
    rows = predictions.rows
    columns = [name for name in rows if not str(name).startswith("probability_")]
    table = Table()
    for name in columns:
        table.add_column(str(name), justify="right" if rows[name].dtype.kind in "if" else "left", overflow="fold")
    for row in rows[columns].head(SHOWN_ROWS).itertuples(index=False):
        table.add_row(*(Text(f"{cell:.4f}" if isinstance(cell, float | np.floating) else str(cell)) for cell in row))
    further = len(rows) - SHOWN_ROWS
    lines = [f"... and {further:,} more."] if further > 0 else []
    lines.append(
        f"{len(rows):,} in {predictions.predicting:.2f} s, {1000 * predictions.predicting / len(rows):.2f} ms each; "
        f"reading took {predictions.reading:.2f} s, loading the model {predictions.loading:.2f} s."
    )
    if output is not None:
        lines.append(f"All are in {output}.")
    elif further > 0:
        lines.append("--output FILE.csv or FILE.json writes all.")
    return Group(Text(predictions.model), table, *map(Text, lines))
