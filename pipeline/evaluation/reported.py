"""The test accuracies that the sources report of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import DerivedVariant
from pipeline.config.params import Params
from pipeline.evaluation import reported_file


@dataclass(frozen=True)
class ReportedFigure:
    """A source's test accuracy, and the fault that makes it no target for a reproduction, if it has one."""

    test_accuracy: float
    fault: str | None


# By study and variant; a row without a reported test accuracy is absent.
ReportedFigures = Mapping[tuple[str, str], ReportedFigure]


def reported_figures(path: Path, params: Params) -> ReportedFigures:
    """What the sources report of the classifiers of the study.

    Variants on embedded data have none: a figure on MNIST says nothing about them, and where all data is embedded the
    file is not read. Raises PipelineError naming the file and key when something is missing or malformed.
    """
    wanted = [
        (study, variant)
        for study, spec in params.studies.items()
        if not params.is_embedded(spec.dataset)
        for variant in params.variants_of(study)
    ]
    content = reported_file.read(path) if wanted else {}
    figures = {}
    for study, variant in wanted:
        figure = _figure(content, study, variant, _accuracy_name(params, variant), path)
        if figure is not None:
            figures[study, variant] = figure
    return figures


def _accuracy_name(params: Params, variant: str) -> str:
    """A refit shares its row with the search whose best units it has."""
    spec = params.classifiers[variant]
    is_refit = isinstance(spec, DerivedVariant) and spec.layers_from in params.searches
    return "refit_test_accuracy" if is_refit else "test_accuracy"


def _figure(content: dict[str, Any], study: str, variant: str, name: str, path: Path) -> ReportedFigure | None:
    row = reported_file.mapping(reported_file.mapping(content, study, path), variant, path)
    reported = reported_file.mapping(row, "reported", path)
    accuracy = reported_file.fraction(reported, name, f"{study}.{variant}.reported", path)
    return None if accuracy is None else ReportedFigure(accuracy, row.get("fault"))
