"""Records of trained variants, and of their evaluation, which completes them."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.models import DerivedVariant, MobileNetVariant, RegressorVariant
from pipeline.config.params import Params
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import ClassifierTraining, RegressorTraining
from pipeline.io import history as histories
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.data import DATASET_SPLITS, SIGNAL_SPLITS, dataset_versions, tensors
from pipeline.tracking.records.outputs import existing, files_of
from pipeline.tracking.records.record import Attachment, Curves, ModelFile, RunRecord, StageItem

# MLflow's UI draws no more than 320 points of a curve, and a point costs 0.1 ms to log: 7 of them for each of 1,000
# epochs of 5 ms would be 15 % of the training time. Longer runs log every n-th epoch; history.csv has them all.
MAX_CURVE_POINTS = 250

# DVC's names of the stages that train and that repeat a variant, by the variant's group; some groups are not repeated.
STAGES_OF_GROUP = {
    "variants": {"train": "train", "repeat": "repeat"},
    "warm_started": {"train": "warm_start"},
    "swept": {"train": "train_swept", "repeat": "repeat_swept"},
    "derived": {"train": "derive", "repeat": "repeat_derived"},
    "transfers": {"train": "transfer", "repeat": "repeat_transfer"},
    "regressors": {"train": "regress"},
}


def variant_records(workspace: Workspace, params: Params, name: str, *, with_kernels: bool = True) -> list[RunRecord]:
    """A trained variant's run in each study that lists it; `with_kernels` is as in `variant_record`."""
    studies = params.studies_of(name)
    return [variant_record(workspace, params, name, study, with_kernels=with_kernels) for study in studies]


def variant_record(
    workspace: Workspace, params: Params, name: str, study: str, *, with_kernels: bool = True
) -> RunRecord:
    """A trained variant: parameters, curves, metrics and model, and its evaluation if it is of this very model.

    Of what was just trained, leave out the description of its weights: the one that lies there is of the model before.
    """
    variant = params.all_variants[name]
    is_regressor = isinstance(variant, RegressorVariant)
    results, model = workspace.training_results(name, variant), workspace.model(name, variant)
    trained_files = files_of([results])
    trained = result_files.read_training(existing(results / "metrics.json"), is_regressor=is_regressor)
    item = variant_item(workspace, params, name, study)
    tested, evaluation = _evaluation(item, existing(model))
    # Of what it was shown.
    splits = SIGNAL_SPLITS if is_regressor else DATASET_SPLITS
    has_kernels = with_kernels and name in params.derived and workspace.kernels(name).is_dir()
    kernels = files_of([workspace.kernels(name)]) if has_kernels else []
    inputs, _, outputs = tensors(params, variant.dataset)
    return item.record(
        [model, *trained_files],
        outputs=[model, *trained_files, *kernels],
        dated=[results / "metrics.json"],
        name=name,
        tags=variant_tags(item),
        params={
            **variant_params(workspace, params, name),
            **{f"parameters.{kind}": str(count) for kind, count in trained.parameters.model_dump().items()},
        },
        metrics={**_training_metrics(trained, tested), **tested},
        curves=curve_points(histories.read(existing(results / "history.csv"))),
        attachments=(*item.attached("training", trained_files), *evaluation, *item.attached("kernels", kernels)),
        datasets=dataset_versions(workspace, params, variant.dataset, splits if tested else splits[:2]),
        model=ModelFile(name, model, "regressor" if is_regressor else "classifier", inputs, outputs),
    )


def variant_item(workspace: Workspace, params: Params, name: str, study: str) -> StageItem:
    """A variant in a study as the item of the stage that trains it."""
    stage = STAGES_OF_GROUP[params.variant_group(name)]["train"]
    return StageItem(workspace, params, stage, name, params.all_variants[name].dataset, study)


def variant_params(workspace: Workspace, params: Params, name: str) -> dict[str, str]:
    """The settings of a variant, as MLflow parameters; layers from an outcome once there is one."""
    variant = params.all_variants[name]
    settings = flatten.section_params(variant, without=("study",))
    if isinstance(variant, DerivedVariant):
        path = workspace.outcome(variant.layers_from)
        if path.is_file():
            settings["layers"] = flatten.section_params(outcomes.resolved(path, variant))["layers"]
    if isinstance(variant, MobileNetVariant):
        features = params.features[variant.features]
        described = flatten.section_params(features, without=("dataset",))
        settings |= {f"features.{key}": value for key, value in described.items()}
        settings["weights.kind"] = params.weights[features.weights].kind
    return {**settings, **flatten.section_params(params.compute)}


def variant_tags(item: StageItem) -> dict[str, str]:
    """Tags of a variant's run in a study that are known before it is trained."""
    params, variant = item.params, item.params.all_variants[item.item]
    tags = {**item.tags, "variant": item.item}
    if isinstance(variant, MobileNetVariant):
        tags["weights"] = params.weights[params.features[variant.features].weights].kind
    return tags


def kernels_records(workspace: Workspace, params: Params, name: str) -> list[RunRecord]:
    """The runs of a derived variant, complete with the description of its weights."""
    existing(workspace.kernels(name))
    return variant_records(workspace, params, name)


def evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The test metrics of all variants of a study side by side; of a signal also the answers to its questions."""
    is_signal = study in params.signals
    data = study if is_signal else params.studies[study].dataset
    item = StageItem(workspace, params, "evaluate_signal" if is_signal else "evaluate", study, data, study)
    results, predictions = workspace.evaluation(study), workspace.predictions(study)
    files = ("metrics.json", "answers.json", "differences.csv") if is_signal else ("metrics.json",)
    paths = [existing(results / name) for name in files]
    return item.record(
        [results, predictions],
        outputs=[predictions, *results.iterdir()],
        dated=paths,
        folder="evaluation",
        metrics=flatten.numbers(storage.read_json(results / "metrics.json")),
        datasets=dataset_versions(workspace, params, data, ("test", "extended") if is_signal else ("test",)),
    )


def evaluated_records(workspace: Workspace, params: Params, study: str) -> list[RunRecord]:
    """The runs of the variants that a study or signal evaluates, complete with its metrics."""
    regressors = [name for name, regressor in params.regressors.items() if regressor.dataset == study]
    names = regressors if study in params.signals else params.variants_of(study)
    return [variant_record(workspace, params, name, study) for name in names]


def curve_points(history: pd.DataFrame) -> Curves:
    """The curves of history.csv, thinned like those of a live run."""
    logged = history[[is_logged(epoch, len(history)) for epoch in history["epoch"]]]
    points = logged.melt("epoch")[["variable", "epoch", "value"]]
    return [(str(name), int(epoch), float(value)) for name, epoch, value in points.itertuples(index=False)]


def is_logged(epoch: int, num_epochs: int) -> bool:
    """Whether an epoch (from 1) is a point of the curves in MLflow: the last one always is."""
    stride = -(-num_epochs // MAX_CURVE_POINTS)
    return (num_epochs - epoch) % stride == 0


def _evaluation(item: StageItem, model: Path) -> tuple[dict[str, float], tuple[Attachment, ...]]:
    """Metrics and files of a variant's evaluation; none of a model that was since trained anew."""
    folder = item.workspace.evaluation(item.experiment)
    path = folder / "metrics.json"
    metrics = storage.read_json(path).get(item.item) if path.is_file() else None
    if metrics is None or metrics["model_sha256"] != storage.sha256(model):
        return {}, ()
    files = files_of([item.workspace.evaluation_details(item.experiment, item.item)])
    return _test_metrics(metrics), tuple(
        replace(attachment, key=hashlib.sha256(f"{sorted(metrics.items())} {attachment.key}".encode()).hexdigest())
        for attachment in item.attached("evaluation", files)
    )


def _test_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics of an evaluation, named by their split: `test_accuracy`, `extended_mean_absolute_error`.

    What it repeats of training and validation is in the run already; what its source reported keeps its name.
    """
    named = {}
    for name, value in flatten.numbers(metrics).items():
        if name.startswith(("extended/", "reported_")):
            named[name.replace("extended/", "extended_", 1)] = value
        elif not name.startswith(("validation_", "train_")) and not name.endswith("_gap"):
            named[f"test_{name}"] = value
    return named


def _training_metrics(trained: ClassifierTraining | RegressorTraining, tested: dict[str, float]) -> dict[str, float]:
    """What was measured in training, and how much larger that of the final weights is than on the test set."""
    return flatten.numbers(
        {
            **{f"best_val_{name}": value for name, value in trained.validation.best},
            **{f"best_train_{name}": value for name, value in trained.train.best},
            **{f"train_evaluated_{name}": value for name, value in trained.train_evaluated},
            **{
                f"train_test_gap_{name}": value - tested[f"test_{name}"]
                for name, value in trained.train_evaluated
                if f"test_{name}" in tested
            },
            "best_epoch": trained.best_epoch,
            "epochs": trained.epochs,
        }
    )
