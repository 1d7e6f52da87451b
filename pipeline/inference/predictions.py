"""Predictions of a registered model for a user's files: `python -m pipeline predict`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from pipeline.inference.files import Collected, Expected, FileInputs
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
    `unusable` says of each file that was skipped why, `others` are files of folders that no model reads.
    """

    model: str
    rows: pd.DataFrame
    reading: float
    loading: float
    predicting: float
    unusable: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """How files are read: `each` digit of a picture or the only one, images with columns for rows `transposed`.

    With `skip_unusable` the other files are predicted where some cannot be used.
    """

    each: bool = False
    transposed: bool = False
    skip_unusable: bool = False


AS_THEY_ARE = Reading()


def predict(
    workspace: Workspace,
    params: Params,
    task: str,
    places: Sequence[Path],
    *,
    version: int | None = None,
    reading: Reading = AS_THEY_ARE,
) -> FilePredictions:
    """Predict files, and all files in folders, with a version of a task's registered model: without one its champion.

    Raises PipelineError when there is no such task, model or version, or a file cannot be used; where such files are
    skipped, when none can.
    """
    dataset = require(params.tasks, task, "task").dataset
    expected = _expected(params, dataset, task, reading)
    found = loading.registered_version(workspace, params, task, version)
    started = time.perf_counter()
    collected = files.collect(places, expected)
    inputs = _chosen(collected, skip_unusable=reading.skip_unusable)
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
    rows = _rows(inputs, _columns(params, dataset, outputs, model=str(found)))
    return FilePredictions(
        str(found),
        rows,
        read - started,
        loaded - read,
        predicted - loaded,
        {_text(path): problem for path, problem in collected.unusable.items()},
        [_text(path) for path in collected.others],
    )


def _expected(params: Params, dataset: str, task: str, reading: Reading) -> Expected:
    """The examples that a task's models take. Raises PipelineError for an option that has no meaning for them."""
    if dataset in params.signals:
        if reading.each or reading.transposed:
            raise PipelineError(f"{task}: expected a task of images for --each and --transpose, got one of waves.")
        return Expected((params.signals[dataset].num_points,), is_image=False)
    shape, kind = (pictures.IMAGE_SIZE, pictures.IMAGE_SIZE), params.pictures.get(dataset)
    if reading.each and kind != "digits":
        raise PipelineError(f"{task}: expected a task whose pictures are of digits for --each, got {kind or 'arrays'}.")
    return Expected(shape, is_image=True, picture_kind=kind, each=reading.each, transposed=reading.transposed)


def _chosen(collected: Collected, *, skip_unusable: bool) -> list[FileInputs]:
    """The files to predict. Raises PipelineError where one cannot be used; if such are skipped, where none can."""
    if skip_unusable and collected.usable:
        return collected.usable
    return files.require_usable(collected)


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


def _rows(files: Sequence[FileInputs], columns: dict[str, NDArray[Any]]) -> pd.DataFrame:
    sizes = [len(file.examples) for file in files]
    names = [_text(file.path) for file in files]
    return pd.DataFrame(
        {"file": np.repeat(names, sizes), "index": np.concatenate([np.arange(size) for size in sizes]), **columns}
    )


def _text(path: Path) -> str:
    """A path to be printed or written: names of files may hold any bytes, texts may not."""
    return str(path).encode(errors="backslashreplace").decode()


def check_output(path: Path) -> None:
    """Raises PipelineError unless a file of that name can hold predictions: better before than after them."""
    if path.suffix.lower() not in OUTPUT_KINDS or path.is_dir():
        raise PipelineError(f"--output {path}: expected a file named *{' or *'.join(OUTPUT_KINDS)}, got {path.name!r}.")


def write(path: Path, predictions: FilePredictions) -> None:
    """Write all rows as CSV, or as JSON with the model beside them, whole or not at all; and which files were skipped.

    These have a row in a CSV file too, with why they cannot be used in a last column `problem`.
    """
    rows, skipped = predictions.rows, predictions.unusable
    if path.suffix.lower() == ".csv":
        if skipped:
            further = pd.DataFrame({"file": list(skipped), "problem": list(skipped.values())})
            rows = pd.concat([rows, further]).astype({"index": "Int64"})
        storage.write_table(path, rows)
    else:
        rows = rows.astype(dict.fromkeys(rows.select_dtypes("float32"), float))
        content = {"model": predictions.model, "predictions": rows.to_dict("records")}
        if skipped:
            content["skipped"] = [{"file": name, "problem": problem} for name, problem in skipped.items()]
        storage.write_json(path, content)


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
        lines.append(f"All are in {_text(output)}.")
    elif further > 0:
        lines.append("--output FILE.csv or FILE.json writes all.")
    if predictions.others:
        lines.append(f"Neither pictures nor arrays, and left out: {_listed(predictions.others)}.")
    lines += [f"Skipped: {name}: {problem}" for name, problem in predictions.unusable.items()]
    if predictions.unusable:
        lines.append(f"{len(predictions.unusable):,} cannot be used and were skipped; the exit status says so.")
    return Group(Text(predictions.model), table, *map(Text, lines))


def _listed(names: Sequence[str]) -> str:
    further = len(names) - SHOWN_ROWS
    return ", ".join(names[:SHOWN_ROWS]) + f" and {further:,} more" * (further > 0)
