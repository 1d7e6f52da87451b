"""What the sources report in reported_results.yaml, by study and row: shown beside our own results, never used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.config.models import DerivedVariant
from pipeline.config.params import Params
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class ReportedAccuracy:
    """A source's test accuracy (a fraction), and the fault that rules it out as a target for a reproduction, if any."""

    test_accuracy: float
    fault: str | None


# By study and variant; a row without a reported test accuracy is absent.
ReportedAccuracies = Mapping[tuple[str, str], ReportedAccuracy]


@dataclass(frozen=True)
class Row:
    """A mapping of reported_results.yaml; its methods raise PipelineError naming the file and key of a bad value."""

    path: Path
    key: str
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path, key: str, value: Any) -> Row:
        """`value` as a row, empty where it is None."""
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise PipelineError(f"{path}: {key}: expected a mapping, got {value!r}. Correct it.")
        return cls(path, key, value)

    def row(self, name: str) -> Row:
        """The mapping under `name`, empty where there is none."""
        return Row.of(self.path, f"{self.key}.{name}".removeprefix("."), self.fields.get(name))

    def number(self, name: str, expected: str = "a number of 0 or more", *, at_most: float = math.inf) -> float | None:
        """A number from 0 to `at_most`, None where there is none; `expected` describes it in the error."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not is_number(value) or not 0 <= value <= at_most:
            raise self.problem(name, f"expected {expected}, got {value!r}.")
        return float(value)

    def fraction(self, name: str) -> float | None:
        """A number from 0 to 1, None where there is none."""
        return self.number(name, "a fraction from 0 to 1", at_most=1)

    def problem(self, name: str, text: str) -> PipelineError:
        """An error about the value under `name`."""
        return PipelineError(f"{self.path}: {self.key}.{name}: {text}")


def read(path: Path) -> Row:
    """The whole file, a row per study. Raises PipelineError naming it when it is missing or no mapping."""
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
    return Row(path, "", content)


def is_number(value: Any) -> bool:
    """Whether a value of the file is a number; booleans, which Python counts as integers, are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def reported_accuracies(path: Path, params: Params) -> ReportedAccuracies:
    """The test accuracies that the sources report of the classifiers of all studies.

    Variants on embedded data have none: an accuracy on MNIST says nothing about them. Where all data is embedded the
    file is not read. Raises PipelineError naming the file and key when something is missing or malformed.
    """
    wanted = [
        (study, variant)
        for study, spec in params.studies.items()
        if not params.is_embedded(spec.dataset)
        for variant in params.variants_of(study)
    ]
    if not wanted:
        return {}
    content = read(path)
    found = {}
    for study, variant in wanted:
        row, spec = content.row(study).row(variant), params.classifiers[variant]
        # A refit shares its row with the search whose best units it has.
        is_refit = isinstance(spec, DerivedVariant) and spec.layers_from in params.searches
        accuracy = row.row("reported").fraction("refit_test_accuracy" if is_refit else "test_accuracy")
        if accuracy is not None:
            found[study, variant] = ReportedAccuracy(accuracy, row.fields.get("fault"))
    return found
