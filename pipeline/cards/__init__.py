"""Model cards: what a registered model is, from the outputs of the stages, as Markdown.

A card is a function of those outputs and the parameters alone, so that it can be rebuilt at any time, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cards import tested
from pipeline.config.data import IdxFiles
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import DataStatistics
from pipeline.io import storage
from pipeline.io.paths import Workspace


@dataclass(frozen=True)
class Training:
    """How a variant was trained: DVC's stage, its settings, the hash of its outputs."""

    stage: str
    settings: Mapping[str, str]
    content_key: str


def card(workspace: Workspace, params: Params, task: str, variant: str, training: Training) -> str:
    """The card of a trained variant as the model of a task.

    Raises PipelineError when an output that is there is damaged.
    """
    data = params.tasks[task].dataset
    is_signal = data in params.signals
    shared = {
        "task": task,
        "variant": variant,
        "title": (params.signals if is_signal else params.datasets)[data].title,
        "is_demonstration": params.is_embedded(data),
        "data": _data(workspace, params, data),
        "training": training,
        "trained": result_files.read_training(
            workspace.training_results(variant, params.all_variants[variant]) / "metrics.json", is_regressor=is_signal
        ),
        "selection": _selection(workspace, task, variant),
        "model_sha256": storage.sha256(workspace.model(variant, params.all_variants[variant])),
    }
    if is_signal:
        return _render(
            "regressor.md.jinja",
            signal=params.signals[data],
            tested=tested.of_regressor(workspace, params, variant),
            **shared,
        )
    return _render(
        "classifier.md.jinja",
        classes=params.datasets[data].classes,
        tested=tested.of_classifier(workspace, params, variant),
        **shared,
    )


def _data(workspace: Workspace, params: Params, data: str) -> dict[str, Any]:
    """The splits by name, each with its number of examples and digest, and where they come from."""
    path = workspace.dataset_results(data) / "statistics.json"
    splits = []
    if path.is_file():
        statistics = result_files.read(path, DataStatistics)
        splits = [
            {"name": split, "num_examples": number, "digest": statistics.sha256.get(split, "")}
            for split, number in statistics.num_examples.items()
        ]
    return {"source": _origin(params, data), "splits": splits}


def _origin(params: Params, data: str) -> str:
    if data in params.signals:
        return f"drawn with seed {params.signals[data].seed}"
    source, dataset = params.source_of(data), params.datasets[data]
    kept = f", only the classes {', '.join(dataset.classes)}" if dataset.keep else ""
    origin = (
        f"the published files of {dataset.source}"
        if isinstance(source, IdxFiles)
        else f"embedded images ({source.images})"
    )
    return f"{origin}{kept}, split with seed {dataset.split.seed}"


def _selection(workspace: Workspace, task: str, variant: str) -> dict[str, Any]:
    path = workspace.selection(task)
    content = storage.read_json(path) if path.is_file() else {}
    return {**content, "is_selected": content.get("selected") == variant}


def _render(name: str, **content: Any) -> str:
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    environment.filters.update(percent=_percent, cell=_cell)
    template = storage.read_text(Path(__file__).with_name(name))
    try:
        return environment.from_string(template).render(**content)
    except TemplateError as error:
        raise PipelineError(
            f"model card of {content['variant']}: a figure is missing in its results ({error}). "
            "Run `dvc repro` to make them again."
        ) from error


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _cell(text: object) -> str:
    """Text that does not end the cell of a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
