"""Choose among the variants of a sweep, on validation figures alone; a derived variant takes the winner's layers."""

from __future__ import annotations

from typing import Any

from pipeline import tracking
from pipeline.config.models import SweptVariant
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Save which member of a sweep has the best validation accuracy, and its hidden layers."""
    require(params.sweeps, name, "sweep")
    members = params.members_of(name)
    accuracies = {member: _validation_accuracy(workspace, member, variant) for member, variant in members.items()}
    storage.write_json(workspace.outcome(name), outcome(name, members, accuracies))
    tracking.publish_sweep(workspace, params, name)


def outcome(name: str, members: dict[str, SweptVariant], accuracies: dict[str, float]) -> dict[str, Any]:
    """Which member was chosen and why, with its hidden layers as params.yaml states them; of equals the first."""
    best = max(members, key=lambda member: accuracies[member])
    num_equal = sum(accuracy == accuracies[best] for accuracy in accuracies.values())
    reason = f"It has the best validation accuracy of {len(members)} members."
    if num_equal > 1:
        reason = f"It is the first of {num_equal} with the best validation accuracy of {len(members)} members."
    return {
        "sweep": name,
        "selected": best,
        "reason": reason,
        "accuracies": accuracies,
        "layers": [layer.model_dump(exclude_defaults=True) for layer in members[best].layers],
    }


def _validation_accuracy(workspace: Workspace, name: str, variant: SweptVariant) -> float:
    path = workspace.training_results(name, variant) / "metrics.json"
    try:
        return float(storage.read_json(path)["validation"]["last"]["accuracy"])
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"{path}: expected validation.last.accuracy, a number, got none ({error}). "
            "Delete the file, then run `dvc repro` to make it again."
        ) from None
