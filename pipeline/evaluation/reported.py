"""What the sources report in reported_results.yaml, by study and row: shown beside our own results, never used."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, Strict, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.config.models import Classifier, DerivedVariant
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation.result_files import Count, Record, parse

Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
Amount = Annotated[float, Strict(), Field(ge=0)]
Units = tuple[Annotated[PositiveInt, Strict()], ...]
# The parameters (a, b, c, d) of a wave.
Wave = tuple[float, float, float, float]

REMEDY = "Correct it."


class Figures(Record):
    """The figures of one row: accuracies are fractions, losses in nats, None what the source does not give.

    The `refit_*` are of the network that a search chose, trained once more; its training loss is that of the last
    epoch, dropout active. `closing_table_accuracy` is what a source's closing table says in place of what it measured.
    """

    test_accuracy: Fraction | None = None
    test_loss: Amount | None = None
    best_val_accuracy: Fraction | None = None
    best_epoch: Count | None = None
    min_val_loss: Amount | None = None
    min_val_loss_epoch: Count | None = None
    test_mae: Amount | None = None
    refit_test_accuracy: Fraction | None = None
    refit_test_loss: Amount | None = None
    refit_final_train_loss: Amount | None = None
    closing_table_accuracy: Fraction | None = None
    verdict: str | None = None
    best_units: Annotated[Units, Field(min_length=1)] | None = None
    search_seconds: Amount | None = None


class Configuration(Record):
    """A configuration of a search: the units of its hidden layers and its mean accuracy over the folds."""

    units: Annotated[Units, Field(min_length=1)]
    accuracy: Fraction


class Extended(Record):
    """A wave of the extended test rows, and what the source's network predicted of it."""

    wave: Wave
    predicted: Wave


class ReportedRow(Record):
    """What a source reports of one variant or search, and the fault that rules it out as a target, if any."""

    reported: Figures | None = None
    fault: str | None = None
    cv_accuracy: tuple[Configuration, ...] = ()
    extended_test: tuple[Extended, ...] = ()

    @field_validator("cv_accuracy")
    @classmethod
    def _each_once(cls, value: tuple[Configuration, ...]) -> tuple[Configuration, ...]:
        if len({item.units for item in value}) < len(value):
            raise ValueError("every configuration once")
        return value

    @property
    def figures(self) -> Figures:
        """The figures, all None where the source gives none."""
        return self.reported or Figures()

    @property
    def cv_accuracies(self) -> dict[tuple[int, ...], float]:
        """Mean accuracies over the folds by the units of the hidden layers."""
        return {item.units: item.accuracy for item in self.cv_accuracy}


# By study and name; one that is not there is empty.
ReportedRows = defaultdict[tuple[str, str], ReportedRow]


@dataclass(frozen=True)
class ReportedAccuracy:
    """A source's test accuracy (a fraction), and the fault that rules it out as a target for a reproduction, if any."""

    test_accuracy: float
    fault: str | None


# By study and variant; a row without a reported test accuracy is absent.
ReportedAccuracies = Mapping[tuple[str, str], ReportedAccuracy]


def reported_rows(path: Path, params: Params) -> ReportedRows:
    """What the sources report of each row of each study; a row that they do not have is empty.

    So are those of embedded data, of which an accuracy on MNIST says nothing; where all data is embedded the file is
    not read. Raises PipelineError naming the file and key when something is missing or malformed.
    """
    wanted = [name for name, study in params.studies.items() if not params.is_embedded(study.dataset)]
    wanted += [name for name in params.signals if not params.is_embedded(name)]
    content, names = _read(path) if wanted else {}, {*params.all_variants, *params.searches}
    found: ReportedRows = defaultdict(ReportedRow)
    for study in wanted:
        rows = parse(path, content.get(study) or {}, dict[str, dict[str, Any] | None], study, remedy=REMEDY)
        if unknown := rows.keys() - names:
            raise PipelineError(
                f"{path}: {study}.{min(unknown)}: expected the name of a variant or of a search, which params.yaml and "
                "params no longer have. Rename the row as the variant was renamed, or remove it."
            )
        for name, row in rows.items():
            found[study, name] = parse(path, row or {}, ReportedRow, study, name, remedy=REMEDY)
    return found


def reported_accuracies(path: Path, params: Params) -> ReportedAccuracies:
    """The test accuracies that the sources report of the classifiers of all studies. Raises as `reported_rows` does."""
    rows = reported_rows(path, params)
    found = {}
    for study in params.studies:
        for variant, spec in params.variants_of(study).items():
            row = rows[study, variant]
            accuracy = row.figures.refit_test_accuracy if is_refit(spec, params) else row.figures.test_accuracy
            if accuracy is not None:
                found[study, variant] = ReportedAccuracy(accuracy, row.fault)
    return found


def is_refit(variant: Classifier, params: Params) -> bool:
    """Whether a variant shares its row with the search whose best units it has."""
    return isinstance(variant, DerivedVariant) and variant.layers_from in params.searches


def _read(path: Path) -> dict[Any, Any]:
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
