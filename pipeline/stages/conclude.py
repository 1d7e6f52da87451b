"""What the grid searches of a study and their refits say, and which conclusions of its source they bear out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import tracking
from pipeline.config.models import DerivedVariant, Search, units_text
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.grid_search import agreement, claims, plots
from pipeline.studies.grid_search.closing_table import VERDICT_RULE, closing_table
from pipeline.studies.grid_search.differences import CONFIDENCE
from pipeline.studies.grid_search.evidence import Evidence, Refit
from pipeline.studies.grid_search.reported import reported_refits, reported_searches

COST_COLUMNS = (
    "engine",
    "block",
    "seconds_per_epoch_median",
    "seconds_per_epoch_min",
    "seconds_per_epoch_max",
    "ratio_to_dropout_median",
    "ratio_to_dropout_min",
    "ratio_to_dropout_max",
    "num_rounds",
    "num_images",
)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write a study's closing table, the verdict on each conclusion of its source, and pictures of its searches."""
    require(params.conclusions, name, "study under conclusions")
    searches = {search: spec for search, spec in params.searches.items() if spec.study == name}
    reported = reported_searches(workspace.reported_results, params)
    scores = read_scores(workspace, searches)
    evidence = Evidence(
        searches=searches,
        scores={search: scores[scores["search"] == search] for search in searches},
        chosen={search: _chosen(workspace, search, spec) for search, spec in searches.items()},
        refits=read_refits(workspace, params, name, searches),
        block_costs=read_block_costs(workspace),
        reported_seconds={search: row.seconds for search, row in reported.items() if row.seconds},
    )
    table = closing_table(
        evidence,
        reported=reported_refits(workspace.reported_results, params),
        reported_units={search: units_text(row.best_units) for search, row in reported.items() if row.best_units},
    )
    agrees = agreement.agreement(scores)
    folder = workspace.conclusions(name)
    storage.write_table(folder / "closing_table.csv", table)
    storage.write_json(folder / "conclusions.json", document(name, evidence, agrees))
    _draw(workspace, name, evidence, scores, params.title_of(name))
    tracking.publish_conclusions(workspace, params, name)


def document(study: str, evidence: Evidence, agrees: Mapping[str, Any] | None) -> dict[str, Any]:
    """What conclusions.json holds."""
    return {
        "study": study,
        "confidence": CONFIDENCE,
        "closing_table_verdict_rule": VERDICT_RULE,
        "agreement_with_reported": agrees,
        "conclusions": [conclusion.as_dict() for conclusion in claims.conclude(evidence)],
    }


def read_scores(workspace: Workspace, searches: Mapping[str, Search]) -> pd.DataFrame:
    """The rows of searches.csv of these searches. Raises PipelineError naming a search that has none."""
    path = workspace.searches_table
    table = storage.read_table(path).astype({"units": str}, errors="ignore")
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


def read_refits(workspace: Workspace, params: Params, study: str, searches: Mapping[str, Search]) -> dict[str, Refit]:
    """The variants under `derived` of a study that take their layers from one of its searches, in the file's order."""
    derived = {
        name: variant
        for name, variant in params.derived.items()
        if variant.study == study and variant.layers_from in searches
    }
    if not derived:
        return {}
    tested = storage.read_json(workspace.evaluation(study) / "metrics.json")
    missing = [name for name in derived if name not in tested]
    if missing:
        raise PipelineError(
            f"{workspace.evaluation(study) / 'metrics.json'}: expected metrics of {', '.join(missing)}, "
            f"got only {', '.join(tested) or 'none'}. Run `dvc repro evaluate@{study}`."
        )
    return {
        name: _refit(workspace, study, name, variant, searches[variant.layers_from], tested[name])
        for name, variant in derived.items()
    }


def read_block_costs(workspace: Workspace) -> pd.DataFrame:
    """What an epoch costs with each block, as benchmarks/block_costs.py measured it: a row per engine and block."""
    path = workspace.root / "benchmarks" / "block_costs.csv"
    # The benchmark is no stage: `dvc repro` does not make this file.
    if not path.is_file():
        raise PipelineError(
            f"{path}: expected the times of the benchmark, but the file is missing. Restore it from Git, "
            "or run `python benchmarks/block_costs.py`."
        )
    costs = storage.read_table(path)
    _check_columns(path, costs, COST_COLUMNS)
    return costs[list(COST_COLUMNS)]


def _refit(
    workspace: Workspace, study: str, name: str, variant: DerivedVariant, search: Search, tested: Mapping[str, Any]
) -> Refit:
    trained_path = workspace.training_results(name, variant) / "metrics.json"
    trained = storage.read_json(trained_path)
    probabilities, labels = storage.read_arrays(workspace.predictions(study) / f"{name}.npz", "probabilities", "labels")
    try:
        return Refit(
            name=name,
            search=variant.layers_from,
            units=_chosen(workspace, variant.layers_from, search),
            epochs=trained["epochs"],
            parameters=trained["parameters"]["total"],
            val_accuracy=trained["validation"]["last"]["accuracy"],
            test_accuracy=tested["accuracy"],
            test_accuracy_low=tested["accuracy_low"],
            test_accuracy_high=tested["accuracy_high"],
            train_accuracy=trained["train_evaluated"]["accuracy"],
            train_error_dropout_active=trained["train"]["last"]["loss"],
            train_error=trained["train_evaluated"]["loss"],
            test_error=tested["loss"],
            correct=scoring.predicted_classes(probabilities) == labels,
            test_losses=test_losses(probabilities, labels),
        )
    except (KeyError, TypeError) as error:
        raise PipelineError(
            f"{trained_path}: expected the figures of training and evaluation, but there is no {error}. "
            f"Run `dvc repro evaluate@{study}`."
        ) from None


def test_losses(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The cross-entropy in nats of each row (n, num_classes), clipped as `scoring.cross_entropy` clips it."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(of_label, scoring.KERAS_EPSILON, 1 - scoring.KERAS_EPSILON))


def _chosen(workspace: Workspace, name: str, search: Search) -> str:
    path = workspace.outcome(name)
    chosen = storage.read_json(path).get("selected")
    if chosen not in [units_text(units) for units in search.configurations]:
        raise PipelineError(
            f"{path}: expected as `selected` a configuration of searches.{name}, got {chosen!r}. "
            f"Run `dvc repro search@{name}`."
        )
    return str(chosen)


def _check_columns(path: Path, table: pd.DataFrame, expected: tuple[str, ...]) -> None:
    missing = [column for column in expected if column not in table]
    if missing:
        found = ", ".join(map(str, table))
        raise PipelineError(f"{path}: expected the column {missing[0]}, got {found}. Make the file again.")


def _draw(workspace: Workspace, study: str, evidence: Evidence, scores: pd.DataFrame, title: str) -> None:
    folder = workspace.conclusions(study)
    figure = plots.reported_against_measured(
        scores,
        correlations={name: agreement.rank_correlation(table) for name, table in evidence.scores.items()},
        correlation=agreement.rank_correlation(scores),
        title=f"{title}: cross-validated accuracy",
    )
    storage.write_figure(folder / "reported_against_measured.png", figure)
    for name, search in evidence.searches.items():
        figure = plots.heat_map(
            evidence.scores[name],
            search.grid,
            title=f"{name}: accuracy over {search.folds} folds (%), chosen: {evidence.chosen[name]}",
        )
        storage.write_figure(folder / "heat_maps" / f"{name}.png", figure)
