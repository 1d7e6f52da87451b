"""What a gate lets pass, check by check, on figures that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.studies import Gate
from pipeline.promotion import checks
from pipeline.promotion.checks import Evidence, Served
from pipeline.tracking.decisions import Check

NUM = 400
LABELS = np.arange(NUM) % 2
SIGNATURE = "uint8 (n, 28, 28) → float32 (n, 2)"
GATE = Gate(
    margin=0.02,
    min_accuracy=0.9,
    min_recall=0.85,
    max_calibration_error=0.1,
    max_megabytes=2.0,
    max_milliseconds=50.0,
)
REGRESSOR_GATE = Gate(margin=0.01, max_mean_absolute_error=0.2, max_megabytes=2.0, max_milliseconds=50.0)
NOT_LOADED = "it cannot be loaded: OSError"
DIGESTS = {"train": "a" * 64, "test": "b" * 64}


def answers(num_wrong: int, *, of_class: int | None = None, confidence: float = 0.95) -> Any:
    """Probabilities (n, 2) of which so many are wrong, the first ones, of one class if it is given."""
    rows = np.flatnonzero(of_class == LABELS) if of_class is not None else np.arange(NUM)
    predicted = LABELS.copy()
    predicted[rows[:num_wrong]] ^= 1
    return np.where(predicted[:, None] == np.arange(2), confidence, 1 - confidence).astype(np.float32)


def evidence(outputs: Any, champion: Any = None, **changes: Any) -> Evidence:
    plain = Evidence(
        targets=LABELS,
        champion="version 1",
        champion_outputs=outputs if champion is None else champion,
        must_compare=True,
        stored=outputs,
        served=Served(1_500_000, 20.0, SIGNATURE, outputs),
        expected_signature=SIGNATURE,
        version_digests=DIGESTS,
        present_digests=DIGESTS,
        commit="c" * 40,
        changes=(),
    )
    return replace(plain, **changes)


def judged(found: Evidence, gate: Gate = GATE) -> dict[str, Check]:
    return {check.name: check for check in checks.all_checks(gate, found, ["four", "nine"])}


def failures(found: Evidence, gate: Gate = GATE) -> list[str]:
    return [name for name, check in judged(found, gate).items() if not check.passed]


def test_all_that_is_asked_is_checked_and_a_good_version_passes() -> None:
    checks = judged(evidence(answers(20)))
    assert list(checks) == [
        "not worse than the champion",
        "accuracy",
        "recall of every class",
        "calibration error",
        "size",
        "latency",
        "signature",
        "reloaded model",
        "data digests",
        "git commit",
    ]
    assert all(check.passed for check in checks.values())
    assert checks["accuracy"].measured.startswith("95.00%")
    assert checks["calibration error"].measured == "0.00%"


def test_thresholds_that_are_left_out_are_not_checked() -> None:
    gate = Gate(margin=0.02, max_megabytes=2.0, max_milliseconds=50.0)
    assert {"accuracy", "recall of every class", "calibration error"} & judged(
        evidence(answers(200)), gate
    ).keys() == set()


@pytest.mark.parametrize(
    ("found", "name", "measured"),
    [
        (evidence(answers(41, confidence=0.9)), "accuracy", "89.75%"),
        (
            evidence(answers(31, of_class=1, confidence=0.92)),
            "recall of every class",
            "lowest 84.50% (nine), 1 of 2 below",
        ),
        (evidence(answers(4, confidence=0.85)), "calibration error", "14.00%"),
        (
            evidence(answers(20), served=Served(2_000_001, 20.0, SIGNATURE, answers(20))),
            "size",
            "2.00 MB",
        ),
        (evidence(answers(20), served=Served(1, 50.1, SIGNATURE, answers(20))), "latency", "50.1 ms per prediction"),
        (
            evidence(answers(20), served=Served(1, 1.0, "float32 (n, 784) → float32 (n, 2)", answers(20))),
            "signature",
            "float32 (n, 784) → float32 (n, 2)",
        ),
        (
            evidence(answers(20), served=Served(1, 1.0, SIGNATURE, answers(20) + np.float32(0.01))),
            "reloaded model",
            "400 predictions, at most 0.01 apart",
        ),
        (
            evidence(answers(20), served=Served(1, 1.0, SIGNATURE, answers(20) * np.float32("nan"))),
            "reloaded model",
            "400 predictions, at most nan apart",
        ),
        (
            evidence(answers(20), served=Served(1, 1.0, SIGNATURE, answers(20)[:7])),
            "reloaded model",
            "(7, 2) values, against (400, 2) stored",
        ),
        (
            evidence(answers(20), stored="the stored predictions are those of another training"),
            "reloaded model",
            "the stored predictions are those of another training",
        ),
        (
            evidence(answers(20), present_digests={"train": "a" * 64, "test": "d" * 64}),
            "data digests",
            "test dddddddd here, bbbbbbbb of the version",
        ),
        (
            evidence(answers(20), version_digests={"train": "a" * 64}),
            "data digests",
            "test bbbbbbbb here, unknown of the version",
        ),
        (evidence(answers(20), present_digests={}), "data digests", "no data here"),
        (evidence(answers(20), commit=None, changes=["no git"]), "git commit", "no commit: no git"),
        (
            evidence(answers(20), changes=("a", "b", "c", "d", "e")),
            "git commit",
            "cccccccc, but uncommitted: a, b, c and 2 more",
        ),
    ],
)
def test_one_fault_fails_one_check_which_says_what_was_measured(found: Evidence, name: str, measured: str) -> None:
    assert failures(found) == [name]
    assert measured in judged(found)[name].measured


def test_a_worse_version_fails_and_a_better_one_passes() -> None:
    good, bad = answers(8, confidence=0.97), answers(30)
    assert failures(evidence(bad, champion=good)) == ["not worse than the champion"]
    check = judged(evidence(bad, champion=good))["not worse than the champion"]
    assert check.measured.startswith("-5.50 points (-8.")
    assert "against version 1" in check.measured
    assert failures(evidence(good, champion=bad)) == []


def test_within_the_margin_in_the_sample_alone_is_not_enough() -> None:
    """One point worse, but in 400 examples that may as well be four."""
    wrong_elsewhere = np.roll(answers(24), 100, axis=0)
    found = evidence(wrong_elsewhere, champion=answers(20))
    check = judged(found)["not worse than the champion"]
    assert check.measured.startswith("-1.00 points")
    assert not check.passed
    assert judged(found, GATE.model_copy(update={"margin": 0.06}))["not worse than the champion"].passed


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_wider_margin_never_refuses_what_a_narrower_one_lets_pass(
    wrong: int, champion_wrong: int, one: float, other: float
) -> None:
    correct, champion = (answers(number).argmax(axis=1) == LABELS for number in (wrong, champion_wrong))
    narrow, wide = (checks.not_less_accurate(correct, champion, margin, "x").passed for margin in sorted((one, other)))
    assert wide >= narrow


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    found = evidence(answers(20), champion="there is no champion")
    assert failures(replace(found, champion_outputs=None, must_compare=False)) == []
    assert failures(replace(found, champion_outputs=None, must_compare=True)) == ["not worse than the champion"]


def test_a_model_that_cannot_be_loaded_fails_all_that_needs_it() -> None:
    found = evidence(answers(20), stored=NOT_LOADED, served=NOT_LOADED)
    assert failures(found) == ["figures", "size", "latency", "signature", "reloaded model"]
    assert judged(found)["reloaded model"].measured == NOT_LOADED


def regressor(error: float, champion_error: float) -> dict[str, Check]:
    targets = np.zeros((100, 4), np.float32)
    outputs, champion = (np.full((100, 4), value, np.float32) for value in (error, champion_error))
    found = evidence(outputs, champion, targets=targets)
    return {check.name: check for check in checks.all_checks(REGRESSOR_GATE, found, None)}


def test_a_regressor_is_judged_by_its_errors() -> None:
    checks = regressor(0.1, 0.095)
    assert all(check.passed for check in checks.values())
    assert checks["not worse than the champion"].measured.startswith("+0.0050 (+0.0050 to +0.0050)")
    assert checks["mean absolute error"].measured == "0.1000 (0.1000–0.1000)"
    assert {"accuracy", "calibration error"} & checks.keys() == set()


def test_a_regressor_that_errs_more_is_refused() -> None:
    assert [name for name, check in regressor(0.15, 0.1).items() if not check.passed] == ["not worse than the champion"]
    assert [name for name, check in regressor(0.25, 0.25).items() if not check.passed] == ["mean absolute error"]


def test_the_upper_end_of_the_bootstrap_interval_decides() -> None:
    """On average 0.009 worse, with a margin of 0.01: too uncertain in ten waves, certain enough in ten thousand."""
    for number, passes in ((10, False), (10_000, True)):
        differences = np.where(np.arange(number) % 2, 0.029, -0.011)
        check = checks.not_less_exact(0.5 + differences, np.full(number, 0.5), 0.01, "version 1")
        assert (check.passed, check.measured[:7]) == (passes, "+0.0090")
