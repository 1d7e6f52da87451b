"""What more optimizer steps alone give: the control that an augmented variant lacks.

`python benchmarks/updates.py VARIANT` trains the network of an augmented variant on the unchanged images for as
many steps as the variant makes, without DVC and MLflow, and writes benchmarks/updates.csv. It measures on the
validation images: the test set is the business of `evaluate`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("updates.csv")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    variant: Annotated[str, typer.Argument(help="an augmented variant of params/derived.yaml")],
) -> None:
    """Train the control of one variant and note where it ends, beside the variant itself."""
    import pandas as pd

    from pipeline import models, training
    from pipeline.config.load import load_params
    from pipeline.data.examples import read_images
    from pipeline.io import outcomes, storage
    from pipeline.io.paths import Workspace
    from pipeline.runtime import backend

    workspace = Workspace(ROOT)
    params = load_params(workspace.root)
    spec = params.derived[variant]
    if spec.steps_per_epoch is None:
        raise typer.BadParameter(f"{variant} is not augmented")
    backend.configure(spec.engine, threads=params.compute.threads)
    num_classes = len(params.datasets[spec.dataset].classes)
    examples, validation = (
        read_images(workspace.prepared(spec.dataset, split), num_classes=num_classes)
        for split in ("train", "validation")
    )
    num_updates = spec.epochs * spec.steps_per_epoch
    per_epoch = math.ceil(len(examples) / spec.batch_size)
    plain = {"augmentation": None, "steps_per_epoch": None, "epochs": math.ceil(num_updates / per_epoch)}
    control, seed = outcomes.of_variant(workspace, spec).model_copy(update=plain), params.seed_of(variant)
    model = models.build(control, input_shape=examples.inputs.shape[1:], num_outputs=num_classes, seed=seed)
    history = training.train(
        model,
        control,
        training=examples,
        validation=validation,
        seed=seed,
        on_epoch=lambda epoch, values: None,
    )
    augmented = storage.read_table(workspace.training_results(variant, spec) / "history.csv")
    rows = [
        _row(f"{variant}, images unchanged", control.epochs * per_epoch, history),
        _row(variant, num_updates, augmented),
    ]
    storage.write_table(RESULTS, pd.DataFrame(rows))


def _row(name: str, num_updates: int, history: pd.DataFrame) -> dict[str, object]:
    last = history.iloc[-1]
    return {
        "training": name,
        "num_updates": num_updates,
        "val_accuracy": last["val_accuracy"],
        "val_cross_entropy": last["val_cross_entropy"],
        "lowest_val_cross_entropy": history["val_cross_entropy"].min(),
    }


if __name__ == "__main__":
    app()
