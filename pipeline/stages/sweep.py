"""Choose among the variants of a sweep, by validation accuracy alone; a derived variant takes the winner's layers."""

from typing import Any

from pipeline.config.models import SweptVariant
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import ClassifierTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Save which member of a sweep has the best validation accuracy, and its hidden layers."""
    require(params.sweeps, name, "sweep")
    members = params.members_of(name)
    accuracies = {}
    for member, variant in members.items():
        path = workspace.training_results(member, variant) / "metrics.json"
        accuracies[member] = result_files.read(path, ClassifierTraining).validation.last.accuracy
    storage.write_json(workspace.outcome(name), outcome(name, members, accuracies))


def outcome(name: str, members: dict[str, SweptVariant], accuracies: dict[str, float]) -> dict[str, Any]:
    """Which member was chosen and why, with its hidden layers as params.yaml states them; of equals the first."""
    best = max(members, key=lambda member: accuracies[member])
    num_equal = sum(accuracy == accuracies[best] for accuracy in accuracies.values())
    reason = f"It has the best validation accuracy of {len(members)} members."
    if len(members) == 1:
        reason = "It is the only member."
    elif num_equal > 1:
        reason = (
            f"{num_equal} of the {len(members)} members share the best validation accuracy; it is the first of those."
        )
    return {
        "sweep": name,
        "selected": best,
        "reason": reason,
        "accuracies": accuracies,
        "layers": [layer.model_dump(exclude_defaults=True) for layer in members[best].layers],
    }
