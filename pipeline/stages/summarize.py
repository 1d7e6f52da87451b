"""Write the table of all variants of all studies, and of each variant the metrics that DVC shows."""

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import result_files, tables
from pipeline.evaluation.reported import reported_accuracies
from pipeline.evaluation.result_files import ClassifierTest, ClassifierTraining, MeanAbsoluteError, RegressorTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace

# There is one table: the name is there because every stage takes one.
NAME = "all"


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write one row per variant and study that lists it, with its size, its metrics and the source's."""
    if name != NAME:
        raise PipelineError(f"summarize: expected {NAME!r} as name, got {name!r}.")
    reported = reported_accuracies(workspace.reported_results, params)
    trained = {
        variant: result_files.read(workspace.training_results(variant, spec) / "metrics.json", ClassifierTraining)
        for variant, spec in params.classifiers.items()
    }
    rows = [
        row
        for study in params.studies
        for row in tables.study_rows(
            params,
            study,
            params.variants_of(study),
            trained=trained,
            tested=result_files.read_by_name(workspace.evaluation(study) / "metrics.json", ClassifierTest),
            reported=reported,
        )
    ]
    storage.write_table(workspace.variants_table, tables.variants_table(rows))
    for variant, metrics in (tables.headlines(rows) | regressors(workspace, params)).items():
        storage.write_json(workspace.headline(variant), metrics)


def regressors(workspace: Workspace, params: Params) -> dict[str, dict[str, float]]:
    """The mean absolute errors of each regressor, on validation and test rows."""
    found = {}
    for name, spec in params.regressors.items():
        tested = result_files.read_by_name(workspace.evaluation(spec.dataset) / "metrics.json", MeanAbsoluteError)
        trained = result_files.read(workspace.training_results(name, spec) / "metrics.json", RegressorTraining)
        errors = {"val_mae": trained.validation.last, "test_mae": tested[name]}
        found[name] = {metric: error.mean_absolute_error for metric, error in errors.items()}
    return found
