"""Which searches and refits a conclusion sets against each other, and by how much they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.studies.grid_search import differences
from pipeline.studies.grid_search.differences import Difference
from pipeline.studies.grid_search.evidence import Evidence, Refit, Technique

Basis = Literal["cross-validation", "cross-validation, chosen units", "test accuracy", "test error"]


@dataclass(frozen=True)
class Contrast:
    """The difference of two searches or refits, and what it was taken on.

    `reported` is the same difference in the source's own figures, if it has them.
    """

    first: str
    second: str
    basis: Basis
    difference: Difference
    num_pairs: int
    reported: Difference | float | None = None

    def as_dict(self) -> dict[str, Any]:
        told = self.reported.as_dict() if isinstance(self.reported, Difference) else {"difference": self.reported}
        return {
            "first": self.first,
            "second": self.second,
            "basis": self.basis,
            "num_pairs": self.num_pairs,
            **self.difference.as_dict(),
            **({} if self.reported is None else {"reported": told}),
        }

    def text(self) -> str:
        """As `a against b: +0.10 points (-0.05 to +0.25)`."""
        d, is_error = self.difference, self.basis == "test error"
        mean, low, high = (f"{value:+.4f}" if is_error else f"{100 * value:+.2f}" for value in (d.mean, d.low, d.high))
        unit = "nats" if is_error else "points"
        return f"{self.first} against {self.second}, {self.basis}: {mean} {unit} ({low} to {high})"


def at_equal_units(evidence: Evidence, first: str, second: str) -> Contrast | None:
    """Two searches on their folds, at all units that both tried; None where they share none or differ in folds."""
    accuracies = [evidence.fold_accuracies(name) for name in (first, second)]
    units = [name for name in accuracies[0].index if name in accuracies[1].index]
    if not units or accuracies[0].shape[1] != accuracies[1].shape[1]:
        return None
    told = [evidence.scores[name].set_index("units").loc[units, "reported_cv_accuracy"] for name in (first, second)]
    return Contrast(
        first,
        second,
        "cross-validation",
        differences.over_folds(*(table.loc[units].to_numpy(dtype=float) for table in accuracies)),
        len(units) * accuracies[0].shape[1],
        None
        if any(column.isna().any() for column in told)
        else differences.over_units(*(column.to_numpy(dtype=float) for column in told)),
    )


def of_chosen(evidence: Evidence, first: str, second: str) -> Contrast | None:
    """What two searches chose, on their folds; None where these differ in number."""
    rows = [
        evidence.fold_accuracies(name).loc[[evidence.chosen[name]]].to_numpy(dtype=float) for name in (first, second)
    ]
    if rows[0].shape != rows[1].shape:
        return None
    told = [float(evidence.scores[name]["reported_cv_accuracy"].astype(float).max()) for name in (first, second)]
    return Contrast(
        first,
        second,
        "cross-validation, chosen units",
        differences.over_folds(*rows),
        rows[0].shape[1],
        # Not a number unless both have figures.
        told[0] - told[1] if told[0] - told[1] == told[0] - told[1] else None,
    )


def of_tests(first: Refit, second: Refit) -> Contrast:
    """The test accuracies of two refits, image by image."""
    difference = differences.of_correct(first.correct, second.correct)
    return Contrast(first.name, second.name, "test accuracy", difference, len(first.correct))


def of_test_errors(first: Refit, second: Refit) -> Contrast:
    """The test errors (cross-entropies) of two refits, image by image."""
    difference = differences.of_losses(first.test_losses, second.test_losses)
    return Contrast(first.name, second.name, "test error", difference, len(first.test_losses))


def of_refits(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """The refits of two searches on the test images, if there are both."""
    pair = [evidence.refit_of(name) for name in (first, second)]
    return [of_tests(pair[0], pair[1])] if pair[0] is not None and pair[1] is not None else []


def by_depth(evidence: Evidence, first: Technique, second: Technique) -> list[Contrast]:
    """At every depth that has searches with both techniques, the first against the second at equal units."""
    found = [at_equal_units(evidence, *names) for names in pairs_by_depth(evidence, first, second)]
    return [contrast for contrast in found if contrast is not None]


def pairs_by_depth(evidence: Evidence, first: Technique, second: Technique) -> list[tuple[str, str]]:
    """At every depth that has searches with both techniques, their names."""
    depths = sorted({len(search.grid) for search in evidence.searches.values()})
    pairs = [(evidence.find(depth, first), evidence.find(depth, second)) for depth in depths]
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def told(contrasts: Sequence[Contrast]) -> str:
    """All contrasts in one sentence."""
    return "; ".join(contrast.text() for contrast in contrasts)
