"""What the conclusions rest on: the scores of every search, and the refits of what they chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.models import Search

Technique = Literal["BN + dropout", "BN", "dropout", "none"]

BN_AND_DROPOUT: Technique = "BN + dropout"
BN_ALONE: Technique = "BN"
DROPOUT_ALONE: Technique = "dropout"
NEITHER: Technique = "none"


@dataclass(frozen=True)
class Refit:
    """A network with the units that a search chose, trained once more.

    Accuracies are fractions, errors cross-entropies in nats. `train_error_dropout_active` is the mean over the last
    epoch, as training sees it; the other errors are of the last epoch's weights, with dropout off. `correct` and
    `test_losses` are (n,), one value per test image.
    """

    name: str
    search: str
    units: str
    epochs: int
    parameters: int
    val_accuracy: float
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    train_accuracy: float
    train_error_dropout_active: float
    train_error: float
    test_error: float
    correct: NDArray[np.bool_]
    test_losses: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """The searches of a study, the rows of searches.csv and the chosen units of each, and all refits by name.

    `block_costs` has a row per engine and block, with the columns of benchmarks/block_costs.csv. `reported_seconds`
    is how long the searches took their source.
    """

    searches: Mapping[str, Search]
    scores: Mapping[str, pd.DataFrame]
    chosen: Mapping[str, str]
    refits: Mapping[str, Refit]
    block_costs: pd.DataFrame
    reported_seconds: Mapping[str, float]

    def find(self, num_layers: int, technique: Technique) -> str | None:
        """The first search over so many hidden layers with this block, if there is one."""
        for name, search in self.searches.items():
            if len(search.grid) == num_layers and technique_of(search) == technique:
                return name
        return None

    def refit_of(self, search: str) -> Refit | None:
        """The refit for as many epochs as the search had, if there is one."""
        epochs = self.searches[search].epochs
        return next((item for item in self._refits_of(search) if item.epochs == epochs), None)

    def longer_refit_of(self, search: str) -> Refit | None:
        """The longest refit for more epochs than the search had, if there is one."""
        longer = [item for item in self._refits_of(search) if item.epochs > self.searches[search].epochs]
        return max(longer, key=lambda item: item.epochs, default=None)

    def fold_accuracies(self, search: str) -> pd.DataFrame:
        """Accuracies with a row per configuration, its units as the index, and a column per fold."""
        table = self.scores[search].set_index("units")
        return table[[f"fold_{number}_accuracy" for number in range(1, self.searches[search].folds + 1)]]

    def figure(self, search: str, units: str, column: str) -> float:
        """A figure of one configuration."""
        table = self.scores[search]
        return float(table.loc[table["units"] == units, column].to_numpy(dtype=float)[0])

    def _refits_of(self, search: str) -> list[Refit]:
        return [item for item in self.refits.values() if item.search == search]


def technique_of(search: Search) -> Technique:
    """What follows each hidden layer of a search."""
    if search.block.batch_norm:
        return BN_AND_DROPOUT if search.block.dropout else BN_ALONE
    return DROPOUT_ALONE if search.block.dropout else NEITHER
