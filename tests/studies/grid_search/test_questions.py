from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from pipeline.studies.grid_search import questions
from pipeline.studies.grid_search.data import Evidence
from tests.test_sentences import WRONG

MakeEvidence = Callable[..., Evidence]

TWO = {"2_bn_dropout": 0.95, "2_bn": 0.94, "2_dropout": 0.94}


def judged(evidence: Evidence, number: int) -> questions.Conclusion:
    conclusion = questions.conclude(evidence)[number - 1]
    assert conclusion.number == number
    return conclusion


@pytest.mark.parametrize(
    ("three", "verdict"),
    [
        ({"3_bn_dropout": 0.95, "3_bn": 0.94, "3_dropout": 0.94}, questions.SUPPORTED),
        ({"3_bn_dropout": 0.94, "3_bn": 0.95, "3_dropout": 0.93}, questions.NOT_SUPPORTED),
        ({"3_bn_dropout": 0.95, "3_bn": 0.95, "3_dropout": 0.93}, questions.UNDECIDED),
    ],
)
def test_bn_with_dropout_must_be_better_than_either_at_every_depth(
    make_evidence: MakeEvidence, three: dict[str, float], verdict: str
) -> None:
    conclusion = judged(make_evidence({**TWO, **three}), 1)
    assert conclusion.verdict == verdict
    compared = conclusion.numbers["cross_validation"]
    assert [(item["first"], item["second"]) for item in compared] == [
        ("2_bn_dropout", "2_bn"),
        ("3_bn_dropout", "3_bn"),
        ("2_bn_dropout", "2_dropout"),
        ("3_bn_dropout", "3_dropout"),
    ]
    assert compared[0]["difference"] == pytest.approx(0.01)
    assert compared[0]["reported"]["difference"] == pytest.approx(0.01)


def test_noise_leaves_it_undecided(make_evidence: MakeEvidence) -> None:
    """The same difference as above, in folds that differ by several times as much."""
    conclusion = judged(make_evidence(TWO, noise=0.03), 1)
    assert conclusion.verdict == questions.UNDECIDED
    assert "not told apart in 2" in conclusion.summary


@pytest.mark.parametrize(
    ("accuracy", "train_error", "verdict", "parts"),
    [
        (0.90, 0.001, questions.SUPPORTED, ("supported", "supported")),
        (0.948, 0.001, questions.NOT_SUPPORTED, ("not supported", "supported")),
        (0.90, 0.06, questions.NOT_SUPPORTED, ("supported", "not supported")),
        # One point below, more or less.
        (0.94, 0.001, questions.UNDECIDED, ("undecided", "supported")),
    ],
)
def test_without_dropout_is_terrible_if_far_below_and_severely_overfitted(
    make_evidence: MakeEvidence, accuracy: float, train_error: float, verdict: str, parts: tuple[str, str]
) -> None:
    evidence = make_evidence(
        {"2_bn_dropout": 0.95, "2_bn": accuracy}, noise=0.0005, refits={"2_bn": {"train_error": train_error}}
    )
    conclusion = judged(evidence, 2)
    assert (conclusion.verdict, tuple(conclusion.numbers["parts"].values())) == (verdict, parts)


# Accuracy and test cross-entropy of the refit for more epochs; that of the other is 0.1. TORN: fewer mistakes, but
# dearer ones.
WORSE, BETTER, TORN = (0.92, 0.5), (0.96, 0.01), (0.96, 0.5)


@pytest.mark.parametrize(
    ("dropout", "longer", "verdict", "parts"),
    [
        (0.948, WORSE, questions.SUPPORTED, ("supported", "supported")),
        (0.948, BETTER, questions.NOT_SUPPORTED, ("supported", "not supported")),
        (0.948, TORN, questions.UNDECIDED, ("supported", "undecided")),
        (0.90, (0.85, 0.5), questions.NOT_SUPPORTED, ("not supported", "supported")),
    ],
)
def test_without_bn_is_fine_if_near_and_more_epochs_harm_it(
    make_evidence: MakeEvidence, dropout: float, longer: tuple[float, float], verdict: str, parts: tuple[str, str]
) -> None:
    evidence = make_evidence(
        {"2_bn_dropout": 0.95, "2_dropout": dropout},
        longer={"2_dropout": {"accuracy": longer[0]}},
        entropies={"2_dropout_longer": longer[1]},
    )
    conclusion = judged(evidence, 3)
    assert (conclusion.verdict, tuple(conclusion.numbers["parts"].values())) == (verdict, parts)


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [
        ({"plain": (1.6, 1.5, 1.7), "engine": (1.4, 1.3, 1.5)}, questions.SUPPORTED),
        ({"plain": (1.1, 1.0, 1.2), "engine": (1.0, 0.9, 1.1)}, questions.NOT_SUPPORTED),
        ({"plain": (1.6, 1.5, 1.7), "engine": (1.0, 0.9, 1.1)}, questions.UNDECIDED),
        ({"plain": (1.3, 1.1, 1.7)}, questions.UNDECIDED),
        ({}, questions.UNDECIDED),
    ],
)
def test_bn_costs_much_more_if_it_does_on_every_engine(
    make_evidence: MakeEvidence, costs: dict[str, tuple[float, float, float]], verdict: str
) -> None:
    conclusion = judged(make_evidence({"3_bn": 0.94, "3_dropout": 0.94}, costs=costs), 4)
    assert conclusion.verdict == verdict
    assert conclusion.numbers["reported_search_time_ratio"] == {"3_bn / 3_dropout": pytest.approx(1.59, abs=0.01)}


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        ({"2_dropout": 0.92, "3_dropout": 0.95, "5_dropout": 0.91}, questions.SUPPORTED),
        ({"2_dropout": 0.96, "3_dropout": 0.95, "5_dropout": 0.91}, questions.NOT_SUPPORTED),
        ({"2_dropout": 0.95, "3_dropout": 0.95, "5_dropout": 0.91}, questions.UNDECIDED),
        # Of another technique: nothing to compare with.
        ({"2_bn": 0.92, "3_dropout": 0.95}, questions.UNDECIDED),
    ],
)
def test_three_layers_must_beat_every_other_depth(
    make_evidence: MakeEvidence, accuracies: dict[str, float], verdict: str
) -> None:
    assert judged(make_evidence(accuracies), 5).verdict == verdict


def test_what_cross_validation_and_test_disagree_on_is_undecided(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence({"2_bn": 0.92, "3_bn": 0.95}, refits={"3_bn": {"accuracy": 0.90}})
    assert judged(evidence, 5).verdict == questions.UNDECIDED


@pytest.mark.parametrize("accuracies", [{}, {"2_dropout": 0.9}, {"1_bn_dropout": 0.9}, {"2_none": 0.9}])
def test_with_no_searches_to_compare_all_is_undecided_and_says_what_is_missing(
    make_evidence: MakeEvidence, accuracies: dict[str, float]
) -> None:
    conclusions = questions.conclude(make_evidence(accuracies, costs={"plain": (1.6, 1.5, 1.7)}))
    assert [conclusion.verdict for conclusion in conclusions] == [questions.UNDECIDED] * 5
    for conclusion in conclusions:
        assert conclusion.reason.startswith("There are no two searches of ")


def test_searches_without_refits_are_judged_as_far_as_they_go(make_evidence: MakeEvidence) -> None:
    conclusions = questions.conclude(make_evidence(TWO, without_refits=True))
    assert conclusions[0].verdict == questions.SUPPORTED
    assert conclusions[0].numbers["refits"] == []
    assert (conclusions[1].verdict, conclusions[1].reason) == (questions.UNDECIDED, "There is no refit with BN alone.")
    assert "no repeated refits with dropout alone" in conclusions[2].reason


def test_everything_can_be_written_as_json(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence({**TWO, "3_bn": 0.94, "3_dropout": 0.93}, longer={"2_dropout": {"accuracy": 0.92}})
    content = [asdict(conclusion) for conclusion in questions.conclude(evidence)]
    assert json.loads(json.dumps(content, allow_nan=False))[0]["claim"] == "Batch normalization with dropout is best."


@pytest.mark.parametrize("three", [{}, {"3_bn_dropout": 0.95, "3_bn": 0.96, "3_dropout": 0.93}])
def test_summaries_and_reasons_read_as_sentences(make_evidence: MakeEvidence, three: dict[str, float]) -> None:
    evidence = make_evidence(
        {**TWO, **three}, longer={"2_dropout": {"accuracy": 0.92}}, costs={"plain": (1.3, 1.1, 1.7)}
    )
    for conclusion in questions.conclude(evidence):
        for text in (conclusion.claim, conclusion.restatement, conclusion.rule, conclusion.summary, conclusion.reason):
            print(text)
            assert text.endswith(".")
            assert not WRONG.search(text), text
