"""The searches of a study: the table of their scores, the refits of what they chose, and what an epoch costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.models import Search, units_text
from pipeline.errors import PipelineError
from pipeline.evaluation.reported import ReportedRow
from pipeline.evaluation.result_files import ClassifierTest, ClassifierTraining
from pipeline.io import storage

# Techniques: what follows each hidden layer of a search. One with neither is called none.
BN_AND_DROPOUT, BN_ALONE, DROPOUT_ALONE = "BN + dropout", "BN", "dropout"

# Sources print five digits; further ones are rounding errors.
DIFFERENCE_DECIMALS = 6
COST_COLUMNS = [
    "engine",
    "block",
    *(f"{cost}_{end}" for cost in ("seconds_per_epoch", "ratio_to_dropout") for end in ("median", "min", "max")),
    "num_rounds",
    "num_images",
]


@dataclass(frozen=True)
class Refit:
    """A network with the units that a search chose, trained once more."""

    name: str
    search: str
    units: str
    trained: ClassifierTraining
    tested: ClassifierTest


@dataclass(frozen=True)
class Evidence:
    """The searches of a study, the rows of searches.csv and the chosen units of each, and all refits by name.

    `repeated` are the differences between variants over seeds and test images, with the columns of
    `seeds.differences`. `block_costs` has a row per engine and block, with the columns of benchmarks/block_costs.csv.
    `reported_seconds` is how long the searches took their source.
    """

    searches: Mapping[str, Search]
    scores: Mapping[str, pd.DataFrame]
    chosen: Mapping[str, str]
    refits: Mapping[str, Refit]
    repeated: pd.DataFrame
    block_costs: pd.DataFrame
    reported_seconds: Mapping[str, float]

    @property
    def depths(self) -> list[int]:
        """The numbers of hidden layers that were searched, in ascending order."""
        return sorted({len(search.grid) for search in self.searches.values()})

    def find(self, num_layers: int, technique: str) -> str | None:
        """The first search over so many hidden layers with this technique, if any."""
        wanted = (num_layers, technique)
        return next((name for name, it in self.searches.items() if (len(it.grid), technique_of(it)) == wanted), None)

    def pairs_by_depth(self, first: str, second: str) -> list[tuple[str, str]]:
        """At every depth that has searches with both techniques, their names."""
        pairs = [(self.find(depth, first), self.find(depth, second)) for depth in self.depths]
        return [(one, other) for one, other in pairs if one is not None and other is not None]

    def refit_of(self, search: str) -> Refit | None:
        """The refit for as many epochs as the search had, if any."""
        epochs = self.searches[search].epochs
        return next((item for item in self._refits_of(search) if item.trained.epochs == epochs), None)

    def longer_refit_of(self, search: str) -> Refit | None:
        """The longest refit for more epochs than the search had, if any."""
        longer = [item for item in self._refits_of(search) if item.trained.epochs > self.searches[search].epochs]
        return max(longer, key=lambda item: item.trained.epochs, default=None)

    def fold_accuracies(self, search: str) -> pd.DataFrame:
        """Accuracies with a row per configuration, its units as the index, and a column per fold."""
        table = self.scores[search].set_index("units")
        return table[fold_columns(self.searches[search].folds)]

    def score(self, search: str, column: str) -> float:
        """A column of searches.csv for the configuration that a search chose."""
        return float(self.scores[search].set_index("units")[column][self.chosen[search]])

    def _refits_of(self, search: str) -> list[Refit]:
        return [item for item in self.refits.values() if item.search == search]


def technique_of(search: Search) -> str:
    """What follows each hidden layer of a search."""
    parts = {"BN": search.block.batch_norm, "dropout": search.block.dropout}
    return " + ".join(name for name, is_used in parts.items() if is_used) or "none"


def score_columns(num_folds: int) -> list[str]:
    """The columns of searches.csv; a search with fewer folds leaves the last ones empty."""
    scores = ("mean_accuracy", "std_accuracy", "reported_cv_accuracy", "difference")
    return ["search", "units", *fold_columns(num_folds), *scores]


def fold_columns(num_folds: int) -> list[str]:
    """The columns with the accuracy of each fold."""
    return [f"fold_{number}_accuracy" for number in range(1, num_folds + 1)]


def score_rows(path: Path, name: str, spec: Search, reported: ReportedRow) -> list[dict[str, Any]]:
    """The rows of searches.csv for one search, from its folds.csv, in the order of its grid.

    Raises PipelineError naming the file when its configurations are not those of params/searches.yaml.
    """
    table = _read_table(path)
    kept = ["units", *fold_columns(spec.folds), "mean_accuracy", "std_accuracy"]
    missing = [column for column in kept if column not in table]
    expected = [units_text(units) for units in spec.configurations]
    if missing or list(table["units"]) != expected:
        problem = f"no column {missing[0]}" if missing else f"units {', '.join(table['units'])}"
        raise PipelineError(
            f"{path}: expected the {len(expected)} configurations of searches.{name} with {spec.folds} folds each, "
            f"got {problem}. Run `dvc repro search@{name}`."
        )
    rows, by_source = [], reported.cv_accuracies
    for units, row in zip(spec.configurations, table.to_dict("records"), strict=True):
        accuracy = by_source.get(units)
        difference = None if accuracy is None else round(row["mean_accuracy"] - accuracy, DIFFERENCE_DECIMALS)
        scores = {column: row[column] for column in kept}
        rows.append({"search": name, **scores, "reported_cv_accuracy": accuracy, "difference": difference})
    return rows


def read_scores(path: Path, searches: Mapping[str, Search]) -> pd.DataFrame:
    """The rows of searches.csv of these searches. Raises PipelineError naming a search whose rows are not complete."""
    table = _read_table(path)
    _check_columns(path, table, ("search", "units", "mean_accuracy", "std_accuracy", "reported_cv_accuracy"))
    table = table[table["search"].isin(list(searches))].reset_index(drop=True)
    for name, spec in searches.items():
        units = list(table.loc[table["search"] == name, "units"])
        if units != [units_text(configuration) for configuration in spec.configurations]:
            raise PipelineError(
                f"{path}: expected the {len(spec.configurations)} configurations of searches.{name}, "
                f"got {', '.join(units) or 'none'}. Run `dvc repro tabulate`."
            )
    return table


def read_chosen(path: Path, name: str, search: Search) -> str:
    """The units that a search chose, from its outcome. Raises PipelineError when it has no such configuration."""
    chosen = storage.read_json(path).get("selected")
    if chosen not in [units_text(units) for units in search.configurations]:
        raise PipelineError(
            f"{path}: expected as `selected` a configuration of searches.{name}, got {chosen!r}. "
            f"Run `dvc repro search@{name}`."
        )
    return str(chosen)


def read_block_costs(path: Path) -> pd.DataFrame:
    """What an epoch costs with each block, as benchmarks/block_costs.py measured it: a row per engine and block."""
    # The benchmark is no stage: `dvc repro` does not make this file.
    if not path.is_file():
        raise PipelineError(
            f"{path}: expected the times of the benchmark, but the file is missing. Restore it from Git, "
            "or run `python benchmarks/block_costs.py`."
        )
    costs = storage.read_table(path)
    _check_columns(path, costs, COST_COLUMNS)
    return costs[COST_COLUMNS]


def _read_table(path: Path) -> pd.DataFrame:
    # Units of one layer alone look like numbers.
    return storage.read_table(path).astype({"units": str}, errors="ignore")


def _check_columns(path: Path, table: pd.DataFrame, expected: Sequence[str]) -> None:
    missing = [column for column in expected if column not in table]
    if missing:
        found = ", ".join(map(str, table))
        raise PipelineError(f"{path}: expected the column {missing[0]}, got {found}. Make the file again.")
