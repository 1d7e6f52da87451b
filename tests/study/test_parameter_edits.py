"""What an edit of the parameters makes DVC run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.study.workspace import AFTER_EXTRAS, Study

# What tracks the list of the study `extras`: not the selection, which looks at the results of all trainings.
OF_THE_LIST = AFTER_EXTRAS - {"register@digit-classifier"}


def test_editing_a_variant_trains_that_one_alone(study: Study) -> None:
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 3
    status = study.status()
    assert status.keys() == {"train@penalized", "report"}
    assert status["train@penalized"] == [{"changed deps": {"params.yaml": {"variants.penalized": "modified"}}}]
    diff = json.loads(study.dvc("params", "diff", "--json"))
    assert diff == {"params.yaml": {"variants.penalized.epochs": {"old": 1, "new": 3, "diff": 2}}}


def reordered(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in reversed(list(mapping))}


def test_reordering_variants_trains_none(study: Study) -> None:
    with study.params() as params:
        params["variants"] = reordered(params["variants"])
        params["variants"]["shared"] = reordered(params["variants"]["shared"])
    assert study.status() == {}


def test_reordering_the_list_of_a_study_trains_none(study: Study) -> None:
    with study.params() as params:
        params["studies"]["extras"]["variants"] = ["refitted", "penalized", "shared"]
    assert study.status().keys() == OF_THE_LIST


def test_deleting_a_variant_makes_anew_what_is_told_of_its_study(study: Study) -> None:
    with study.params() as params:
        del params["variants"]["penalized"]
        params["studies"]["extras"]["variants"].remove("penalized")
    assert study.status().keys() == OF_THE_LIST


@pytest.mark.parametrize(
    ("section", "item", "key", "value", "expected"),
    [
        ("tasks", "digit-classifier", "tolerance", 0.5, {"register@digit-classifier", "report"}),
        ("studies", "extras", "title", "More", {"compare@extras", "summarize", "report"}),
        ("datasets", "digits", "title", "Figures", {"prepare@digits", "summarize", "tabulate", "report"}),
        ("datasets", "digits", "example", 4, {"prepare@digits", "summarize", "tabulate", "report"}),
        ("searches", "widths", "epochs", 3, {"search@widths", "tabulate", "report"}),
    ],
)
def test_editing_a_threshold_or_a_title_trains_nothing(
    study: Study, section: str, item: str, key: str, value: object, expected: set[str]
) -> None:
    with study.params() as params:
        params[section][item][key] = value
    assert study.status().keys() == expected
