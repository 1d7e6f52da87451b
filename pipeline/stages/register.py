"""Select, on validation figures alone, the variant that becomes a version of a task's registered model."""

from __future__ import annotations

from dataclasses import asdict

from pipeline import entry, selection, storage, tracking
from pipeline.errors import PipelineError
from pipeline.params import Params, Task, require
from pipeline.paths import Workspace

# What would be selected with these tolerances is recorded too: with none, and with one that gives the sources' choice
# of digits_64x64 over digits_400x300.
ALTERNATIVE_TOLERANCES = (0.0, 0.0075)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Select a task's best variant by its rule in params.yaml, and register it."""
    task = require(params.tasks, name, "task")
    variants = params.candidates_for(name)
    if not variants:
        raise PipelineError(f"tasks.{name}: expected a variant that is trained on {task.dataset}, got none. Add one.")
    candidates = []
    for variant, spec in variants.items():
        trained = storage.read_json(workspace.training_results(variant, spec) / "metrics.json")
        last = trained["validation"]["last"]
        candidates.append(
            selection.Candidate(
                variant=variant,
                study=spec.study,
                parameters=trained["parameters"]["total"],
                val_accuracy=last["accuracy"],
                val_cross_entropy=last["cross_entropy"],
            )
        )
    storage.write_json(workspace.selection(name), record(name, task, candidates))
    tracking.publish_selection(workspace, params, name)


def record(name: str, task: Task, candidates: list[selection.Candidate]) -> dict[str, object]:
    """What was selected and why, the candidates from best to worst, and what other tolerances would select."""
    chosen = selection.select(
        candidates,
        metric=task.metric,
        tolerance=task.tolerance,
        prefer_fewer_parameters=task.prefer_fewer_parameters,
    )
    alternatives = [
        selection.select(candidates, metric=task.metric, tolerance=tolerance, prefer_fewer_parameters=True)
        for tolerance in ALTERNATIVE_TOLERANCES
    ]
    return {
        "task": name,
        "metric": task.metric,
        "tolerance": task.tolerance,
        "prefer_fewer_parameters": task.prefer_fewer_parameters,
        "selected": chosen.selected.variant,
        "reason": chosen.reason,
        "candidates": [asdict(candidate) for candidate in chosen.ranked],
        "alternatives": [
            {
                "tolerance": tolerance,
                "prefer_fewer_parameters": True,
                "selected": alternative.selected.variant,
                "reason": alternative.reason,
            }
            for tolerance, alternative in zip(ALTERNATIVE_TOLERANCES, alternatives, strict=True)
        ],
    }


if __name__ == "__main__":
    entry.run(main)
