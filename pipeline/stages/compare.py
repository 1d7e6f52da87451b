"""Set the variants of a study side by side: a ranking, and their curves and test accuracies in one picture each."""

from __future__ import annotations

import itertools

from pipeline import entry, storage, tables, tracking
from pipeline.params import Params, require
from pipeline.paths import Workspace
from pipeline.plots import comparison as plots
from pipeline.reported.variants import reported_figures

NUM_TOP = 5
# As many as the fashion source overlays, in the order of params.yaml.
NUM_FIRST = 3


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Rank the variants of a study by validation and by test accuracy, and overlay their curves."""
    study = require(params.studies, name, "study")
    variants = {**params.compared_with(name), **params.variants_of(name)}
    folders = {variant: workspace.training_results(variant, spec) for variant, spec in variants.items()}
    trained = {variant: storage.read_json(folder / "metrics.json") for variant, folder in folders.items()}
    histories = {variant: storage.read_table(folder / "history.csv") for variant, folder in folders.items()}
    reported = reported_figures(workspace.reported_results, params)
    rows = tables.study_rows(
        name,
        variants,
        trained=trained,
        tested={
            **storage.read_json(workspace.evaluation(study.shared_from) / "metrics.json"),
            **storage.read_json(workspace.evaluation(name) / "metrics.json"),
        },
        reported=reported,
    )
    ranking = tables.ranking(rows, trained=trained, histories=histories, reported=reported, tolerance=study.tolerance)
    top = list(ranking["variant"].head(NUM_TOP))
    figures = {
        "validation_accuracy": plots.validation_curves(
            histories, "val_accuracy", title=f"{study.title}: validation accuracy"
        ),
        "validation_accuracy_top5": plots.validation_curves(
            histories, "val_accuracy", title=f"{study.title}: validation accuracy, top {len(top)}", only=top
        ),
        "validation_loss": plots.validation_curves(
            histories, "val_cross_entropy", title=f"{study.title}: validation cross-entropy"
        ),
        "accuracy_first3": plots.accuracy_overlay(
            dict(itertools.islice(histories.items(), NUM_FIRST)),
            title=f"{study.title}\ntraining and validation accuracy of the first {min(NUM_FIRST, len(histories))}",
        ),
        "test_accuracy": plots.accuracy_chart(ranking, title=f"{study.title}: test accuracy"),
    }
    folder = workspace.comparison(name)
    storage.write_table(folder / "ranking.csv", ranking)
    for figure_name, figure in figures.items():
        storage.write_figure(folder / f"{figure_name}.png", figure)
    tracking.publish_comparison(workspace, params, name)


if __name__ == "__main__":
    entry.run(main)
