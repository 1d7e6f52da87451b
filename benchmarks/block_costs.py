"""What batch normalization and dropout cost per epoch, with plain Keras as the source ran it and with the engine here.

`python benchmarks/block_costs.py measure` writes benchmarks/block_costs.csv, which a stage reads: it is committed, so
that outputs of the pipeline hold no times of their own. Each engine runs in a process of its own; in it the blocks
train in turn, round by round, so that a busy machine slows all alike, and a ratio is one of neighbours in a round.
Images are random: what they show does not change the cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("block_costs.csv")
ENGINES = ("keras-tensorflow", "engine-jax")
BLOCKS: dict[str, dict[str, Any]] = {
    "bn": {"batch_norm": True, "dropout": 0.0},
    "dropout": {"batch_norm": False, "dropout": 0.5},
    "bn+dropout": {"batch_norm": True, "dropout": 0.5},
    "none": {"batch_norm": False, "dropout": 0.0},
}
UNITS = (512, 128, 16)
BATCH_SIZE = 120
NUM_CLASSES = 10
# The first epoch of each fit is left out: it compiles.
EPOCHS = 3

# The blocks' fits: each trains for EPOCHS and returns the seconds of all but the first.
Fit = Callable[[], list[float]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def measure(
    rounds: Annotated[int, typer.Option(min=1, help="how often every block trains; six or more for an interval")] = 7,
    images: Annotated[int, typer.Option(min=BATCH_SIZE, help="random images of 28 x 28")] = 6000,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Time all blocks on both engines, and write benchmarks/block_costs.csv."""
    rows = []
    for engine in ENGINES:
        rows += _rows(engine, _in_a_process(engine, rounds, images, threads), images)
    table = pd.DataFrame(rows)
    Console().print(table.to_string(index=False))
    table.to_csv(RESULTS, index=False)


@app.command(hidden=True)
def one(engine: str, rounds: int, images: int, threads: int) -> None:
    """Time all blocks on one engine; print the seconds per epoch of each round by block, as JSON."""
    import numpy as np

    from pipeline.data.examples import Examples
    from pipeline.runtime import backend

    backend.configure("jax" if engine == "engine-jax" else "tensorflow", threads=threads)
    random = np.random.default_rng(0)
    examples = Examples(
        random.integers(0, 256, (images, 28, 28), dtype=np.uint8),
        random.integers(0, NUM_CLASSES, images, dtype=np.uint8),
    )
    make = _engine_fit if engine == "engine-jax" else _plain_fit
    fits: dict[str, Fit] = {block: make(_variant(block), examples) for block in BLOCKS}
    seconds: dict[str, list[float]] = {block: [] for block in BLOCKS}
    for number in range(rounds):
        # Another block begins each time.
        order = [*BLOCKS][number % len(BLOCKS) :] + [*BLOCKS][: number % len(BLOCKS)]
        for block in order:
            seconds[block].append(median(fits[block]()))
    json.dump(seconds, sys.stdout)


def _variant(block: str) -> Any:
    from pipeline.config.models import DenseLayer, MlpVariant, Optimizer

    return MlpVariant(
        study="benchmark",
        dataset="random",
        family="mlp",
        engine="jax",
        kernel_initializer="he_normal",
        layers=tuple(DenseLayer(units=units, **BLOCKS[block]) for units in UNITS),
        optimizer=Optimizer(name="adam", learning_rate=0.001),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
    )


def _engine_fit(variant: Any, examples: Any) -> Fit:
    from pipeline import models
    from pipeline.training import callbacks, jax_engine, objectives
    from pipeline.training import data as training_data

    model = models.build(variant, input_shape=(28, 28), num_outputs=NUM_CLASSES, seed=0)
    wanted = training_data.Fit(
        training=examples,
        validation=None,
        metrics=objectives.metrics_of(variant.objective),
        optimizer=callbacks.optimizer(variant.optimizer),
        batch_size=variant.batch_size,
        epochs=variant.epochs,
        seed=0,
    )
    engine = jax_engine.Engine(model, wanted)

    def fit() -> list[float]:
        clock, seconds = _clock()
        engine.run(model, replace(wanted, callbacks=[clock]))
        return seconds[1:]

    return fit


def _plain_fit(variant: Any, examples: Any) -> Fit:
    """Scaled, one-hot arrays and `Model.fit`, with Keras's defaults."""
    import keras

    from pipeline import models
    from pipeline.training.callbacks import optimizer

    model = models.build(variant, input_shape=(28, 28), num_outputs=NUM_CLASSES, seed=0)
    model.compile(optimizer=optimizer(variant.optimizer), loss="categorical_crossentropy", metrics=["accuracy"])
    inputs, targets = examples.inputs.astype("float32"), keras.utils.to_categorical(examples.targets, NUM_CLASSES)

    def fit() -> list[float]:
        clock, seconds = _clock()
        model.fit(inputs, targets, batch_size=variant.batch_size, epochs=variant.epochs, callbacks=[clock], verbose=0)
        return seconds[1:]

    return fit


def _clock() -> tuple[Any, list[float]]:
    """A callback, and the list that it fills with the seconds of each epoch."""
    import keras

    seconds: list[float] = []
    start = [0.0]

    def begin(epoch: int, logs: Any = None) -> None:
        start[0] = time.perf_counter()

    def end(epoch: int, logs: Any = None) -> None:
        seconds.append(time.perf_counter() - start[0])

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end), seconds


def _in_a_process(engine: str, rounds: int, images: int, threads: int) -> dict[str, list[float]]:
    finished = subprocess.run(
        [sys.executable, __file__, "one", engine, str(rounds), str(images), str(threads)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds: dict[str, list[float]] = json.loads(finished.stdout)
    return seconds


def _rows(engine: str, seconds: dict[str, list[float]], images: int) -> list[dict[str, Any]]:
    rows = []
    for block, times in seconds.items():
        ratios = [time / other for time, other in zip(times, seconds["dropout"], strict=True)]
        rows.append(
            {
                "engine": engine,
                "block": block,
                **_spread("seconds_per_epoch", times),
                **_spread("ratio_to_dropout", ratios),
                "num_rounds": len(times),
                "num_images": images,
            }
        )
    return rows


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {f"{name}_{end.__name__}": round(end(values), 4) for end in (median, min, max)}


if __name__ == "__main__":
    app()
