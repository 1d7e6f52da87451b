"""Compare the variants of a study: a ranking, which differences are significant, and their curves in one plot."""

import itertools
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from pipeline.config.models import Classifier
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.evaluation import pairwise, result_files, stored_predictions, tables
from pipeline.evaluation.reported import reported_accuracies
from pipeline.evaluation.result_files import ClassifierTest, ClassifierTraining
from pipeline.io import history, storage
from pipeline.io.paths import Workspace
from pipeline.plots import comparison as plots

NUM_TOP = 5
# As many as the fashion source overlays, in the order of the study's list.
NUM_FIRST = 3
# Columns of history.csv.
COMPARED = ("accuracy", "val_accuracy", "val_loss", "val_cross_entropy")


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Rank the variants of a study, test their differences on the test set, and overlay their curves."""
    study = require(params.studies, name, "study")
    variants = {**params.compared_with(name), **params.variants_of(name)}
    folders = {variant: workspace.training_results(variant, spec) for variant, spec in variants.items()}
    trained = {
        variant: result_files.read(folder / "metrics.json", ClassifierTraining) for variant, folder in folders.items()
    }
    curves = {variant: history.read(folder / "history.csv", COMPARED) for variant, folder in folders.items()}
    reported = reported_accuracies(workspace.reported_results, params)
    tested = {
        **result_files.read_by_name(workspace.evaluation(study.shared_from) / "metrics.json", ClassifierTest),
        **result_files.read_by_name(workspace.evaluation(name) / "metrics.json", ClassifierTest),
    }
    rows = tables.study_rows(params, name, variants, trained=trained, tested=tested, reported=reported)
    ranking = tables.ranking(
        rows, trained=trained, tested=tested, histories=curves, reported=reported, tolerance=study.tolerance
    )
    differences = significant_differences(workspace, params, name, variants)
    folder = workspace.comparison(name)
    storage.write_table(folder / "ranking.csv", ranking)
    storage.write_table(folder / "differences.csv", differences)
    for figure_name, figure in _draw(study.title, curves, ranking, differences).items():
        storage.write_figure(folder / f"{figure_name}.png", figure)


def significant_differences(
    workspace: Workspace, params: Params, study: str, variants: Mapping[str, Classifier]
) -> pd.DataFrame:
    """The test results of every two variants in the order given, with the columns of `pairwise.differences`.

    Two variants of another study are not compared: that is the comparison of the other study.
    """
    own, shared_from = params.variants_of(study), params.studies[study].shared_from
    found = stored_predictions.read_all(
        {name: workspace.predictions(study if name in own else shared_from) / f"{name}.npz" for name in variants}
    )
    tested = {
        name: pairwise.Tested(item.correct, item.losses(variants[name].objective), variants[name].objective)
        for name, item in found.items()
    }
    pairs = [pair for pair in itertools.combinations(variants, 2) if not own.keys().isdisjoint(pair)]
    return pairwise.differences(tested, pairs)


def _draw(
    title: str, curves: Mapping[str, pd.DataFrame], ranking: pd.DataFrame, differences: pd.DataFrame
) -> dict[str, Figure]:
    """The plots of a study by the name of their files; `curves` are histories in the order of its list."""
    top = list(ranking["variant"].head(NUM_TOP))
    return {
        "validation_accuracy": plots.validation_curves(curves, "val_accuracy", title=f"{title}\nvalidation accuracy"),
        "validation_accuracy_top5": plots.validation_curves(
            curves, "val_accuracy", title=f"{title}\nvalidation accuracy, top {len(top)}", only=top
        ),
        "validation_loss": plots.validation_curves(
            curves, "val_cross_entropy", title=f"{title}\nvalidation cross-entropy"
        ),
        "accuracy_first3": plots.accuracy_overlay(
            dict(itertools.islice(curves.items(), NUM_FIRST)),
            title=f"{title}\ntraining and validation accuracy of the first {min(NUM_FIRST, len(curves))}",
        ),
        "test_accuracy": plots.accuracy_chart(ranking, title=f"{title}\ntest accuracy"),
        "differences": plots.difference_matrix(
            differences, list(ranking["variant"]), title=f"{title}\ndifferences in test accuracy, in points"
        ),
    }
