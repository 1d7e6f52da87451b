"""Compare the variants of a study: a ranking, which differences are significant, and their curves in one plot."""

import itertools
from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pipeline.config.models import Classifier
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.config.studies import Study
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
    for figure_name, figure in _draw(study, curves, ranking, differences).items():
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
    study: Study, curves: Mapping[str, pd.DataFrame], ranking: pd.DataFrame, differences: pd.DataFrame
) -> dict[str, Figure]:
    """The plots of a study by the name of their files; `curves` has its own variants and those it is set beside."""
    heading, own, ranked = f"{study.title}\n", study.variants, list(ranking["variant"])
    top, of_top, beside = ranked[:NUM_TOP], f"top {min(NUM_TOP, len(ranked))}", ""
    if len(curves) > len(own):
        top, of_top, beside = [*top, *own], f"{of_top} and its own", f"; grey: the study {study.shared_from}"
    first = {name: curves[name] for name in own[:NUM_FIRST]}
    of_first = f"the first {len(first)}" if len(own) > len(first) else f"its {len(first)} variants"
    draw = partial(plots.validation_curves, curves, own=own)
    entropy = "validation cross-entropy, without penalties"
    return {
        "validation_accuracy": draw("val_accuracy", title=f"{heading}validation accuracy{beside}"),
        "validation_accuracy_top5": draw(
            "val_accuracy", only=top, title=f"{heading}validation accuracy, {of_top}{beside}"
        ),
        "validation_loss": draw("val_cross_entropy", title=f"{heading}{entropy}{beside}"),
        "accuracy_first3": plots.accuracy_overlay(
            first, title=f"{heading}training and validation accuracy of {of_first}"
        ),
        "test_accuracy": plots.accuracy_chart(ranking, own=own, title=f"{heading}test accuracy{beside}"),
        "differences": plots.difference_matrix(
            differences, ranked, own=own, title=f"{heading}differences in test accuracy, in points"
        ),
    }
