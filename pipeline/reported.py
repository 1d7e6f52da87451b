"""The figures that the source studies report, from reported_results.yaml: only ever set beside our own, never used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError
from pipeline.params import Params


@dataclass(frozen=True)
class ReportedFigure:
    """A source's test accuracy, and the fault that makes it no target for a reproduction, if it has one."""

    test_accuracy: float
    fault: str | None


# By study and variant; a row without a reported test accuracy is absent.
ReportedFigures = Mapping[tuple[str, str], ReportedFigure]


def reported_figures(path: Path, params: Params) -> ReportedFigures:
    """What the sources report of the variants in params.yaml.

    Variants on embedded data have none: a figure on MNIST says nothing about them, and where all data is embedded the
    file is not read. Raises PipelineError naming the file and key when something is missing or malformed.
    """
    wanted = [
        (study, variant)
        for study in params.studies
        if params.datasets[params.studies[study].dataset].source.kind != "embedded"
        for variant in params.variants_of(study)
    ]
    content = _read(path) if wanted else {}
    figures = {}
    for study, variant in wanted:
        figure = _figure(content, study, variant, path)
        if figure is not None:
            figures[study, variant] = figure
    return figures


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise PipelineError(
            f"{path}: expected the figures that the sources report, but the file is missing. Restore it from Git."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: expected YAML, but it cannot be parsed: {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: expected a mapping of studies, got {type(content).__name__}.")
    return content


def _figure(content: dict[str, Any], study: str, variant: str, path: Path) -> ReportedFigure | None:
    row = _mapping(_mapping(content, study, path), variant, path)
    accuracy = _mapping(row, "reported", path).get("test_accuracy")
    if accuracy is None:
        return None
    if not isinstance(accuracy, (int, float)) or not 0 <= accuracy <= 1:
        raise PipelineError(
            f"{path}: {study}.{variant}.reported.test_accuracy: expected a fraction from 0 to 1, got {accuracy!r}."
        )
    return ReportedFigure(float(accuracy), row.get("fault"))


def _mapping(parent: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    child = parent.get(key) or {}
    if not isinstance(child, dict):
        raise PipelineError(f"{path}: {key}: expected a mapping, got {child!r}. Correct it.")
    return child
