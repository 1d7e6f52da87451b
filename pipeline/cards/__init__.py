"""Model cards: what a registered model is, from the outputs of the stages, as Markdown.

A card is a function of those outputs and the parameters alone, so that it can be rebuilt at any time, byte for byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.cards import tested
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import DataStatistics
from pipeline.io import storage
from pipeline.io.paths import Workspace


def card(workspace: Workspace, params: Params, task: str, variant: str, training: Mapping[str, Any]) -> str:
    """The card of a trained variant as the model of a task.

    `training` says how it was trained: DVC's `stage`, its `settings`, and the `content_key` of its outputs.
    Raises PipelineError when an output that is there is damaged.
    """
    data, spec = params.tasks[task].dataset, params.all_variants[variant]
    is_signal = data in params.signals
    of_variant = tested.of_regressor if is_signal else tested.of_classifier
    results, selection = workspace.training_results(variant, spec), workspace.selection(task)
    statistics = workspace.dataset_results(data) / "statistics.json"
    # DVC removes it before `register` runs: an interrupted one leaves none.
    selected = storage.read_json(selection) if selection.is_file() else {"selected": None}
    return _render(
        "regressor.md.jinja" if is_signal else "classifier.md.jinja",
        task=task,
        variant=variant,
        subject=(params.signals if is_signal else params.datasets)[data],
        is_demonstration=params.is_embedded(data),
        source=None if is_signal else params.source_of(data),
        statistics=result_files.read(statistics, DataStatistics) if statistics.is_file() else None,
        training=training,
        trained=result_files.read_training(results / "metrics.json", is_regressor=is_signal),
        tested=of_variant(workspace, params, variant),
        selection={**selected, "is_selected": selected.get("selected") == variant},
        model_sha256=storage.sha256(workspace.model(variant, spec)),
    )


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
