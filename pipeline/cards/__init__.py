"""Model cards: what a registered model is, from the outputs of the stages, as Markdown.

A card is a function of those outputs and the parameters alone, so that it can be rebuilt at any time, byte for byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import result_files, scoring, statistics, stored_predictions
from pipeline.evaluation.result_files import ClassifierTest, DataStatistics
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.waves.metrics import named, row_errors
from pipeline.studies.waves.scores import RegressorTest

Metrics = TypeVar("Metrics", ClassifierTest, RegressorTest)


def card(workspace: Workspace, params: Params, task: str, variant: str, training: Mapping[str, Any]) -> str:
    """The card of a trained variant as the model of a task.

    `training` says how it was trained: DVC's `stage`, its `settings`, and the `content_key` of its outputs.
    Raises PipelineError when an output that is there is damaged.
    """
    data, spec = params.tasks[task].dataset, params.all_variants[variant]
    is_signal = data in params.signals
    tested = _tested_regressor if is_signal else _tested_classifier
    results, selection = workspace.training_results(variant, spec), workspace.selection(task)
    described = workspace.dataset_results(data) / "statistics.json"
    # DVC removes it before `register` runs: an interrupted one leaves none.
    selected = storage.read_json(selection) if selection.is_file() else {"selected": None}
    return _render(
        "regressor.md.jinja" if is_signal else "classifier.md.jinja",
        task=task,
        variant=variant,
        subject=(params.signals if is_signal else params.datasets)[data],
        is_demonstration=params.is_embedded(data),
        source=None if is_signal else params.source_of(data),
        statistics=result_files.read(described, DataStatistics) if described.is_file() else None,
        training=training,
        trained=result_files.read_training(results / "metrics.json", is_regressor=is_signal),
        tested=tested(workspace, params, variant),
        selection={**selected, "is_selected": selected.get("selected") == variant},
        model_sha256=storage.sha256(workspace.model(variant, spec)),
    )


def _tested_classifier(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Metrics of the test, confusion matrix, precisions, recalls and mistakes; None before an evaluation."""
    metrics, path = _metrics(workspace, params, variant, ClassifierTest)
    if metrics is None:
        return None
    classes = params.datasets[params.all_variants[variant].dataset].classes
    test = stored_predictions.read(path)
    predicted = scoring.predicted_classes(test.probabilities)
    confusion = statistics.confusion_matrix(test.labels, predicted, len(classes))
    scored = statistics.per_class(test.labels, predicted, len(classes))
    return {
        **metrics.model_dump(),
        "confusion": confusion.tolist(),
        "precision": scored.precision.tolist(),
        "recall": scored.recall.tolist(),
        "weakest": _weakest(confusion, classes),
        "confused": _most_confused(confusion, classes),
    }


def _tested_regressor(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Metrics of the test, the largest error, and by parameter to which side it errs; None before an evaluation."""
    metrics, path = _metrics(workspace, params, variant, RegressorTest)
    if metrics is None:
        return None
    predicted, targets = storage.read_arrays(path, "predicted", "targets")
    return {
        **metrics.model_dump(),
        "largest_error": float(row_errors(targets, predicted).max()),
        "biases": named((predicted.astype(np.float64) - targets).mean(axis=0)),
    }


def _metrics(workspace: Workspace, params: Params, variant: str, record: type[Metrics]) -> tuple[Metrics | None, Path]:
    """What the evaluation measured of the model that lies here, None if it measured none; and its predictions' file."""
    spec = params.all_variants[variant]
    metrics_file, predictions = workspace.evaluation(spec.study) / "metrics.json", workspace.predictions(spec.study)
    path = predictions / f"{variant}.npz"
    if not metrics_file.is_file() or not path.is_file():
        return None, path
    metrics = result_files.read_by_name(metrics_file, record).get(variant)
    # The evaluation may be one of an earlier training.
    is_current = metrics is not None and metrics.model_sha256 == storage.sha256(workspace.model(variant, spec))
    return metrics if is_current else None, path


def _weakest(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """The class with the lowest recall among those that were tested."""
    support = confusion.sum(axis=1)
    recalls = np.where(support > 0, confusion.diagonal() / np.maximum(support, 1), np.inf)
    worst = int(recalls.argmin())
    low, high = statistics.wilson_interval(int(confusion[worst, worst]), int(support[worst]))
    return {"name": classes[worst], "recall": float(recalls[worst]), "low": low, "high": high}


def _most_confused(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any] | None:
    """The mistake that is made most often; None if there is none."""
    mistakes = confusion - np.diag(confusion.diagonal())
    true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
    number = int(mistakes[true, predicted])
    return {"true": classes[true], "predicted": classes[predicted], "times": number} if number else None


def _render(name: str, **content: Any) -> str:
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    # A bar or the end of the line would end the cell of a table.
    environment.filters.update(
        percent=lambda fraction: f"{100 * fraction:.2f} %",
        cell=lambda text: str(text).replace("|", "\\|").replace("\n", " "),
    )
    template = storage.read_text(Path(__file__).with_name(name))
    try:
        return environment.from_string(template).render(**content)
    except TemplateError as error:
        raise PipelineError(
            f"model card of {content['variant']}: a figure is missing in its results ({error}). "
            "Run `dvc repro` to make them again."
        ) from error
