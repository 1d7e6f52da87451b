"""How far apart trainings of one variant end that differ in the seed alone: what a single reported figure is worth.

`python benchmarks/seeds.py spread VARIANT...` trains each under several seeds on the prepared data, without DVC and
MLflow, and adds a row to benchmarks/seeds.md. It measures on the validation images: the test set is the business of
`evaluate`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("seeds.md")
HEADER = """# Validation figures over seeds

The accuracy is that of the last epoch's weights, the loss (with penalties) the lowest of all epochs. The first seed is
that of the study. Written by `python benchmarks/seeds.py spread`.

| variant | seeds | validation accuracy under each | lowest validation loss under each |
|---|--:|---|---|
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def spread(
    variants: Annotated[list[str], typer.Argument(help="variants of params.yaml")],
    seeds: Annotated[int, typer.Option(min=2, help="how many seeds")] = 3,
) -> None:
    """Train variants under several seeds and note where they end."""
    for name in variants:
        ends = [_in_a_process(name, number) for number in range(seeds)]
        accuracies = ", ".join(f"{100 * accuracy:.2f} %" for accuracy, _ in ends)
        losses = ", ".join(f"{loss:.3f}" for _, loss in ends)
        row = f"| `{name}` | {seeds} | {accuracies} | {losses} |\n"
        text = RESULTS.read_text() if RESULTS.exists() else HEADER
        RESULTS.write_text(text + row)


@app.command(hidden=True)
def one(variant: str, number: int) -> None:
    """Train once under the study's seed plus a number; print the last accuracy and the lowest loss as JSON."""
    from pipeline import models, training
    from pipeline.config.load import load_params
    from pipeline.data.examples import read_images
    from pipeline.io.paths import Workspace
    from pipeline.runtime import backend

    workspace = Workspace(ROOT)
    params = load_params(workspace.root)
    spec = params.variants[variant]
    classes = len(params.datasets[spec.dataset].classes)
    seed = params.compute.seed + number
    backend.configure(spec.engine, threads=params.compute.threads)
    examples, validation = (
        read_images(workspace.prepared(spec.dataset, split), num_classes=classes) for split in ("train", "validation")
    )
    model = models.build(spec, input_shape=examples.inputs.shape[1:], num_outputs=classes, seed=seed)
    history = training.train(
        model, spec, training=examples, validation=validation, seed=seed, on_epoch=lambda epoch, values: None
    )
    json.dump([float(history["val_accuracy"].iloc[-1]), float(history["val_loss"].min())], sys.stdout)


def _in_a_process(name: str, number: int) -> tuple[float, float]:
    finished = subprocess.run(
        [sys.executable, __file__, "one", name, str(number)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    accuracy, loss = json.loads(finished.stdout)
    return accuracy, loss


if __name__ == "__main__":
    app()
