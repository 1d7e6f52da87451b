"""Train one variant again and again, each time under another seed, watched on the validation images."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline import models
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.training import Examples, fitting, summary


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train a variant under every seed of its study's repeats; save the models and a table of their figures.

    The first seed is that of the variant's own training, whose model this one equals.
    """
    item = require(params.repeated, name, "repeated variant")
    variant = params.variants[name]
    backend.configure(variant.engine, threads=params.compute.threads)
    train, held_out = (workspace.prepared(variant.dataset, split) for split in ("train", "validation"))
    examples, validation = (Examples(*split) for split in storage.read_training_splits(train, held_out))
    import keras

    rows = []
    for seed in params.seeds_of(item.study):
        # Keras numbers what it names by itself: without this, the next model's file would count on from the last one's.
        keras.backend.clear_session()
        model = models.build(
            variant, input_shape=examples.inputs.shape[1:], num_outputs=examples.num_classes, seed=seed
        )
        history = fitting.fit(
            model,
            variant,
            key=f"variants.{name}",
            title=f"{name}, seed {seed}",
            examples=examples,
            validation=validation,
            seed=seed,
        )
        storage.write_model(workspace.repeated_model(item.study, name, seed), model)
        told = summary.classifier_metrics(history, model, model, examples, variant.objective)
        rows.append({"seed": seed, **figures(told)})
    storage.write_table(workspace.repeated_training(item.study, name), pd.DataFrame(rows))


def figures(told: dict[str, Any]) -> dict[str, float]:
    """Of the figures of a trained classifier those that a row of the table holds, of the last epoch's weights."""
    last, train = told["validation"]["last"], told["train_evaluated"]
    return {
        "epochs": told["epochs"],
        **{f"val_{figure}": last[figure] for figure in summary.CLASSIFIER_METRICS},
        **{f"train_{figure}": train[figure] for figure in summary.CLASSIFIER_METRICS},
    }
