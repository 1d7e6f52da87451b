"""Train the head of one transfer variant on frozen features, and save the complete model."""

from pipeline import models
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import read_features
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import curves
from pipeline.runtime import backend
from pipeline.training import fitting, summary

# Of the images that the complete model takes; the features do not have it.
IMAGE_SHAPE = (28, 28)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train the head of one variant; save the complete model, history, metrics and curves."""
    variant = require(params.transfers, name, "transfer variant")
    examples = read_features(workspace.features(variant.features, "train"))
    held_out = workspace.features(variant.features, "validation")
    validation = read_features(held_out, num_classes=examples.num_classes)
    backend.configure(variant.engine, threads=params.compute.threads)
    from pipeline.models import mobilenet_v2
    from pipeline.tracking import live

    features = params.features[variant.features]
    # Before the training, which would be for nothing without the weights.
    extractor = mobilenet_v2.build_extractor(features, workspace.weights(features.weights), image_shape=IMAGE_SHAPE)
    input_shape, num_classes, seed = examples.inputs.shape[1:], examples.num_classes, params.seed_of(name)
    head = models.build(variant, input_shape=input_shape, num_outputs=num_classes, seed=seed)
    with live.training_run(workspace, params, name) as run:
        key = f"transfers.{name}"
        history = fitting.fit(
            head, variant, examples, validation, key=key, title=name, seed=seed, on_epoch=run.log_epoch
        )
        model = mobilenet_v2.complete(extractor, head)
        results = workspace.training_results(name, variant)
        storage.write_model(workspace.model(name, variant), model)
        storage.write_table(results / "history.csv", history)
        metrics = summary.classifier_metrics(history, model, head, examples, variant.objective)
        storage.write_json(results / "metrics.json", metrics)
        figure = curves.training_curves(history, title=name, active=summary.active_in_training(variant))
        storage.write_figure(results / "curves.png", figure)
