"""Score the variants of a study on the test set, which no other stage reads."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Examples, read_images
from pipeline.evaluation import classification, scoring, statistics
from pipeline.evaluation.classification import Evaluation
from pipeline.evaluation.layers import layer_table
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import evaluation as plots
from pipeline.runtime import backend


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Score every variant of a study on every test example, and plot what each gets wrong."""
    study = require(params.studies, name, "study")
    variants = params.variants_of(name)
    chosen = backend.for_predicting(variant.family for variant in variants.values())
    backend.configure(chosen, threads=params.compute.threads)
    classes = params.datasets[study.dataset].classes
    examples = read_images(workspace.prepared(study.dataset, "test"), num_classes=len(classes))
    labels = examples.targets
    scores = {}
    for variant_name, variant in variants.items():
        path = workspace.model(variant_name, variant)
        model = storage.read_model(path)
        result = classification.evaluate(
            model,
            images=examples.inputs,
            labels=labels,
            num_classes=len(classes),
            objective=variant.objective,
            batch_size=scoring.batch_size_of(variant.family),
        )
        scores[variant_name] = {**result.scores.model_dump(), "model_sha256": storage.sha256(path)}
        predictions = workspace.predictions(name) / f"{variant_name}.npz"
        storage.write_arrays(predictions, probabilities=result.probabilities, labels=labels)
        folder = workspace.evaluation_details(name, variant_name)
        storage.write_table(folder / "layers.csv", layer_table(model))
        _save_tables(folder, result, classes)
        _save_plots(folder, result, examples, classes, variant_name)
    storage.write_json(workspace.evaluation(name) / "metrics.json", scores)


def _save_tables(folder: Path, result: Evaluation, classes: tuple[str, ...]) -> None:
    storage.write_table(folder / "per_class.csv", pd.DataFrame({"class": classes, **asdict(result.per_class)}))
    confusion = pd.DataFrame(result.confusion, columns=list(classes))
    confusion.insert(0, "true class", classes)
    storage.write_table(folder / "confusion_matrix.csv", confusion)
    storage.write_table(folder / "reliability.csv", classification.reliability_table(result.calibration))


def _save_plots(folder: Path, result: Evaluation, examples: Examples, classes: tuple[str, ...], name: str) -> None:
    images, labels, probabilities = examples.inputs, examples.targets, result.probabilities
    share = f"{len(labels) - result.scores.num_correct:,} of {len(labels):,} test images misclassified"
    figure = plots.confusion_matrix(result.confusion, classes, title=f"{name}: {share}")
    storage.write_figure(folder / "confusion_matrix.png", figure)
    title = f"{name}\nexpected calibration error {100 * result.calibration.expected_calibration_error:.2f} points"
    figure = plots.reliability(classification.reliability_table(result.calibration), title=title)
    storage.write_figure(folder / "reliability.png", figure)
    wrong = statistics.most_confidently_wrong(probabilities, labels, plots.NUM_MISTAKES)
    figure = plots.most_wrong(images, labels, probabilities, classes, wrong=wrong, title=f"{name}: {share}")
    storage.write_figure(folder / "most_wrong.png", figure)
