"""Train one variant several times, each under another seed, watched on the validation images."""

from typing import Any

import pandas as pd

from pipeline import models
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import read_training_images
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.training import fitting, summary


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train a variant under every seed of its study's repeats; save the models and a table of their metrics.

    The first seed is that of the variant's own training, whose model this one equals.
    """
    item = require(params.repeated, name, "repeated variant")
    variant = params.variants[name]
    backend.configure(variant.engine, threads=params.compute.threads)
    train, held_out = (workspace.prepared(variant.dataset, split) for split in ("train", "validation"))
    examples, validation = read_training_images(train, held_out)
    import keras

    input_shape = examples.inputs.shape[1:]
    rows = []
    for seed in params.seeds_of(name):
        # Keras numbers what it names by itself: without this, the next model's file would count on from the last one's.
        keras.backend.clear_session()
        model = models.build(variant, input_shape=input_shape, num_outputs=examples.num_classes, seed=seed)
        title = f"{name}, seed {seed}"
        history = fitting.fit(model, variant, examples, validation, key=f"variants.{name}", title=title, seed=seed)
        storage.write_model(workspace.repeated_model(item.study, name, seed), model)
        trained = summary.classifier_metrics(history, model, model, examples, variant.objective)
        rows.append({"seed": seed, **row(trained)})
    storage.write_table(workspace.repeated_training(item.study, name), pd.DataFrame(rows))


def row(trained: dict[str, Any]) -> dict[str, float]:
    """The metrics of a trained classifier that a row of the table holds, all of the last epoch's weights."""
    last, train = trained["validation"]["last"], trained["train_evaluated"]
    return {
        "epochs": trained["epochs"],
        **{f"val_{metric}": last[metric] for metric in summary.CLASSIFIER_METRICS},
        **{f"train_{metric}": train[metric] for metric in summary.CLASSIFIER_METRICS},
    }
