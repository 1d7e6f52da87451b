"""Select, by validation metrics alone, the variant that becomes a version of a task's registered model."""

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.config.studies import Task
from pipeline.evaluation import result_files, selection
from pipeline.io import storage
from pipeline.io.paths import Workspace

# What would be selected with these tolerances is recorded too: with none, and with one that gives the sources' choice
# of digits_64x64 over digits_400x300.
ALTERNATIVE_TOLERANCES = (0.0, 0.0075)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Select a task's best variant by its rule in params/studies.yaml, and register it."""
    task = require(params.tasks, name, "task")
    candidates = []
    # By name, not in the order of the parameters, which DVC does not track here: the folder of results has them all.
    for variant, spec in sorted(params.candidates_for(name).items()):
        path = workspace.training_results(variant, spec) / "metrics.json"
        trained = result_files.read_training(path, is_regressor=variant in params.regressors)
        # The loss holds penalties, which differ between variants.
        last = trained.validation.last.model_dump(exclude={"loss"})
        metrics = {f"val_{metric}": value for metric, value in last.items()}
        candidates.append(selection.Candidate(variant, spec.study, trained.parameters.total, metrics))
    storage.write_json(workspace.selection(name), record(name, task, candidates))


def record(name: str, task: Task, candidates: list[selection.Candidate]) -> dict[str, object]:
    """What was selected and why, the candidates from best to worst, and what other tolerances would select."""
    rules = [(task.tolerance, task.prefer_fewer_parameters), *((number, True) for number in ALTERNATIVE_TOLERANCES)]
    choices: list[dict[str, object]] = []
    for tolerance, prefer_fewer in rules:
        found = selection.select(
            candidates, metric=task.metric, tolerance=tolerance, prefer_fewer_parameters=prefer_fewer
        )
        rule = {"tolerance": tolerance, "prefer_fewer_parameters": prefer_fewer}
        choices.append({**rule, "selected": found.selected.variant, "reason": found.reason})
    return {
        "task": name,
        "metric": task.metric,
        **choices[0],
        # The same whatever the rule.
        "candidates": [
            {"variant": item.variant, "study": item.study, "parameters": item.parameters, **item.metrics}
            for item in found.ranked
        ],
        "alternatives": choices[1:],
    }
