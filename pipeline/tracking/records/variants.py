"""Records of trained variants, and of their evaluation, which completes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.config.models import DerivedVariant, MobileNetVariant, RegressorVariant, VariantBase
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import ClassifierTraining, RegressorTraining
from pipeline.io import history as histories
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.data import (
    DATASET_SPLITS,
    IMAGES,
    SIGNAL_SPLITS,
    dataset_versions,
    tensors,
)
from pipeline.tracking.records.record import (
    Attachment,
    CurvePoint,
    ModelFile,
    RunRecord,
    Tensor,
    attachment,
    existing,
    files_of,
    stage_record,
    stage_tags,
)

# MLflow's UI draws no more than 320 points of a curve, and a point costs 0.1 ms to log: 7 of them for each of 1,000
# epochs of 5 ms would be 15 % of the training time. Longer runs log every n-th epoch; history.csv has them all.
MAX_CURVE_POINTS = 250

# DVC's names of the stages that train.
STAGE_OF_GROUP = {
    "variants": "train",
    "warm_started": "warm_start",
    "swept": "train_swept",
    "derived": "derive",
    "transfers": "transfer",
    "regressors": "regress",
}


def variant_records(
    workspace: Workspace, params: Params, name: str, *, is_just_trained: bool = False
) -> list[RunRecord]:
    """A trained variant's run in each study that lists it.

    Of a variant that was just trained, the description of its weights that lies there is of the model before it.
    """
    require(params.all_variants, name, "variant")
    return [
        variant_record(workspace, params, name, study, with_kernels=not is_just_trained)
        for study in params.studies_of(name)
    ]


def variant_record(
    workspace: Workspace, params: Params, name: str, study: str, *, with_kernels: bool = True
) -> RunRecord:
    """A trained variant: parameters, curves, metrics and model, and its evaluation if it is of this very model."""
    variant = require(params.all_variants, name, "variant")
    results, model = workspace.training_results(name, variant), workspace.model(name, variant)
    files = [model, *files_of([results])]
    trained = result_files.read_training(
        existing(results / "metrics.json"), is_regressor=isinstance(variant, RegressorVariant)
    )
    history = histories.read(existing(results / "history.csv"))
    evaluation = _evaluation(workspace, name, study, existing(model))
    kernels = _kernels(workspace, params, name) if with_kernels else ()
    splits = _splits(params, variant.dataset, is_evaluated=evaluation is not None)
    return stage_record(
        workspace,
        params,
        STAGE_OF_GROUP[params.variant_group(name)],
        name,
        data=variant.dataset,
        experiment=study,
        files=files,
        outputs=[*files, *(path for item in kernels for path in item.files)],
        dated=[results / "metrics.json"],
        name=name,
        tags=variant_tags(params, name, study),
        params={
            **variant_params(workspace, params, name),
            **{f"parameters.{kind}": str(count) for kind, count in trained.parameters.model_dump().items()},
        },
        metrics=_with_gaps({**_training_metrics(trained), **(evaluation.metrics if evaluation else {})}),
        curves=curve_points(history),
        attachments=(
            attachment(workspace, "training", files[1:]),
            *((evaluation.attachment,) if evaluation else ()),
            *kernels,
        ),
        datasets=dataset_versions(workspace, params, variant.dataset, splits),
        model=_model_file(params, name, variant, model),
    )


def variant_params(workspace: Workspace, params: Params, name: str) -> dict[str, str]:
    """The settings of a variant, as MLflow parameters; layers from an outcome once there is one."""
    variant = params.all_variants[name]
    return {
        **flatten.section_params(variant, without=("study",)),
        **(_layers_of_outcome(workspace, variant) if isinstance(variant, DerivedVariant) else {}),
        **(_features_params(params, variant) if isinstance(variant, MobileNetVariant) else {}),
        **flatten.section_params(params.compute),
    }


def variant_tags(params: Params, name: str, study: str) -> dict[str, str]:
    """Tags of a variant's run in a study that are known before it is trained."""
    variant = params.all_variants[name]
    tags = stage_tags(params, STAGE_OF_GROUP[params.variant_group(name)], name, data=variant.dataset, experiment=study)
    if isinstance(variant, MobileNetVariant):
        tags["weights"] = params.weights[params.features[variant.features].weights].kind
    return {**tags, "variant": name}


def kernels_records(workspace: Workspace, params: Params, name: str) -> list[RunRecord]:
    """The runs of a derived variant, complete with the description of its weights."""
    require(params.derived, name, "derived variant")
    existing(workspace.kernels(name))
    return variant_records(workspace, params, name)


def evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The test metrics of all variants of a study side by side."""
    spec = require(params.studies, study, "study")
    return _evaluation_record(workspace, params, "evaluate", study, spec.dataset, ("metrics.json",), ("test",))


def signal_evaluation_record(workspace: Workspace, params: Params, signal: str) -> RunRecord:
    """The test metrics of all regressors of a signal side by side, and the answers to its questions."""
    require(params.signals, signal, "signal")
    files = ("metrics.json", "answers.json", "differences.csv")
    return _evaluation_record(workspace, params, "evaluate_signal", signal, signal, files, ("test", "extended"))


def _evaluation_record(
    workspace: Workspace,
    params: Params,
    stage: str,
    study: str,
    data: str,
    files: tuple[str, ...],
    splits: tuple[str, ...],
) -> RunRecord:
    results, predictions = workspace.evaluation(study), workspace.predictions(study)
    paths = [existing(results / name) for name in files]
    return stage_record(
        workspace,
        params,
        stage,
        study,
        data=data,
        experiment=study,
        files=[results, predictions],
        outputs=[predictions, *results.iterdir()],
        dated=paths,
        metrics=flatten.numbers(storage.read_json(results / "metrics.json")),
        attachments=(attachment(workspace, "evaluation", paths),),
        datasets=dataset_versions(workspace, params, data, splits),
    )


def evaluated_records(workspace: Workspace, params: Params, study: str) -> list[RunRecord]:
    """The runs of the variants that a study or signal evaluates, complete with its metrics."""
    signal = [name for name, regressor in params.regressors.items() if regressor.dataset == study]
    names = signal if study in params.signals else params.variants_of(study)
    return [variant_record(workspace, params, name, study) for name in names]


def curve_points(history: pd.DataFrame) -> tuple[CurvePoint, ...]:
    """The curves of history.csv, thinned like those of a live run."""
    num_epochs = len(history)
    return tuple(
        CurvePoint(str(name), int(row["epoch"]), float(row[name]))
        for row in history.to_dict("records")
        if is_logged(int(row["epoch"]), num_epochs)
        for name in history.columns
        if name != "epoch"
    )


def is_logged(epoch: int, num_epochs: int) -> bool:
    """Whether an epoch (from 1) is a point of the curves in MLflow: the last one always is."""
    stride = -(-num_epochs // MAX_CURVE_POINTS)
    return (num_epochs - epoch) % stride == 0


def _splits(params: Params, data: str, *, is_evaluated: bool) -> tuple[str, ...]:
    """The splits that a variant was shown."""
    if not is_evaluated:
        return ("train", "validation")
    return SIGNAL_SPLITS if data in params.signals else DATASET_SPLITS


def _model_file(params: Params, name: str, variant: VariantBase, path: Path) -> ModelFile:
    inputs, outputs = model_tensors(params, variant.dataset)
    kind: Literal["classifier", "regressor"] = "regressor" if isinstance(variant, RegressorVariant) else "classifier"
    return ModelFile(name, path, kind, inputs=inputs, outputs=outputs)


def model_tensors(params: Params, data: str) -> tuple[Tensor, Tensor]:
    """What a model on a dataset or signal takes and gives, as it is logged."""
    if data in params.signals:
        return tensors(params, data)
    return IMAGES, Tensor("float32", (len(params.datasets[data].classes),))


def _layers_of_outcome(workspace: Workspace, variant: DerivedVariant) -> dict[str, str]:
    path = workspace.outcome(variant.layers_from)
    if not path.is_file():
        return {}
    return flatten.section_params(outcomes.resolved(path, variant), only=("layers",))


def _features_params(params: Params, variant: MobileNetVariant) -> dict[str, str]:
    features = params.features[variant.features]
    described = flatten.section_params(features, without=("dataset",))
    return {
        **{f"features.{key}": value for key, value in described.items()},
        "weights.kind": params.weights[features.weights].kind,
    }


def _kernels(workspace: Workspace, params: Params, name: str) -> tuple[Attachment, ...]:
    folder = workspace.kernels(name)
    if name not in params.derived or not folder.is_dir():
        return ()
    files = files_of([folder])
    return (attachment(workspace, "kernels", files),) if files else ()


@dataclass(frozen=True)
class _Evaluation:
    metrics: dict[str, float]
    attachment: Attachment


def _evaluation(workspace: Workspace, name: str, study: str, model: Path) -> _Evaluation | None:
    """The evaluation of a variant; None if there is none, or if it is of a model that was since trained anew."""
    path = workspace.evaluation(study) / "metrics.json"
    if not path.is_file():
        return None
    metrics = storage.read_json(path).get(name)
    if metrics is None or metrics["model_sha256"] != storage.sha256(model):
        return None
    files = files_of([workspace.evaluation_details(study, name)])
    attached = attachment(workspace, "evaluation", files)
    key = hashlib.sha256(f"{sorted(metrics.items())} {attached.key}".encode()).hexdigest()
    return _Evaluation(_test_metrics(metrics), Attachment(attached.folder, attached.files, key))


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


def _training_metrics(trained: ClassifierTraining | RegressorTraining) -> dict[str, float]:
    return flatten.numbers(
        {
            **{f"best_val_{name}": value for name, value in trained.validation.best},
            **{f"best_train_{name}": value for name, value in trained.train.best},
            **{f"train_evaluated_{name}": value for name, value in trained.train_evaluated},
            "best_epoch": trained.best_epoch,
            "epochs": trained.epochs,
        }
    )


def _with_gaps(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics, and by how much those of the final weights are larger in training than on the test set."""
    trained = {name.removeprefix("train_evaluated_"): value for name, value in metrics.items() if "_evaluated_" in name}
    gaps = {
        f"train_test_gap_{name}": value - metrics[f"test_{name}"]
        for name, value in trained.items()
        if f"test_{name}" in metrics
    }
    return {**metrics, **gaps}
