"""Training by plain Keras, as the sources wrote it, against the project's engines: the same variants on the same data.

`make bench` runs it. Both ways train in processes of their own, in turn, several times over; what is compared is the
seconds per epoch, validation included, without start-up and compilation (the first epoch). Machines are shared: trust
the ratios, and those no more than their spread.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.md")
VARIANTS = ["digits_512x512", "fashion_128", "fashion_512x256", "fashion_cnn_deep", "fashion_cnn_batchnorm"]
PACKAGES = ("keras", "tensorflow", "jax", "numpy")


@dataclass(frozen=True)
class Timing:
    """Seconds of each epoch but the first, and the validation accuracy after the last."""

    seconds: list[float]
    val_accuracy: float


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare(
    variants: Annotated[list[str] | None, typer.Argument(help="variants of params.yaml")] = None,
    epochs: Annotated[int, typer.Option(min=2, help="epochs of each training; the first is not counted")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="how often both ways train, in turn")] = 3,
) -> None:
    """Time both ways on the prepared data (`dvc repro prepare`), and write benchmarks/results.md."""
    rows = []
    for name in variants or VARIANTS:
        timings: dict[str, list[Timing]] = {"plain": [], "engine": []}
        for _ in range(rounds):
            for way, measured in timings.items():
                measured.append(_in_a_process(way, name, epochs))
        rows.append(_row(name, timings["plain"], timings["engine"]))
        Console().print(rows[-1])
    RESULTS.write_text(_document(rows, epochs, rounds))


@app.command(hidden=True)
def one(way: str, variant: str, epochs: int) -> None:
    """Train once and print a Timing as JSON."""
    from pipeline import compute, storage
    from pipeline.params import load_params
    from pipeline.paths import Workspace
    from pipeline.training import Examples

    workspace = Workspace(ROOT)
    params = load_params(workspace.params)
    spec = params.variants[variant].model_copy(update={"epochs": epochs})
    classes = len(params.datasets[spec.dataset].classes)
    backend = "tensorflow" if way == "plain" else compute.BACKEND_OF_FAMILY[spec.family]
    compute.configure(backend, threads=params.compute.threads)
    training, validation = (
        Examples(*storage.read_examples(workspace.prepared(spec.dataset, split), num_classes=classes))
        for split in ("train", "validation")
    )
    train = _plain if way == "plain" else _engine
    json.dump(train(spec, training, validation, classes, params.compute.seed), sys.stdout)


def _engine(spec: Any, training: Any, validation: Any, num_classes: int, seed: int) -> dict[str, Any]:
    from pipeline import models
    from pipeline.training import train

    model = models.build(spec, input_shape=training.inputs.shape[1:], num_outputs=num_classes, seed=seed)
    ends = [time.perf_counter()]
    history = train(
        model,
        spec,
        training=training,
        validation=validation,
        seed=seed,
        on_epoch=lambda epoch, values: ends.append(time.perf_counter()),
    )
    return _timing(ends, float(history["val_accuracy"].iloc[-1]))


def _plain(spec: Any, training: Any, validation: Any, num_classes: int, seed: int) -> dict[str, Any]:
    """Scaled, one-hot arrays and `Model.fit`, with Keras's defaults."""
    import keras

    from pipeline import models
    from pipeline.training.callbacks import optimizer, schedule

    model = models.build(spec, input_shape=training.inputs.shape[1:], num_outputs=num_classes, seed=seed)
    model.compile(optimizer=optimizer(spec.optimizer), loss="categorical_crossentropy", metrics=["accuracy"])
    ends = [time.perf_counter()]
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    fitted = model.fit(
        training.inputs.astype("float32"),
        keras.utils.to_categorical(training.targets, num_classes),
        validation_data=(
            validation.inputs.astype("float32"),
            keras.utils.to_categorical(validation.targets, num_classes),
        ),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        callbacks=[*schedule(spec.schedule), clock],
        verbose=0,
    )
    return _timing(ends, float(fitted.history["val_accuracy"][-1]))


def _timing(ends: list[float], val_accuracy: float) -> dict[str, Any]:
    seconds = [end - start for start, end in itertools.pairwise(ends)]
    return {"seconds": seconds[1:], "val_accuracy": val_accuracy}


def _in_a_process(way: str, name: str, epochs: int) -> Timing:
    finished = subprocess.run(
        [sys.executable, __file__, "one", way, name, str(epochs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Timing(**json.loads(finished.stdout))


def _row(name: str, plain: list[Timing], engine: list[Timing]) -> str:
    slow, fast = ([second for timing in timings for second in timing.seconds] for timings in (plain, engine))
    ratio = statistics.median(slow) / statistics.median(fast)
    accuracies = [statistics.median(timing.val_accuracy for timing in timings) for timings in (plain, engine)]
    cells = [
        f"`{name}`",
        _spread(slow),
        _spread(fast),
        f"{ratio:.2f}",
        *(f"{100 * value:.2f} %" for value in accuracies),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def _document(rows: list[str], epochs: int, rounds: int) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return "\n".join(
        [
            "# Training: plain Keras against the project's engines",
            "",
            f"Seconds per epoch, validation included: median (smallest to largest) of {rounds} trainings of {epochs}",
            "epochs each way, in turn, the first epoch of each left out. Written by `make bench`.",
            "",
            "| variant | plain Keras `fit` on TensorFlow | engine | ratio | validation accuracy, plain | engine |",
            "|---|--:|--:|--:|--:|--:|",
            *rows,
            "",
            f"Machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python "
            f"{platform.python_version()}, {versions}.",
            "",
        ]
    )


if __name__ == "__main__":
    app()
