"""Train one variant again under other seeds, watched on the validation images."""

import shutil
from typing import Any

import pandas as pd

from pipeline import models
from pipeline.config.models import MobileNetVariant
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Kind, read_labelled
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import ClassifierTraining
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.training import fitting


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train a variant under all of its seeds but the first; save the models and a table of their metrics.

    Of the first seed, that of the variant's own training, the model and the metrics are taken from there.
    """
    item = require(params.all_repeated, name, "repeated variant")
    classifier = params.classifiers[name]
    variant = outcomes.of_variant(workspace, classifier)
    kind: Kind = "features" if isinstance(variant, MobileNetVariant) else "images"
    examples, validation = read_labelled(lambda split: workspace.training_data(variant, split), kind=kind)
    backend.configure(variant.engine, threads=params.compute.threads)
    import keras

    own, *others = params.seeds_of(name)
    trained = result_files.read(workspace.training_results(name, classifier) / "metrics.json", ClassifierTraining)
    rows = [{"seed": own, **row(trained.model_dump())}]
    copy = workspace.repeated_model(item.repeats, name, own)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(workspace.model(name, classifier), copy)
    input_shape, group = examples.inputs.shape[1:], params.variant_group(name)
    for seed in others:
        # Keras numbers what it names by itself: without this, the next model's file would count on from the last one's.
        keras.backend.clear_session()
        extractor = models.extractor(variant, params.features, workspace.weights)
        model = models.build(variant, input_shape=input_shape, num_outputs=examples.num_outputs, seed=seed)
        key, title = f"{group}.{name}", f"{name}, seed {seed}"
        again = fitting.fit(model, variant, examples, validation, key=key, title=title, seed=seed, extractor=extractor)
        storage.write_model(workspace.repeated_model(item.repeats, name, seed), again.model)
        rows.append({"seed": seed, **row(again.metrics)})
    storage.write_table(workspace.repeated_training(item.repeats, name), pd.DataFrame(rows))


def row(trained: dict[str, Any]) -> dict[str, float]:
    """The metrics of a trained classifier that a row of the table holds, all of the last epoch's weights."""
    return {
        "epochs": trained["epochs"],
        **{f"val_{metric}": value for metric, value in trained["validation"]["last"].items()},
        **{f"train_{metric}": value for metric, value in trained["train_evaluated"].items()},
    }
