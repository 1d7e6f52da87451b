"""Compare the variants of a study with its baseline: what regularization gains, and whether the baseline overfits."""

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.evaluation import result_files, stored_predictions
from pipeline.evaluation.result_files import ClassifierTraining, DataStatistics
from pipeline.io import history as histories
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.four_vs_nine import metrics, plots, questions
from pipeline.studies.four_vs_nine.metrics import VariantResults

HISTORY_COLUMNS = ("accuracy", "cross_entropy", "val_accuracy", "val_cross_entropy")


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Compare every variant of a study with its baseline, on the same test examples and over the epochs."""
    spec = require(params.contrasts, name, "contrast")
    variants = read_variants(workspace, params, name)
    data = result_files.read(workspace.dataset_results(spec.dataset) / "statistics.json", DataStatistics)
    table = metrics.gains(variants, spec.baseline, params, data)
    title = params.studies[name].title
    shown = {variant: variants[variant].history for variant in metrics.best_of_each_kind(table, spec.baseline)}
    folder = workspace.contrast(name)
    storage.write_table(folder / "gains.csv", table)
    storage.write_json(folder / "overfitting.json", questions.overfitting(variants, spec.baseline))
    for file_name, figure in {
        "validation_accuracy": plots.accuracy_bars(
            table, baseline=spec.baseline, title=f"{title}\nvalidation accuracy, the baseline as a line"
        ),
        "validation_cross_entropy": plots.cross_entropy_bars(
            table, baseline=spec.baseline, title=f"{title}\nvalidation cross-entropy, the baseline as a line"
        ),
        "overfitting": plots.learning_curves(
            shown, title=f"{title}\nthe baseline, and the best of each kind by validation cross-entropy"
        ),
    }.items():
        storage.write_figure(folder / f"{file_name}.png", figure)


def read_variants(workspace: Workspace, params: Params, study: str) -> dict[str, VariantResults]:
    """The results of every variant that a study lists.

    Raises PipelineError when a file is missing or damaged, or when not all were tested on the same examples.
    """
    specs = params.variants_of(study)
    predictions = stored_predictions.read_all({name: workspace.predictions(study) / f"{name}.npz" for name in specs})
    folders = {name: workspace.training_results(name, spec) for name, spec in specs.items()}
    return {
        name: VariantResults(
            spec,
            result_files.read(folders[name] / "metrics.json", ClassifierTraining),
            histories.read(folders[name] / "history.csv", HISTORY_COLUMNS),
            predictions[name].correct,
        )
        for name, spec in specs.items()
    }
