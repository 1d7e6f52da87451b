"""Which MLflow runs come of each stage: one table, for the runner of stages and for `python -m pipeline sync`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking.records import data, searches, studies, variants
from pipeline.tracking.records.record import NO_ITEM, RunRecord, stage_name

Items = Callable[[Params], Iterable[str]]
Records = Callable[[Workspace, Params, str], list[RunRecord]]


def _one(record: Callable[[Workspace, Params, str], RunRecord]) -> Records:
    return lambda workspace, params, item: [record(workspace, params, item)]


@dataclass(frozen=True)
class StageRuns:
    """What MLflow shows of a stage.

    `items` are the names that the stage runs on. `records` makes the runs of an item from its outputs, `completes` the
    runs of trained variants that the outputs add to; both raise NotMadeYetError where an output is missing. A stage
    that `logs_live` records its runs itself, while it works. `refreshes_cards`: the cards of registered models show the
    outputs too. `registers`: the outputs name a model that becomes a version of a registered model.
    """

    items: Items
    records: Records = lambda workspace, params, item: []
    completes: Records = lambda workspace, params, item: []
    logs_live: bool = False
    refreshes_cards: bool = False
    registers: bool = False


def _evaluation(items: Items) -> StageRuns:
    records = _one(variants.evaluation_record)
    return StageRuns(items, records, completes=variants.evaluated_records, refreshes_cards=True)


# By the modules of pipeline/stages.
STAGES: Mapping[str, StageRuns] = {
    "fetch": StageRuns(lambda params: params.sources, _one(data.fetch_record)),
    "prepare": StageRuns(lambda params: params.datasets, _one(data.splits_record)),
    "generate": StageRuns(lambda params: params.signals, _one(data.splits_record)),
    "fetch_weights": StageRuns(lambda params: params.weights, _one(data.fetch_weights_record)),
    "features": StageRuns(lambda params: params.features, _one(data.features_record)),
    "search": StageRuns(lambda params: params.searches, _one(searches.search_record), logs_live=True),
    "sweep": StageRuns(lambda params: params.sweeps, _one(searches.sweep_record)),
    "train": StageRuns(lambda params: params.all_variants, variants.variant_records, logs_live=True),
    "repeat": StageRuns(lambda params: params.all_repeated, _one(studies.repeat_record)),
    "kernels": StageRuns(lambda params: params.derived, completes=variants.kernels_records),
    "evaluate": _evaluation(lambda params: params.studies),
    "evaluate_signal": _evaluation(lambda params: params.signals),
    "evaluate_repeats": StageRuns(lambda params: params.repeats, _one(studies.repeats_evaluation_record)),
    "compare": StageRuns(lambda params: params.studies, _one(studies.comparison_record)),
    "contrast": StageRuns(lambda params: params.contrasts, _one(studies.contrast_record)),
    "tabulate": StageRuns(lambda params: [NO_ITEM] if params.searches else [], _one(searches.tabulate_record)),
    "conclude": StageRuns(lambda params: params.conclusions, _one(searches.conclusions_record)),
    "summarize": StageRuns(lambda params: [NO_ITEM], _one(studies.summary_record)),
    "register": StageRuns(lambda params: params.tasks, _one(studies.selection_record), registers=True),
    "report": StageRuns(lambda params: [NO_ITEM]),
}


def address(params: Params, stage: str, item: str) -> str:
    """DVC's name of a stage's item. The stages that train or repeat a variant are named by the variant's group."""
    if stage in ("train", "repeat"):
        stage = variants.STAGES_OF_GROUP[params.variant_group(item)][stage]
    return stage_name(stage, item)
