"""Records of what is made of the variants of a study together, of selections, and of the table of all variants."""

import math
from dataclasses import replace

import pandas as pd

from pipeline.config.params import Params
from pipeline.evaluation import pairwise
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records import outputs
from pipeline.tracking.records.data import dataset_versions
from pipeline.tracking.records.record import SELECTION, SUMMARY, RunRecord, StageItem, embedded_first, registered_name
from pipeline.tracking.records.variants import STAGES_OF_GROUP


def comparison_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The ranking of a study, which differences between its variants are real, and its plots."""
    results = workspace.comparison(study)
    ranking = outputs.table(results / "ranking.csv", "variant")
    pairs = outputs.table(results / "differences.csv", "first", "second", "accuracy_verdict")
    return StageItem(workspace, params, "compare", study, params.studies[study].dataset, study).record(
        outputs.files_of([results]),
        folder="comparison",
        tags={"mlflow.note.content": _verdicts(ranking, pairs)},
        metrics={**_numbers(ranking), "num_pairs": float(len(pairs))},
    )


def contrast_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The variants of a study against its baseline: gains, overfitting and plots."""
    spec, results = params.contrasts[study], workspace.contrast(study)
    gains = outputs.table(results / "gains.csv", "variant")
    verdict, overfitting = outputs.values(results / "overfitting.json", "verdict", "variants")
    return StageItem(workspace, params, "contrast", study, spec.dataset, study).record(
        outputs.files_of([results]),
        folder="contrast",
        tags={"mlflow.note.content": str(verdict)},
        params={"baseline": spec.baseline},
        metrics={**_numbers(gains), **flatten.numbers(overfitting)},
    )


def repeat_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The repeats of a variant in its study, and below it a run per seed, of validation metrics alone."""
    spec, stage = params.all_repeated[name], STAGES_OF_GROUP[params.variant_group(name)]["repeat"]
    path = workspace.repeated_training(spec.repeats, name)
    seeds = outputs.table(path, "seed").set_index("seed")
    record = StageItem(workspace, params, stage, name, spec.dataset, spec.repeats).record(
        [path],
        outputs=[workspace.repeated_model(spec.repeats, name, params.seed_of(name)).parent, path],
        folder="repeats",
        tags={"repeated": name},
        params={
            **flatten.section_params(params.classifiers[name], without=("study",)),
            "seeds": str(spec.seeds),
        },
        metrics={
            "num_seeds": float(len(seeds)),
            **{f"mean_{metric}": float(value) for metric, value in seeds.mean().items()},
        },
        datasets=dataset_versions(workspace, params, spec.dataset, ("train", "validation")),
    )
    children = [
        record.child(seed, f"seed {seed}", {**record.tags, "seed": seed}, {"seed": seed}, row)
        for seed, row in zip(map(str, seeds.index), seeds.to_dict("records"), strict=True)
    ]
    return replace(record, children=tuple(children))


def repeats_evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the seeds change in a study: every seed, means and intervals, differences and a plot."""
    spec, results = params.repeats[study], workspace.repeats(study)
    return StageItem(workspace, params, "evaluate_repeats", study, spec.dataset, study).record(
        [results / name for name in ("seeds.csv", "summary.csv", "differences.csv", "accuracy.png")],
        folder="repeats",
        params={} if spec.baseline is None else {"baseline": spec.baseline},
        metrics=_numbers(outputs.table(results / "summary.csv", "variant")),
        datasets=dataset_versions(workspace, params, spec.dataset, ("test",)),
    )


def selection_record(workspace: Workspace, params: Params, task: str) -> RunRecord:
    """Which variant was selected for a task, by which rule, and why."""
    path, rule = workspace.selection(task), ("metric", "tolerance", "prefer_fewer_parameters")
    selected, reason, candidates, *settings = outputs.values(path, "selected", "reason", "candidates", *rule)
    chosen = next((candidate for candidate in candidates if candidate["variant"] == selected), None)
    if chosen is None:
        raise outputs.damaged(path, f"{selected!r} among the candidates", "none of that name")
    return StageItem(workspace, params, "register", task, params.tasks[task].dataset, SELECTION).record(
        [path],
        folder="selection",
        tags={"task": task, "registered_model": registered_name(params, task), "mlflow.note.content": str(reason)},
        params={"selected": str(selected), **dict(zip(rule, map(str, settings), strict=True))},
        metrics={"num_candidates": float(len(candidates)), **flatten.numbers(chosen)},
    )


def summary_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The table of all variants of all studies."""
    path = workspace.variants_table
    table = outputs.table(path, "variant", "study")
    return StageItem(workspace, params, "summarize", name, embedded_first(params, params.datasets), SUMMARY).record(
        [path],
        outputs=[path, workspace.headlines],
        folder="summary",
        metrics={
            "num_rows": float(len(table)),
            "num_variants": float(table["variant"].nunique()),
            "num_studies": float(table["study"].nunique()),
        },
    )


def _numbers(table: pd.DataFrame) -> dict[str, float]:
    """The numbers of a table of variants as `variant/column`, without empty cells."""
    found = flatten.numbers(table.set_index("variant").to_dict("index"))
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _verdicts(ranking: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Of each variant, in the order of the ranking, from which others its test accuracy does not differ."""
    if pairs.empty:
        return "One variant: nothing to compare."
    level = {name: ", ".join(pairwise.level_with(pairs, name)) for name in ranking["variant"]}
    lines = [f"- {name}: {others or 'none'}" for name, others in level.items()]
    return "\n".join(["Test accuracies that do not differ significantly:", "", *lines])
