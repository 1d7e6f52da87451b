"""Score the variants of a study on the test set, which no other stage reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import tracking
from pipeline.config.models import Classifier, Objective
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring, statistics
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import evaluation as plots
from pipeline.runtime import backend

if TYPE_CHECKING:
    import keras


# Images of 96 x 96 pixels take gigabytes in larger batches.
BATCH_SIZES = {"mobilenet_v2": 250}


@dataclass(frozen=True)
class Evaluation:
    """What a model predicts of a test set, and how good that is.

    `probabilities` are (n, num_classes) float32, `scores` the figures for metrics.json, `confusion` (true, predicted)
    counts, `calibration` how confidence and accuracy agree.
    """

    probabilities: NDArray[np.float32]
    scores: dict[str, float | int]
    per_class: statistics.PerClass
    confusion: NDArray[np.int64]
    calibration: statistics.Calibration


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Score every variant of a study on every test example, and show what each gets wrong."""
    study = require(params.studies, name, "study")
    variants = params.variants_of(name)
    backend.configure(backend_for(variants.values()), threads=params.compute.threads)
    classes = params.datasets[study.dataset].classes
    images, labels = storage.read_examples(workspace.prepared(study.dataset, "test"), num_classes=len(classes))
    scores = {}
    for variant_name, variant in variants.items():
        path = workspace.model(variant_name, variant)
        result = evaluate(
            storage.read_model(path),
            images=images,
            labels=labels,
            num_classes=len(classes),
            objective=variant.objective,
            batch_size=BATCH_SIZES.get(variant.family, scoring.BATCH_SIZE),
        )
        scores[variant_name] = {**result.scores, "model_sha256": storage.sha256(path)}
        storage.write_arrays(
            workspace.predictions(name) / f"{variant_name}.npz", probabilities=result.probabilities, labels=labels
        )
        folder = workspace.evaluation_details(name, variant_name)
        _save_tables(folder, result, classes)
        _save_figures(folder, result, images, labels, classes, variant_name)
    storage.write_json(workspace.evaluation(name) / "metrics.json", scores)
    tracking.publish_evaluation(workspace, params, name)


def backend_for(variants: Iterable[Classifier]) -> backend.Backend:
    """The one backend to predict with: TensorFlow as soon as one variant has convolutions."""
    return "tensorflow" if any(variant.family in backend.CONVOLUTIONAL for variant in variants) else "jax"


def evaluate(
    model: keras.Model,
    *,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    num_classes: int,
    objective: Objective,
    batch_size: int = scoring.BATCH_SIZE,
) -> Evaluation:
    """Predict all images (n, height, width) and score them against their labels (n,), by exact counts."""
    probabilities, penalty = scoring.predict_in_batches(model, images, batch_size)
    if probabilities.shape[1] != num_classes:
        raise PipelineError(
            f"model {model.name}: expected probabilities of {num_classes} classes, got {probabilities.shape[1]}. "
            "Run `dvc repro` to train it again."
        )
    predicted = scoring.predicted_classes(probabilities)
    num_correct = scoring.count_correct(probabilities, labels)
    low, high = statistics.wilson_interval(num_correct, len(labels))
    per_class = statistics.per_class(labels, predicted, num_classes)
    calibration = statistics.calibration(probabilities, labels)
    scores = {
        **asdict(scoring.score(probabilities, labels, penalty, objective)),
        "accuracy_low": low,
        "accuracy_high": high,
        "num_examples": len(labels),
        "num_correct": num_correct,
        "macro_f1": per_class.macro_f1,
        "expected_calibration_error": calibration.expected_calibration_error,
        "overconfidence": calibration.overconfidence,
    }
    confusion = statistics.confusion_matrix(labels, predicted, num_classes)
    return Evaluation(probabilities, scores, per_class, confusion, calibration)


def reliability_table(calibration: statistics.Calibration) -> pd.DataFrame:
    """A row per bin: its limits, its examples, their mean confidence, and how many are right, with a Wilson interval.

    A bin without examples has neither confidence nor accuracy.
    """
    edges = calibration.edges
    rows = []
    for position, (count, correct, total) in enumerate(
        zip(calibration.num_examples, calibration.num_correct, calibration.confidence_sum, strict=True)
    ):
        low, high = statistics.wilson_interval(int(correct), int(count)) if count else (np.nan, np.nan)
        rows.append(
            {
                "low": edges[position],
                "high": edges[position + 1],
                "num_examples": int(count),
                "confidence": total / count if count else np.nan,
                "accuracy": correct / count if count else np.nan,
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )
    return pd.DataFrame(rows)


def _save_tables(folder: Path, result: Evaluation, classes: tuple[str, ...]) -> None:
    storage.write_table(folder / "per_class.csv", pd.DataFrame({"class": classes, **asdict(result.per_class)}))
    confusion = pd.DataFrame(result.confusion, columns=list(classes))
    confusion.insert(0, "true class", classes)
    storage.write_table(folder / "confusion_matrix.csv", confusion)
    storage.write_table(folder / "reliability.csv", reliability_table(result.calibration))


def _save_figures(
    folder: Path,
    result: Evaluation,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    classes: tuple[str, ...],
    name: str,
) -> None:
    num_wrong = len(labels) - int(result.scores["num_correct"])
    share = f"{num_wrong:,} of {len(labels):,} test images misclassified"
    storage.write_figure(
        folder / "confusion_matrix.png",
        plots.confusion_matrix(result.confusion, classes, title=f"{name}: {share}"),
    )
    error = 100 * result.calibration.expected_calibration_error
    storage.write_figure(
        folder / "reliability.png",
        plots.reliability(
            reliability_table(result.calibration), title=f"{name}\nexpected calibration error {error:.2f} points"
        ),
    )
    wrong = statistics.most_confidently_wrong(result.probabilities, labels, plots.NUM_MISTAKES)
    storage.write_figure(
        folder / "most_wrong.png",
        plots.most_wrong(
            images[wrong],
            labels[wrong],
            result.probabilities[wrong],
            classes,
            title=f"{name}: {share}, the most confident first",
        ),
    )
