from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.stages import sweep


@pytest.fixture
def swept(content: dict[str, Any]) -> Params:
    """A sweep over three dropout rates, beside variants that are none of its business."""
    member = {**content["variants"]["narrow"], "sweep": "rates"}
    layers = {
        name: [{"units": 4, "dropout": rate}, {"units": 2}] for name, rate in zip("abc", (0.1, 0.2, 0.3), strict=True)
    }
    content["sweeps"] = {"rates": {"study": "first", "dataset": "shapes"}}
    content["swept"] = {f"rate_{name}": {**member, "layers": value} for name, value in layers.items()}
    content["studies"]["first"]["variants"] += list(content["swept"])
    return Params.model_validate(content)


def save(workspace: Workspace, params: Params, **accuracies: float) -> None:
    for name, accuracy in accuracies.items():
        path = workspace.training_results(name, params.swept[name]) / "metrics.json"
        storage.write_json(path, metrics(accuracy))


def metrics(accuracy: float) -> dict[str, Any]:
    last, best = ({"loss": 0.1, "cross_entropy": 0.1, "accuracy": value} for value in (accuracy, 1 - accuracy))
    return {
        "parameters": {"total": 10, "trainable": 10},
        "epochs": 3,
        "best_epoch": 1,
        "train": {"last": last, "best": last},
        "validation": {"last": last, "best": best},
        "train_evaluated": last,
    }


def test_the_best_last_validation_accuracy_is_chosen_with_its_layers(workspace: Workspace, swept: Params) -> None:
    save(workspace, swept, rate_a=0.9, rate_b=0.95, rate_c=0.94)
    sweep.main(workspace, swept, "rates")
    assert storage.read_json(workspace.outcome("rates")) == {
        "sweep": "rates",
        "selected": "rate_b",
        "reason": "It has the best validation accuracy of 3 members.",
        "accuracies": {"rate_a": 0.9, "rate_b": 0.95, "rate_c": 0.94},
        "layers": [{"units": 4, "dropout": 0.2}, {"units": 2}],
    }


def test_of_equals_the_first_is_chosen_and_said_so(workspace: Workspace, swept: Params) -> None:
    save(workspace, swept, rate_a=0.9, rate_b=0.95, rate_c=0.95)
    sweep.main(workspace, swept, "rates")
    outcome = storage.read_json(workspace.outcome("rates"))
    assert outcome["selected"] == "rate_b"
    assert outcome["reason"] == "2 of the 3 members share the best validation accuracy; it is the first of those."


def test_a_derived_variant_takes_the_chosen_layers(workspace: Workspace, swept: Params) -> None:

    save(workspace, swept, rate_a=0.9, rate_b=0.8, rate_c=0.85)
    sweep.main(workspace, swept, "rates")
    content = swept.model_dump(exclude_none=True)
    derived = {key: value for key, value in content["variants"]["narrow"].items() if key != "layers"}
    content["derived"] = {"augmented": {**derived, "layers_from": "rates"}}
    content["studies"]["first"]["variants"] += ("augmented",)
    spec = Params.model_validate(content).derived["augmented"]
    assert outcomes.of_variant(workspace, spec).layers == swept.swept["rate_a"].layers


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"validation": {}}, r"expected validation\.last, got none"),
        ({"validation": None}, "expected validation, an object, got None"),
        (
            {"validation": {"last": {"loss": 0.1, "cross_entropy": 0.1}}},
            r"expected validation\.last\.accuracy, got none\. Delete the file, then run `dvc repro` to make it again",
        ),
        (
            {"validation": {"last": {"loss": 0.1, "cross_entropy": 0.1, "accuracy": "high"}}},
            r"expected validation\.last\.accuracy, a number, got 'high'",
        ),
    ],
)
def test_metrics_without_a_validation_accuracy_are_named(
    workspace: Workspace, swept: Params, changes: dict[str, Any], problem: str
) -> None:
    save(workspace, swept, rate_a=0.9, rate_b=0.95)
    path = workspace.training_results("rate_c", swept.swept["rate_c"]) / "metrics.json"
    storage.write_json(path, {**metrics(0.9), **changes})
    with pytest.raises(PipelineError, match=f"{path}: {problem}"):
        sweep.main(workspace, swept, "rates")
    assert not workspace.outcome("rates").exists()


def test_a_member_that_was_not_trained_is_named(workspace: Workspace, swept: Params) -> None:
    save(workspace, swept, rate_a=0.9)
    with pytest.raises(PipelineError, match=r"rate_b/metrics\.json: .* the file is missing"):
        sweep.main(workspace, swept, "rates")


def test_unknown_sweep_is_refused(workspace: Workspace, swept: Params) -> None:
    with pytest.raises(PipelineError, match="unknown sweep 'other'; expected one of: rates"):
        sweep.main(workspace, swept, "other")
