"""The five conclusions of the source of the grid searches, each judged by a rule that the verdict comes with."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.evaluation.pairwise import LEVEL
from pipeline.evaluation.statistics import CONFIDENCE
from pipeline.studies.grid_search import metrics
from pipeline.studies.grid_search.closing_table import OVERFITS_SEVERELY, VERDICT_RULE, left_of_test_error, verdict
from pipeline.studies.grid_search.data import BN_ALONE, BN_AND_DROPOUT, DROPOUT_ALONE, Evidence, Refit, technique_of
from pipeline.studies.grid_search.metrics import Contrast

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
# By the sign that a conclusion, or a part of one, comes to.
VERDICTS = {1: SUPPORTED, -1: NOT_SUPPORTED, 0: UNDECIDED}

# An accuracy lower by this much is "terrible", not "fine": several times what another seed or other folds change.
LARGE = 0.01
# What makes a cost "much more": a quarter. The source's searches took 1.59 times as long.
MUCH = 1.25
# The depth that the source concludes to be best.
BEST_DEPTH = 3

# Of two searches by name.
Compare = Callable[[Evidence, str, str], list[Contrast]]

TEST = (
    "Differences are tested on the same folds at the same units, or over the seeds of repeated trainings and the test "
    f"images; p values are corrected by Holm's method for all that are tested together, significant below "
    f"{100 * LEVEL:g} %; the intervals of 95 % beside them are not."
)


@dataclass(frozen=True)
class Conclusion:
    """What the source concludes, what of it can be measured, the rule, and what comes of it, briefly and in full."""

    number: int
    claim: str
    restatement: str
    rule: str
    verdict: str
    summary: str
    reason: str
    numbers: dict[str, Any]


def answers(study: str, evidence: Evidence, agreement: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content of conclusions.json; `agreement` is how well measured and reported accuracies agree."""
    return {
        "study": study,
        "confidence": CONFIDENCE,
        "closing_table_verdict_rule": VERDICT_RULE,
        "agreement_with_reported": agreement,
        "conclusions": [asdict(conclusion) for conclusion in conclude(evidence)],
    }


def conclude(evidence: Evidence) -> list[Conclusion]:
    """Judge all five; a conclusion is undecided, and says why, if searches, refits or costs for it are missing."""
    return [
        bn_and_dropout_is_best(evidence),
        without_dropout_is_terrible(evidence),
        without_bn_is_fine(evidence),
        bn_costs_more_time(evidence),
        three_layers_are_best(evidence),
    ]


def bn_and_dropout_is_best(evidence: Evidence) -> Conclusion:
    rivals = (BN_ALONE, DROPOUT_ALONE)
    found = {rival: _by_depth(evidence, BN_AND_DROPOUT, rival) for rival in rivals}
    compared = metrics.judged([contrast for group in found.values() for contrast in group])
    refits = metrics.judged(
        [test for rival in rivals for test in _by_depth(evidence, BN_AND_DROPOUT, rival, metrics.of_refits)]
    )
    missing = [_no_pair(BN_AND_DROPOUT, rival) for rival, group in found.items() if not group]
    signs = [contrast.sign for contrast in compared]
    return Conclusion(
        1,
        "Batch normalization with dropout is best.",
        "At equal units and depth, BN + dropout has a higher cross-validated accuracy than BN alone and than dropout "
        "alone, at every depth searched.",
        "Supported if every difference by cross-validation is significantly above 0, not supported if one is "
        "significantly below, otherwise undecided. Test accuracies of refits, a family of their own, are told and do "
        f"not count: the units of each are what its search chose. {TEST}",
        VERDICTS[0 if missing else _lowest(signs)],
        " ".join(missing) or f"By cross-validation: {_better_equal_worse(signs)}.",
        " ".join(missing) or f"{_sentence([*compared, *refits])}.",
        {"cross_validation": _as_dicts(compared), "refits": _as_dicts(refits)},
    )


def without_dropout_is_terrible(evidence: Evidence) -> Conclusion:
    compared = _by_depth(evidence, BN_ALONE, BN_AND_DROPOUT)
    compared = metrics.judged(compared + _by_depth(evidence, BN_ALONE, BN_AND_DROPOUT, metrics.of_refits), -LARGE)
    searches = [name for name, search in evidence.searches.items() if technique_of(search) == BN_ALONE]
    refits = [refit for name in searches if (refit := evidence.refit_of(name)) is not None]
    parts = {
        "terrible": _lowest([-contrast.sign for contrast in compared]),
        "overfits": _unanimous([1 if verdict(refit) == OVERFITS_SEVERELY else -1 for refit in refits]),
    }
    missing = [] if compared else [_no_pair(BN_ALONE, BN_AND_DROPOUT)]
    missing += [] if refits else ["There is no refit with BN alone."]
    reason = (
        f"{_sentence(compared)}. Of the test error the training error is, with dropout off, "
        + ", ".join(f"{100 * left_of_test_error(refit):.1f} % in {refit.name}" for refit in refits)
        + "."
    )
    return Conclusion(
        2,
        "Without dropout it is terrible: overfitting.",
        f"BN alone overfits severely, and its accuracy is more than {100 * LARGE:g} point below that of BN + dropout.",
        f"Terrible: supported if every difference is significantly below -{100 * LARGE:g} point, not supported if one "
        "is significantly above it. "
        f"Overfits: supported if every refit with BN alone {OVERFITS_SEVERELY}, not supported if none does. Both must "
        f"be supported; if one is not, the conclusion is not. {VERDICT_RULE} {TEST}",
        VERDICTS[0 if missing else _lowest(parts.values())],
        " ".join(missing) or _says(parts),
        " ".join(missing) or reason,
        {
            "parts": _verdicts(parts),
            "contrasts": _as_dicts(compared),
            "refits": [_fit(refit) for refit in evidence.refits.values()],
        },
    )


def without_bn_is_fine(evidence: Evidence) -> Conclusion:
    compared = metrics.judged(_by_depth(evidence, DROPOUT_ALONE, BN_AND_DROPOUT), -LARGE)
    later = metrics.judged(_longer_against_shorter(evidence))
    # Cross-entropies that rise do harm, and so do accuracies that fall.
    harms = [item.sign * (1 if item.basis == "test cross-entropy" else -1) for item in later]
    parts = {
        "fine": _lowest([contrast.sign for contrast in compared]),
        "overfits_later": _agreed(harms),
    }
    missing = [] if compared else [_no_pair(DROPOUT_ALONE, BN_AND_DROPOUT)]
    missing += [] if later else ["There are no repeated refits with dropout alone, one of them for more epochs."]
    return Conclusion(
        3,
        "Without batch normalization it is fine, but may overfit as epochs increase.",
        f"Dropout alone is less than {100 * LARGE:g} point below BN + dropout, and more epochs make its test figures "
        "worse.",
        f"Fine: supported if every difference is significantly above -{100 * LARGE:g} point, not supported if one is "
        "significantly below it. Overfits later: supported if with more epochs the test accuracy falls or the test "
        "cross-entropy rises significantly, not supported if one of them improves so and the other does not get worse. "
        f"Both must be supported; if one is not, the conclusion is not. {TEST}",
        VERDICTS[0 if missing else _lowest(parts.values())],
        " ".join(missing) or _says(parts),
        " ".join(missing) or f"{_sentence([*compared, *later])}.",
        {"parts": _verdicts(parts), "cross_validation": _as_dicts(compared), "more_epochs": _as_dicts(later)},
    )


def bn_costs_more_time(evidence: Evidence) -> Conclusion:
    pairs = evidence.pairs_by_depth(BN_ALONE, DROPOUT_ALONE)
    costs = evidence.block_costs
    ratios = {
        str(row["engine"]): tuple(float(row[f"ratio_to_dropout_{end}"]) for end in ("median", "min", "max"))
        for row in costs[costs["block"] == "bn"].to_dict("records")
    }
    signs = [int(low >= MUCH) - int(high < MUCH) for _, low, high in ratios.values()]
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
        VERDICTS[0 if missing else _unanimous(signs)],
        " ".join(missing) or _of_ratios([median for median, _, _ in ratios.values()]),
        " ".join(missing) or f"{reason}.",
        {"seconds_per_epoch": costs.to_dict("records"), "reported_search_time_ratio": reported},
    )


def three_layers_are_best(evidence: Evidence) -> Conclusion:
    pairs = [
        (three, other)
        for technique in dict.fromkeys(map(technique_of, evidence.searches.values()))
        if (three := evidence.find(BEST_DEPTH, technique)) is not None
        for depth in evidence.depths
        if depth != BEST_DEPTH and (other := evidence.find(depth, technique)) is not None
    ]
    groups = [[*metrics.of_chosen(evidence, *pair), *metrics.of_refits(evidence, *pair)] for pair in pairs]
    compared = metrics.judged([contrast for group in groups for contrast in group])
    of_group = iter(compared)
    signs = [_agreed([next(of_group).sign for _ in group]) for group in groups]
    missing = [] if compared else ["There are no two searches of one technique, one over three hidden layers."]
    return Conclusion(
        5,
        "Three hidden layers are best.",
        "Whatever the technique, what the search over three hidden layers chose beats what those over other depths "
        "chose, in cross-validation and as a refit on the test images.",
        "Of two depths one beats the other if its cross-validated or its test accuracy is significantly higher and the "
        "other's is in neither. Supported if three layers beat every other depth, not supported if another depth beats "
        f"them, otherwise undecided. {TEST}",
        VERDICTS[0 if missing else _lowest(signs)],
        " ".join(missing) or f"Three layers are {_better_equal_worse(signs)}.",
        " ".join(missing) or f"{_sentence(compared)}.",
        {
            "contrasts": _as_dicts(compared),
            "depths": [
                {"search": name, "layers": len(search.grid), "chosen": evidence.chosen[name], **_best(evidence, name)}
                for name, search in evidence.searches.items()
            ],
        },
    )


def _lowest(signs: Collection[int]) -> int:
    """1 if all signs are, -1 if one is."""
    return min(signs, default=0)


def _unanimous(signs: Collection[int]) -> int:
    """The sign that all have, 0 if they differ."""
    return next(iter(signs)) if len(set(signs)) == 1 else 0


def _agreed(signs: Collection[int]) -> int:
    """1 or -1 if a sign is so and none is the opposite."""
    return int(1 in signs) - int(-1 in signs)


def _by_depth(evidence: Evidence, first: str, second: str, compare: Compare = metrics.at_equal_units) -> list[Contrast]:
    """At every depth that has searches with both techniques, the first against the second."""
    return [contrast for pair in evidence.pairs_by_depth(first, second) for contrast in compare(evidence, *pair)]


def _longer_against_shorter(evidence: Evidence) -> list[Contrast]:
    """Refits with dropout alone for more epochs, against those for as many as the search had, on the test images."""
    found: list[Contrast] = []
    for name, search in evidence.searches.items():
        short, long = evidence.refit_of(name), evidence.longer_refit_of(name)
        if technique_of(search) == DROPOUT_ALONE and short is not None and long is not None:
            found += metrics.over_seeds(evidence, long.name, short.name, "accuracy")
            found += metrics.over_seeds(evidence, long.name, short.name, "cross_entropy")
    return found


def _best(evidence: Evidence, search: str) -> dict[str, Any]:
    refit = evidence.refit_of(search)
    return {
        "technique": technique_of(evidence.searches[search]),
        "mean_accuracy": evidence.score(search, "mean_accuracy"),
        "std_accuracy": evidence.score(search, "std_accuracy"),
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


def _no_pair(first: str, second: str) -> str:
    return f"There are no two searches of one depth with common units, one with {first}, one with {second}."


def _verdicts(parts: Mapping[str, int]) -> dict[str, str]:
    return {name: VERDICTS[sign] for name, sign in parts.items()}


def _says(parts: Mapping[str, int]) -> str:
    return " ".join(f"{name.replace('_', ' ').capitalize()}: {VERDICTS[sign]}." for name, sign in parts.items())


def _as_dicts(contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
    return [contrast.as_dict() for contrast in contrasts]


def _sentence(contrasts: Sequence[Contrast]) -> str:
    return "; ".join(contrast.text() for contrast in contrasts)


def _of_ratios(medians: Sequence[float]) -> str:
    return f"An epoch takes {min(medians):.2f} to {max(medians):.2f} times as long, by engine."


def _better_equal_worse(signs: Sequence[int]) -> str:
    better, worse = signs.count(1), signs.count(-1)
    return f"better in {better} of {len(signs)} comparisons, worse in {worse}, not told apart in {signs.count(0)}"
