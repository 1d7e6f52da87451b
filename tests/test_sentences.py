"""Every sentence that the package makes of results, in every branch: `pytest -s` prints them all, to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.text import Text

from pipeline.config.load import load_params
from pipeline.evaluation import pairwise, selection
from pipeline.evaluation.selection import Candidate
from pipeline.report import decisions
from pipeline.stages import search, sweep
from pipeline.studies.four_vs_nine import questions as overfitting
from pipeline.studies.waves import questions as waves
from pipeline.tracking.decisions import Check, Decision
from pipeline.training.cross_validation import Configuration

ACCURACY: selection.Metric = "val_accuracy"
# What no sentence of a person has.
WRONG = re.compile(r"None|nan\b|  |\.\.|\b1 (variants|members|points|configurations|differences)\b|, ,| ,| \.(?!\d)")


def candidate(name: str, accuracy: float, parameters: int) -> Candidate:
    metrics = {"val_accuracy": accuracy, "val_mean_absolute_error": 1 - accuracy}
    return Candidate(name, "study", parameters, metrics)


def reasons_of_selections() -> Iterator[str]:
    one, other, third = candidate("one", 0.99, 10), candidate("other", 0.989, 5), candidate("third", 0.9, 1)
    for candidates in ([one], [one, other], [one, third], [candidate("one", 0.99, 4), other], [one, other, third]):
        for metric in (ACCURACY, "val_mean_absolute_error"):
            for prefer in (False, True):
                yield selection.select(
                    candidates,
                    metric=metric,
                    tolerance=0.002,
                    prefer_fewer_parameters=prefer,
                ).reason


def reasons_of_searches(repository: Any) -> Iterator[str]:
    params = load_params(repository)
    name, spec = next(iter(params.searches.items()))
    for configurations in (spec.configurations[:1], spec.configurations):
        scored = [Configuration(units, 10, (0.9,) * spec.folds, (0.1,) * spec.folds) for units in configurations]
        yield str(search.outcome(name, spec, scored)["reason"])
    members = params.members_of("four_nine_dropout")
    for accuracies in ([0.9, 0.8, 0.7, 0.6], [0.9, 0.9, 0.7, 0.6]):
        by_name = dict(zip(members, accuracies, strict=True))
        yield str(sweep.outcome("four_nine_dropout", members, by_name)["reason"])
    first = dict(list(members.items())[:1])
    yield str(sweep.outcome("four_nine_dropout", first, dict.fromkeys(first, 0.9))["reason"])


def summaries_of_differences() -> Iterator[str]:
    verdicts = [pairwise.NO_DIFFERENCE, f"a{pairwise.IS_BETTER}"]
    for number in (0, 1, 2):
        columns = {f"{metric}_verdict": verdicts[:number] for metric in ("accuracy", "cross_entropy")}
        yield pairwise.summary(pd.DataFrame(columns))


def verdicts_about_overfitting() -> Iterator[str]:
    for rises, train_accuracy, last in ((False, 1.0, 0.9), (True, 0.99, 0.9), (True, 1.0, 1.0), (True, 1.0, 0.9)):
        curve = [0.2, 0.1, 0.3 if rises else 0.1]
        history = pd.DataFrame({"epoch": [1, 2, 3], "accuracy": 1.0, "val_accuracy": last, "val_cross_entropy": curve})
        evaluated = SimpleNamespace(accuracy=train_accuracy, cross_entropy=0.01)
        item: Any = SimpleNamespace(history=history, metrics=SimpleNamespace(train_evaluated=evaluated))
        yield str(overfitting.overfitting({"plain": item}, "plain")["verdict"])


def verdicts_about_waves() -> Iterator[str]:
    for train, test in ((0.2, 0.2), (0.01, 0.1), (0.01, 0.01)):
        fit = waves.fit(train=train, validation=test, test=test, always_mean=0.3)
        yield f"The network does this: {fit['verdict']}."
    for within, beyond in ((1.0, 1.0), (0.1, 1.0), (0.1, 0.1)):
        rows = [SimpleNamespace(curve_errors=np.full((2, 2), value)) for value in (within, beyond)]
        always: Any = dict.fromkeys(("test", "extended"), np.ones((2, 2)))
        first, second = rows
        learned = waves.learned_the_transform(first, second, always)  # type: ignore[arg-type]
        yield f"It learned the transform: {learned['verdict']}."


def outcomes_of_promotions() -> Iterator[str]:
    passed, failed = Check("size", True, "1.20 MB", "at most 2 MB"), Check("latency", False, "9.0 ms", "at most 5 ms")
    judged = Decision(
        "promoted", "task", "Model", 2, "wide", None, 2, "It passed.", number=3, who="ada", checks=(passed,)
    )
    refused = replace(judged, action="refused", checks=(passed, failed))
    for one in (judged, refused, replace(judged, checks=(passed, failed), overridden=True)):
        for before in (None, 1, 2):
            for is_dry_run in (False, True):
                shown = decisions.promotion(replace(one, champion_before=before), is_dry_run=is_dry_run)
                (text,) = [item for item in getattr(shown, "renderables", [shown]) if isinstance(item, Text)]
                yield text.plain
    rolled_back = replace(judged, action="rolled back", champion_after=1, why="It was slower.", who="ada")
    yield str(decisions.summary(rolled_back))
    yield str(decisions.table([]))


@pytest.fixture
def sentences(repository: Any) -> list[str]:
    return [
        *reasons_of_selections(),
        *reasons_of_searches(repository),
        *summaries_of_differences(),
        *verdicts_about_overfitting(),
        *verdicts_about_waves(),
        *outcomes_of_promotions(),
    ]


def test_every_sentence_reads_as_one(sentences: list[str]) -> None:
    print("", *dict.fromkeys(sentences), sep="\n")
    assert len(set(sentences)) >= 30, "every branch gives another sentence"
    for sentence in sentences:
        assert sentence[0].isupper() or sentence[0].isdecimal(), sentence
        assert sentence.endswith("."), sentence
        assert not WRONG.search(sentence), sentence
