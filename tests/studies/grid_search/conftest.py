"""Evidence made up of chosen accuracies, so that each verdict can be foreseen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.models import Search
from pipeline.evaluation.result_files import (
    ClassifierScores,
    ClassifierTest,
    ClassifierTraining,
    Epochs,
    ParameterCounts,
)
from pipeline.studies.grid_search.data import Evidence, Refit

BLOCKS: dict[str, dict[str, Any]] = {
    "bn_dropout": {"batch_norm": True, "dropout": 0.5},
    "bn": {"batch_norm": True},
    "dropout": {"dropout": 0.5},
    "none": {},
}
GRIDS = {1: [[4, 8]], 2: [[4, 8], [2, 3]], 3: [[4, 8], [2, 3], [1, 2]], 5: [[4], [2, 3], [2], [2], [1]]}
# What differs from fold to fold, the same for all, and from configuration to configuration.
FOLDS = np.array([-0.002, 0.0, 0.002])
NUM_IMAGES = 2000

MakeEvidence = Callable[..., Evidence]


@pytest.fixture
def make_evidence() -> MakeEvidence:
    """A function of accuracies by search, such as `2_bn_dropout`, that makes evidence with a refit of each.

    `noise` is the standard deviation of single fold accuracies, `refits` replaces fields of refits by name,
    `longer` makes a refit for more epochs with these fields, `entropies` are test cross-entropies of refits (0.1
    without), `costs` are the ratios (median, min, max) by engine.
    """

    def make(
        accuracies: Mapping[str, float],
        *,
        noise: float = 0.0,
        refits: Mapping[str, Mapping[str, Any]] | None = None,
        longer: Mapping[str, Mapping[str, Any]] | None = None,
        entropies: Mapping[str, float] | None = None,
        costs: Mapping[str, tuple[float, float, float]] | None = None,
        without_refits: bool = False,
    ) -> Evidence:
        random = np.random.default_rng(3)
        searches = {name: search(name) for name in accuracies}
        scores = {name: table(name, searches[name], accuracy, random, noise) for name, accuracy in accuracies.items()}
        chosen = {name: str(scores[name]["units"].iloc[scores[name]["mean_accuracy"].argmax()]) for name in accuracies}
        made = {
            name: refit(name, name, chosen[name], **{"accuracy": accuracy, **(refits or {}).get(name, {})})
            for name, accuracy in accuracies.items()
            if not without_refits
        }
        for name, fields in (longer or {}).items():
            made[f"{name}_longer"] = refit(f"{name}_longer", name, chosen[name], **{"epochs": 30, **fields})
        repeated = differences(made, entropies or {})
        seconds = {"3_bn": 105.0, "3_dropout": 66.0}
        return Evidence(searches, scores, chosen, made, repeated, block_costs(costs or {}), seconds)

    return make


def search(name: str) -> Search:
    depth, _, block = name.partition("_")
    return Search.model_validate(
        {
            "study": "grids",
            "dataset": "shapes",
            "grid": GRIDS[int(depth)],
            "block": BLOCKS[block],
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "batch_size": 8,
            "epochs": 20,
            "folds": 3,
        }
    )


def table(name: str, spec: Search, accuracy: float, random: np.random.Generator, noise: float) -> pd.DataFrame:
    """Rows as in searches.csv; the last configuration is the best."""
    rows = []
    for place, units in enumerate(spec.configurations):
        folds = accuracy - 0.0001 * (len(spec.configurations) - 1 - place) + FOLDS + random.normal(0, noise, 3)
        rows.append(
            {
                "search": name,
                "units": "-".join(map(str, units)),
                **{f"fold_{number}_accuracy": value for number, value in enumerate(folds, start=1)},
                "mean_accuracy": folds.mean(),
                "std_accuracy": folds.std(ddof=1),
                "reported_cv_accuracy": accuracy,
                "difference": 0.0,
            }
        )
    return pd.DataFrame(rows)


def refit(
    name: str,
    search: str,
    units: str,
    *,
    accuracy: float = 0.9,
    epochs: int = 20,
    train_accuracy: float = 1.0,
    train_error: float = 0.01,
    test_error: float = 0.08,
) -> Refit:
    return Refit(
        name=name,
        search=search,
        units=units,
        trained=ClassifierTraining(
            parameters=ParameterCounts(total=100, trainable=100),
            epochs=epochs,
            best_epoch=epochs,
            train=twice(loss=0.2),
            validation=twice(accuracy=accuracy),
            train_evaluated=scores(loss=train_error, accuracy=train_accuracy),
        ),
        tested=ClassifierTest(
            **scores(loss=test_error, accuracy=accuracy).model_dump(),
            accuracy_low=accuracy - 0.003,
            accuracy_high=accuracy + 0.003,
            num_examples=NUM_IMAGES,
            num_correct=round(accuracy * NUM_IMAGES),
            macro_f1=accuracy,
            expected_calibration_error=0.02,
            overconfidence=0.01,
            model_sha256="0" * 64,
        ),
    )


def differences(refits: Mapping[str, Refit], entropies: Mapping[str, float]) -> pd.DataFrame:
    """Rows as in the differences of repeats, every two refits with a standard error of .001."""
    spread = {"standard_error": 0.001, "degrees_of_freedom": 20.0}
    rows = [
        {
            "first": first,
            "second": second,
            "accuracy_difference": refits[first].tested.accuracy - refits[second].tested.accuracy,
            "cross_entropy_difference": entropies.get(first, 0.1) - entropies.get(second, 0.1),
            **{f"{metric}_{name}": value for metric in ("accuracy", "cross_entropy") for name, value in spread.items()},
        }
        for first, second in itertools.combinations(refits, 2)
    ]
    columns = ["first", "second", "accuracy_difference", "cross_entropy_difference"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def scores(*, loss: float = 0.3, accuracy: float = 0.9) -> ClassifierScores:
    return ClassifierScores(loss=loss, cross_entropy=loss, accuracy=accuracy)


def twice(**values: float) -> Epochs[ClassifierScores]:
    return Epochs[ClassifierScores](last=scores(**values), best=scores(**values))


def block_costs(ratios: Mapping[str, tuple[float, float, float]]) -> pd.DataFrame:
    columns = [f"ratio_to_dropout_{end}" for end in ("median", "min", "max")]
    rows = [
        {"engine": engine, "block": block, **dict(zip(columns, of, strict=True))}
        for engine, own in ratios.items()
        for block, of in (("bn", own), ("dropout", (1.0, 1.0, 1.0)))
    ]
    return pd.DataFrame(rows, columns=["engine", "block", *columns])
