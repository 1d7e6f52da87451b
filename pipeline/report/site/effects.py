"""What each technique bought: differences between variants that have all in common but techniques of regularization."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.config.models import Trainable
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise
from pipeline.io import outcomes
from pipeline.report.site.files import Site, rows_of

# Keys of the parameters that regularize, and what the technique is called.
TECHNIQUES = {
    "dropout": "dropout",
    "batch_norm": "batch normalization",
    "l1": "L1",
    "l2": "L2",
    "activity_l1": "activity L1",
    "augmentation": "augmentation",
    "early_stopping": "early stopping",
}
# Where a variant is kept, not what it is.
PLACES = ("study", "sweep")
METRICS = ("accuracy", "cross_entropy")
COLUMNS = (
    "study", "technique", "with", "without", "basis",
    *(f"{metric}_{part}" for metric in METRICS for part in ("difference", "low", "high", "verdict")),
)  # fmt: skip


def table(site: Site) -> pd.DataFrame:
    """A row per pair of variants of a study, with COLUMNS; differences are those with the technique less those without.

    Pairs are equal but for techniques, of which the one has all that the other has and more; also those of any variant
    with the baseline that its study declares. Differences over several seeds take the place of those of one training.
    """
    rows = [row for study in site.params.studies for row in _rows(site, study)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def techniques(spec: Trainable) -> frozenset[str]:
    """The names of the techniques that a network uses."""
    found = itertools.chain.from_iterable(_used(spec.model_dump()))
    return frozenset(TECHNIQUES[key] for key in found)


def _rows(site: Site, study: str) -> Iterator[dict[str, Any]]:
    specs = dict(_resolved(site, study))
    baselines = {group[study].baseline for group in (site.params.contrasts, site.params.repeats) if study in group}
    repeated = {name: item.seeds for name, item in site.params.all_repeated.items() if item.repeats == study}
    seen: set[tuple[str, str]] = set()
    for folder, is_repeated in ((site.workspace.repeats(study), True), (site.workspace.comparison(study), False)):
        for pair in site.rows(folder / "differences.csv"):
            names = (pair["first"], pair["second"])
            if names in seen or not set(names) <= specs.keys():
                continue
            with_technique = _with_technique(*names, specs, baselines)
            if with_technique is None:
                continue
            seen |= {names, names[::-1]}
            without = names[1] if with_technique == names[0] else names[0]
            seeds = sorted({repeated[name] for name in names}) if is_repeated else [1]
            basis = " and ".join(map(str, seeds)) + (" seeds" if is_repeated else " training")
            added = techniques(specs[with_technique]) - techniques(specs[without])
            yield {
                "study": study,
                "technique": " + ".join(name for name in TECHNIQUES.values() if name in added),
                "with": with_technique,
                "without": without,
                "basis": basis,
                **_oriented(pair, is_turned=with_technique == names[1]),
            }


def _resolved(site: Site, study: str) -> Iterator[tuple[str, Trainable]]:
    for name, variant in site.params.variants_of(study).items():
        try:
            yield name, outcomes.of_variant(site.workspace, variant)
        except PipelineError:
            # Its layers come of a search that has not been made yet.
            continue


def _with_technique(first: str, second: str, specs: Mapping[str, Trainable], baselines: set[str | None]) -> str | None:
    """Which of two variants has the more techniques; None where the pair tells nothing about a technique."""
    for one, other in ((first, second), (second, first)):
        added = techniques(specs[one]) - techniques(specs[other])
        lacks = techniques(specs[other]) - techniques(specs[one])
        is_alike = _bare(specs[one].model_dump(exclude=set(PLACES))) == _bare(
            specs[other].model_dump(exclude=set(PLACES))
        )
        if added and not lacks and (is_alike or other in baselines):
            return one
    return None


def _oriented(pair: Mapping[Any, Any], *, is_turned: bool) -> dict[str, Any]:
    """The difference of the first less the second, or the other way round."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        values: list[Any] = [pair.get(f"{metric}_{part}") for part in ("difference", "low", "high")]
        if is_turned and values[0] is not None:
            # Not the -0.0 that -value would be where there is no difference.
            values = [0.0 - value for value in (values[0], values[2], values[1])]
        verdict = pair.get(f"{metric}_verdict")
        found |= dict(zip((f"{metric}_{part}" for part in ("difference", "low", "high")), values, strict=True))
        found[f"{metric}_verdict"] = verdict
    return found


def shown(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of the table for readers: each difference with its interval, and what is said of the technique."""
    forms = {"accuracy": (100, "{:+.2f}"), "cross_entropy": (1, "{:+.4f}")}
    found = []
    for row in rows_of(table):
        shown_row = {str(key): row[key] for key in ("technique", "with", "without", "basis")}
        for metric, (scale, form) in forms.items():
            values = [row[f"{metric}_{part}"] for part in ("difference", "low", "high")]
            numbers = None if None in values else [form.format(scale * value) for value in values]
            shown_row[metric] = numbers and f"{numbers[0]} ({numbers[1]} to {numbers[2]})"
            shown_row[f"{metric}_verdict"] = _told(row[f"{metric}_verdict"], row["with"])
        found.append(shown_row)
    return found


def _told(verdict: str | None, with_technique: str) -> str | None:
    if not is_significant(verdict):
        return verdict and "not told apart"
    return "better" if verdict == f"{with_technique}{pairwise.IS_BETTER}" else "worse"


def is_significant(verdict: str | None) -> bool:
    """Whether a verdict says that one of two variants is better."""
    return verdict is not None and verdict != pairwise.NO_DIFFERENCE


def _used(content: Any) -> Iterator[list[str]]:
    """The keys of techniques that are in use anywhere in a specification."""
    if isinstance(content, Mapping):
        yield [key for key, value in content.items() if key in TECHNIQUES and value]
        for value in content.values():
            yield from _used(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _used(value)


def _bare(content: Any) -> Any:
    """A specification without its techniques."""
    if isinstance(content, Mapping):
        return {key: _bare(value) for key, value in content.items() if key not in TECHNIQUES}
    return [_bare(value) for value in content] if isinstance(content, list | tuple) else content
