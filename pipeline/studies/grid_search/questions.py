"""The five conclusions of the source of the grid searches, each judged by a rule that the verdict comes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.studies.grid_search import metrics
from pipeline.studies.grid_search.closing_table import OVERFITS_SEVERELY, VERDICT_RULE, left_of_test_error, verdict
from pipeline.studies.grid_search.data import (
    BN_ALONE,
    BN_AND_DROPOUT,
    DROPOUT_ALONE,
    Evidence,
    Refit,
    Technique,
    technique_of,
)
from pipeline.studies.grid_search.metrics import Contrast, as_dicts

Verdict = Literal["supported", "not supported", "undecided"]
SUPPORTED: Verdict = "supported"
NOT_SUPPORTED: Verdict = "not supported"
UNDECIDED: Verdict = "undecided"

# An accuracy lower by this much is "terrible", not "fine": several times what another seed or other folds change.
LARGE = 0.01
# What makes a cost "much more": a quarter. The source's searches took 1.59 times as long.
MUCH = 1.25
# The depth that the source concludes to be best.
BEST_DEPTH = 3

INTERVAL = "95 % intervals of paired differences: on the same folds at the same units, or on the same test images."


@dataclass(frozen=True)
class Conclusion:
    """What the source concludes, what of it can be measured, the rule, and what comes of it."""

    number: int
    claim: str
    restatement: str
    rule: str
    verdict: Verdict
    reason: str
    numbers: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def answers(study: str, evidence: Evidence, agreement: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content of conclusions.json; `agreement` is how well measured and reported accuracies agree."""
    return {
        "study": study,
        "confidence": metrics.CONFIDENCE,
        "closing_table_verdict_rule": VERDICT_RULE,
        "agreement_with_reported": agreement,
        "conclusions": [conclusion.as_dict() for conclusion in conclude(evidence)],
    }


def conclude(evidence: Evidence) -> list[Conclusion]:
    """Judge all five; a conclusion is undecided, and says why, if searches, refits or costs for it are missing."""
    judges: list[Callable[[Evidence], Conclusion]] = [
        bn_and_dropout_is_best,
        without_dropout_is_terrible,
        without_bn_is_fine,
        bn_costs_more_time,
        three_layers_are_best,
    ]
    return [judge(evidence) for judge in judges]


def bn_and_dropout_is_best(evidence: Evidence) -> Conclusion:
    """Conclusion 1."""
    rivals: tuple[Technique, ...] = (BN_ALONE, DROPOUT_ALONE)
    found = {rival: metrics.by_depth(evidence, BN_AND_DROPOUT, rival) for rival in rivals}
    compared = [contrast for group in found.values() for contrast in group]
    tests = [
        contrast
        for rival in rivals
        for pair in metrics.pairs_by_depth(evidence, BN_AND_DROPOUT, rival)
        for contrast in metrics.of_refits(evidence, *pair)
    ]
    missing = [_no_pair(BN_AND_DROPOUT, rival) for rival, group in found.items() if not group]
    signs = [contrast.difference.sign for contrast in compared]
    return Conclusion(
        1,
        "Batch normalization with dropout is best.",
        "At equal units and depth, BN + dropout has a higher cross-validated accuracy than BN alone and than dropout "
        "alone, at every depth searched.",
        f"Supported if every interval lies above 0, not supported if one lies below 0, otherwise undecided. {INTERVAL}",
        _all_or_none(signs) if not missing else UNDECIDED,
        " ".join(missing) if missing else f"{_better_equal_worse(signs)}: {metrics.sentence(compared)}.",
        {"cross_validation": as_dicts(compared), "refits": as_dicts(tests)},
    )


def without_dropout_is_terrible(evidence: Evidence) -> Conclusion:
    """Conclusion 2."""
    pairs = metrics.pairs_by_depth(evidence, BN_ALONE, BN_AND_DROPOUT)
    compared = metrics.by_depth(evidence, BN_ALONE, BN_AND_DROPOUT)
    compared += [contrast for pair in pairs for contrast in metrics.of_refits(evidence, *pair)]
    refits = _refits_with(evidence, BN_ALONE)
    parts: dict[str, Verdict] = {
        "terrible": _below(compared, -LARGE),
        "overfits": _overfitting(refits),
    }
    missing = [] if compared else [_no_pair(BN_ALONE, BN_AND_DROPOUT)]
    missing += [] if refits else ["There is no refit with BN alone."]
    reason = (
        f"{_says(parts)} {metrics.sentence(compared)}. Of the test error the training error is, with dropout off, "
        + ", ".join(f"{100 * left_of_test_error(refit):.1f} % in {refit.name}" for refit in refits)
        + "."
    )
    return Conclusion(
        2,
        "Without dropout it is terrible: overfitting.",
        f"BN alone overfits severely, and its accuracy is more than {100 * LARGE:g} point below that of BN + dropout.",
        f"Terrible: supported if every interval lies below -{100 * LARGE:g} point, not supported if one lies above it. "
        f"Overfits: supported if every refit with BN alone {OVERFITS_SEVERELY}, not supported if none does. Both must "
        f"be supported; if one is not, the conclusion is not. {VERDICT_RULE} {INTERVAL}",
        _both(parts) if not missing else UNDECIDED,
        " ".join(missing) if missing else reason,
        {
            "parts": parts,
            "contrasts": as_dicts(compared),
            "refits": [_fit(refit) for refit in evidence.refits.values()],
        },
    )


def without_bn_is_fine(evidence: Evidence) -> Conclusion:
    """Conclusion 3."""
    compared = metrics.by_depth(evidence, DROPOUT_ALONE, BN_AND_DROPOUT)
    later = _longer_against_shorter(evidence)
    parts: dict[str, Verdict] = {
        "fine": _above(compared, -LARGE),
        "overfits_later": _harm(later),
    }
    missing = [] if compared else [_no_pair(DROPOUT_ALONE, BN_AND_DROPOUT)]
    missing += [] if later else ["There is no refit with dropout alone for more epochs than the search had."]
    return Conclusion(
        3,
        "Without batch normalization it is fine, but may overfit as epochs increase.",
        f"Dropout alone is less than {100 * LARGE:g} point below BN + dropout, and more epochs make its test figures "
        "worse.",
        f"Fine: supported if every interval lies above -{100 * LARGE:g} point, not supported if one lies below it. "
        "Overfits later: supported if the test accuracy falls or the test error rises with more epochs (interval "
        "beyond 0), not supported if one of them improves so and the other does not get worse. Both must be "
        f"supported; if one is not, the conclusion is not. {INTERVAL}",
        _both(parts) if not missing else UNDECIDED,
        " ".join(missing) if missing else f"{_says(parts)} {metrics.sentence([*compared, *later])}.",
        {"parts": parts, "cross_validation": as_dicts(compared), "more_epochs": as_dicts(later)},
    )


def bn_costs_more_time(evidence: Evidence) -> Conclusion:
    """Conclusion 4."""
    pairs = metrics.pairs_by_depth(evidence, BN_ALONE, DROPOUT_ALONE)
    costs = evidence.block_costs
    ratios = {
        str(row["engine"]): tuple(float(row[f"ratio_to_dropout_{end}"]) for end in ("median", "min", "max"))
        for row in costs[costs["block"] == "bn"].to_dict("records")
    }
    verdicts = {_beyond(low, high, MUCH) for _, low, high in ratios.values()}
    missing = [] if pairs else [_no_pair(BN_ALONE, DROPOUT_ALONE)]
    missing += [] if ratios else ["The benchmark has no times of the block bn."]
    reason = "; ".join(
        f"{engine}: {median:.2f} times dropout alone per epoch ({low:.2f} to {high:.2f})"
        for engine, (median, low, high) in ratios.items()
    )
    reported = {
        f"{first} / {second}": evidence.reported_seconds[first] / evidence.reported_seconds[second]
        for first, second in pairs
        if evidence.reported_seconds.get(first) and evidence.reported_seconds.get(second)
    }
    return Conclusion(
        4,
        "Batch normalization alone costs much more time than dropout alone.",
        f"An epoch with BN alone takes at least {MUCH:g} times as long as one with dropout alone, on any engine.",
        f"Supported if the interval of the ratio lies at or above {MUCH:g} on every engine, not supported if it lies "
        "below on every engine, otherwise undecided. The interval goes from the smallest to the largest ratio of the "
        "rounds: of six or more it encloses the median with a confidence above 95 %. Times are measured by "
        "benchmarks/block_costs.py, not by this stage.",
        verdicts.pop() if not missing and len(verdicts) == 1 else UNDECIDED,
        " ".join(missing) if missing else f"{reason}.",
        {"seconds_per_epoch": costs.to_dict("records"), "reported_search_time_ratio": reported},
    )


def three_layers_are_best(evidence: Evidence) -> Conclusion:
    """Conclusion 5."""
    pairs = [
        (three, other)
        for technique in _techniques(evidence)
        if (three := evidence.find(BEST_DEPTH, technique)) is not None
        for depth in sorted({len(search.grid) for search in evidence.searches.values()} - {BEST_DEPTH})
        if (other := evidence.find(depth, technique)) is not None
    ]
    groups = [_chosen_and_refitted(evidence, *pair) for pair in pairs]
    signs = [_agreed_sign([contrast.difference.sign for contrast in group]) for group in groups]
    compared = [contrast for group in groups for contrast in group]
    missing = [] if compared else ["There are no two searches of one technique, one over three hidden layers."]
    return Conclusion(
        5,
        "Three hidden layers are best.",
        "Whatever the technique, what the search over three hidden layers chose beats what those over other depths "
        "chose, in cross-validation and as a refit on the test images.",
        "Of two depths one beats the other if an interval, of the cross-validated or of the test accuracy, lies on "
        "its side of 0 and none on the other's. Supported if three layers beat every other depth, not supported if "
        f"another depth beats them, otherwise undecided. {INTERVAL}",
        _all_or_none(signs) if not missing else UNDECIDED,
        " ".join(missing) if missing else f"{_better_equal_worse(signs)}: {metrics.sentence(compared)}.",
        {
            "contrasts": as_dicts(compared),
            "depths": [
                {"search": name, "layers": len(search.grid), "chosen": evidence.chosen[name], **_best(evidence, name)}
                for name, search in evidence.searches.items()
            ],
        },
    )


def _all_or_none(signs: Sequence[int]) -> Verdict:
    """Supported if all signs are 1, not supported if one is -1."""
    if not signs:
        return UNDECIDED
    if min(signs) > 0:
        return SUPPORTED
    return NOT_SUPPORTED if min(signs) < 0 else UNDECIDED


def _above(compared: Sequence[Contrast], limit: float) -> Verdict:
    return _all_or_none([item.difference.sign_against(limit) for item in compared])


def _below(compared: Sequence[Contrast], limit: float) -> Verdict:
    return _all_or_none([-item.difference.sign_against(limit) for item in compared])


def _beyond(low: float, high: float, limit: float) -> Verdict:
    if low >= limit:
        return SUPPORTED
    return NOT_SUPPORTED if high < limit else UNDECIDED


def _both(parts: dict[str, Verdict]) -> Verdict:
    """Of a conclusion whose parts must all hold."""
    if NOT_SUPPORTED in parts.values():
        return NOT_SUPPORTED
    return UNDECIDED if UNDECIDED in parts.values() else SUPPORTED


def _agreed_sign(signs: Sequence[int]) -> int:
    """1 or -1 if a sign is so and none is the opposite."""
    return 0 if {1, -1} <= set(signs) else sum(signs) and (1 if sum(signs) > 0 else -1)


def _overfitting(refits: Sequence[Refit]) -> Verdict:
    severe = {verdict(refit) == OVERFITS_SEVERELY for refit in refits}
    return UNDECIDED if len(severe) != 1 else SUPPORTED if severe.pop() else NOT_SUPPORTED


def _harm(later: Sequence[Contrast]) -> Verdict:
    """Whether accuracies fell or errors rose with more epochs, given contrasts of longer against shorter training."""
    harms = [item.difference.sign if item.basis == "test error" else -item.difference.sign for item in later]
    return {1: SUPPORTED, -1: NOT_SUPPORTED, 0: UNDECIDED}[_agreed_sign(harms)]


def _longer_against_shorter(evidence: Evidence) -> list[Contrast]:
    """Refits with dropout alone for more epochs, against those for as many as the search had, on the test images."""
    found = []
    for name, search in evidence.searches.items():
        short, long = evidence.refit_of(name), evidence.longer_refit_of(name)
        if technique_of(search) == DROPOUT_ALONE and short is not None and long is not None:
            found += [metrics.of_tests(long, short), metrics.of_test_errors(long, short)]
    return found


def _chosen_and_refitted(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    chosen = metrics.of_chosen(evidence, first, second)
    return [*([chosen] if chosen is not None else []), *metrics.of_refits(evidence, first, second)]


def _techniques(evidence: Evidence) -> list[Technique]:
    return list(dict.fromkeys(technique_of(search) for search in evidence.searches.values()))


def _refits_with(evidence: Evidence, technique: Technique) -> list[Refit]:
    searches = [name for name, search in evidence.searches.items() if technique_of(search) == technique]
    return [refit for name in searches if (refit := evidence.refit_of(name)) is not None]


def _best(evidence: Evidence, search: str) -> dict[str, Any]:
    chosen = evidence.chosen[search]
    refit = evidence.refit_of(search)
    return {
        "technique": technique_of(evidence.searches[search]),
        "mean_accuracy": evidence.score(search, chosen, "mean_accuracy"),
        "std_accuracy": evidence.score(search, chosen, "std_accuracy"),
        "test_accuracy": refit.tested.accuracy if refit else None,
    }


def _fit(refit: Refit) -> dict[str, Any]:
    return {
        "refit": refit.name,
        "train_error": refit.trained.train_evaluated.loss,
        "test_error": refit.tested.loss,
        "left_of_test_error": left_of_test_error(refit),
        "verdict": verdict(refit),
    }


def _no_pair(first: Technique, second: Technique) -> str:
    return f"There are no two searches of one depth with common units, one with {first}, one with {second}."


def _says(parts: dict[str, Verdict]) -> str:
    return " ".join(f"{name.replace('_', ' ').capitalize()}: {value}." for name, value in parts.items())


def _better_equal_worse(signs: Sequence[int]) -> str:
    better, worse = signs.count(1), signs.count(-1)
    return f"Better in {better} of {len(signs)} comparisons, worse in {worse}, not told apart in {signs.count(0)}"
