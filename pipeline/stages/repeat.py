"""Train one variant again and again, each time under another seed, watched on the validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import models, tracking, training
from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend, progress
from pipeline.training import Examples, summary

if TYPE_CHECKING:
    import keras


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
        history = fit(model, variant, examples, validation, seed=seed, name=name)
        storage.write_model(workspace.repeated_model(item.study, name, seed), model)
        told = summary.classifier_figures(history, model, model, examples, variant.objective)
        rows.append({"seed": seed, **figures(told)})
    storage.write_table(workspace.repeated_training(item.study, name), pd.DataFrame(rows))
    tracking.publish_repeat(workspace, params, name)


def fit(
    model: keras.Model,
    variant: MlpVariant | CnnVariant,
    examples: Examples,
    validation: Examples,
    *,
    seed: int,
    name: str,
) -> pd.DataFrame:
    """Train `model` in place; gives its history. Raises PipelineError when training diverged."""
    with progress.epochs(f"{name}, seed {seed}", variant.epochs) as bar:
        history = training.train(model, variant, training=examples, validation=validation, seed=seed, on_epoch=bar)
    summary.check_converged(history, f"variants.{name}")
    return history


def figures(told: dict[str, Any]) -> dict[str, float]:
    """Of the figures of a trained classifier those that a row of the table holds, of the last epoch's weights."""
    last, train = told["validation"]["last"], told["train_evaluated"]
    return {
        "epochs": told["epochs"],
        **{f"val_{figure}": last[figure] for figure in summary.CLASSIFIER_FIGURES},
        **{f"train_{figure}": train[figure] for figure in summary.CLASSIFIER_FIGURES},
    }
