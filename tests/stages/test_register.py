from __future__ import annotations

import shutil
from typing import Any

import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import register

TASK = "shape-classifier"


def selection(results: Workspace, content: dict[str, Any], **rule: Any) -> dict[str, Any]:
    content["tasks"][TASK].update(rule)
    register.main(results, Params.model_validate(content), TASK)
    return storage.read_json(results.selection(TASK))


def test_the_smaller_of_variants_within_the_tolerance_is_selected(results: Workspace, content: dict[str, Any]) -> None:
    record = selection(results, content)
    assert record["selected"] == "deep"
    assert record["reason"] == (
        "Of the 2 variants within the tolerance of 0.2 points of the best it has the fewest parameters: "
        "300 at a validation accuracy of 97.90 %, against 400 of wide at 98.00 %."
    )
    assert (record["task"], record["metric"], record["tolerance"]) == (TASK, "val_accuracy", 0.002)
    assert record["prefer_fewer_parameters"] is True


def test_candidates_are_listed_once_from_best_to_worst(results: Workspace, content: dict[str, Any]) -> None:
    record = selection(results, content)
    assert [item["variant"] for item in record["candidates"]] == ["wide", "deep", "narrow"]
    assert record["candidates"][1] == {
        "variant": "deep",
        "study": "second",
        "parameters": 300,
        "val_accuracy": 0.979,
        "val_cross_entropy": 0.1,
    }


def test_alternatives_tell_what_other_tolerances_select(results: Workspace, content: dict[str, Any]) -> None:
    alternatives = selection(results, content)["alternatives"]
    assert [(item["tolerance"], item["selected"]) for item in alternatives] == [(0.0, "wide"), (0.0075, "deep")]


@pytest.mark.parametrize(
    ("rule", "selected"),
    [
        ({"prefer_fewer_parameters": False}, "wide"),
        ({"tolerance": 0.0}, "wide"),
        ({"tolerance": 0.01}, "narrow"),
        ({"metric": "val_cross_entropy", "tolerance": 0.01}, "deep"),
    ],
)
def test_the_rule_of_params_decides(
    results: Workspace, content: dict[str, Any], rule: dict[str, Any], selected: str
) -> None:
    assert selection(results, content, **rule)["selected"] == selected


def test_test_figures_are_not_needed(results: Workspace, params: Params) -> None:
    shutil.rmtree(results.root / "results" / "evaluate")
    register.main(results, params, TASK)
    assert results.selection(TASK).is_file()


def test_the_same_bytes_twice(results: Workspace, params: Params) -> None:
    register.main(results, params, TASK)
    first = results.selection(TASK).read_bytes()
    register.main(results, params, TASK)
    assert results.selection(TASK).read_bytes() == first


def test_candidates_may_be_those_of_one_study(results: Workspace, content: dict[str, Any]) -> None:
    # By the folder of the home study: `wide`, which the second one lists too, lies in the first.
    record = selection(results, content, candidates="shapes/second")
    assert [item["variant"] for item in record["candidates"]] == ["deep"]
    assert record["selected"] == "deep"


def test_regressors_are_selected_by_their_error(results: Workspace, content: dict[str, Any]) -> None:
    wave = {"num_points": 9, "length_in_pi": 1, "train_size": 9, "validation_size": 3, "test_size": 3, "seed": 0}
    signal = {**wave, "title": "Waves", "example": [0, 0, 0, 0], "extended": [[1, 1, 0, 0]]}
    spec = {
        **content["variants"]["narrow"],
        "family": "regressor",
        "engine": "jax",
        "study": "waves",
        "dataset": "waves",
    }
    task = {**content["tasks"][TASK], "dataset": "waves", "candidates": "waves", "metric": "val_mean_absolute_error"}
    content |= {"signals": {"waves": signal}, "regressors": {"small": spec, "large": spec}}
    content["tasks"]["wave-regressor"] = {**task, "tolerance": 0.0}
    params = Params.model_validate(content)
    for name, error, parameters in (("small", 0.05, 10), ("large", 0.04, 90)):
        last = {"loss": error, "mean_absolute_error": error}
        metrics = {
            "parameters": {"total": parameters, "trainable": parameters},
            "epochs": 3,
            "best_epoch": 3,
            "train": {"last": last, "best": last},
            "validation": {"last": last, "best": last},
            "train_evaluated": {"mean_absolute_error": error},
        }
        storage.write_json(results.training_results(name, params.regressors[name]) / "metrics.json", metrics)
    register.main(results, params, "wave-regressor")
    record = storage.read_json(results.selection("wave-regressor"))
    assert record["selected"] == "large"
    assert "mean absolute validation error" in record["reason"]
    assert record["candidates"][0] == {
        "variant": "large",
        "study": "waves",
        "parameters": 90,
        "val_mean_absolute_error": 0.04,
    }


def test_unknown_task_is_refused(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown task 'other'; expected one of: shape-classifier"):
        register.main(workspace, params, "other")
