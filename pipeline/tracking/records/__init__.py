"""What MLflow should hold, read from the outputs of the stages. Nothing here knows MLflow.

A record is a function of the files on disk and of the parameters alone, so that a deleted database comes back the same.
"""

from __future__ import annotations

from pipeline.tracking.records.data import (
    features_record,
    fetch_record,
    fetch_weights_record,
    generate_record,
    prepare_record,
)
from pipeline.tracking.records.record import (
    OUTPUTS,
    Attachment,
    CurvePoint,
    DatasetVersion,
    ModelFile,
    NotMadeYetError,
    RunRecord,
    Tensor,
    content_key,
    experiment_name,
    experiment_tags,
    registered_name,
    stage_name,
)
from pipeline.tracking.records.repeats import repeat_record, repeats_evaluation_record
from pipeline.tracking.records.searches import (
    conclusions_record,
    configuration_params,
    configuration_tags,
    search_params,
    search_record,
    search_run_name,
    search_tags,
    sweep_record,
    tabulate_record,
)
from pipeline.tracking.records.studies import (
    comparison_record,
    contrast_record,
    selection_record,
    summary_record,
)
from pipeline.tracking.records.variants import (
    STAGE_OF_GROUP,
    evaluation_record,
    evaluation_records,
    is_logged,
    kernels_records,
    model_tensors,
    signal_evaluation_record,
    signal_evaluation_records,
    variant_params,
    variant_record,
    variant_records,
    variant_tags,
)

__all__ = [
    "OUTPUTS",
    "STAGE_OF_GROUP",
    "Attachment",
    "CurvePoint",
    "DatasetVersion",
    "ModelFile",
    "NotMadeYetError",
    "RunRecord",
    "Tensor",
    "comparison_record",
    "conclusions_record",
    "configuration_params",
    "configuration_tags",
    "content_key",
    "contrast_record",
    "evaluation_record",
    "evaluation_records",
    "experiment_name",
    "experiment_tags",
    "features_record",
    "fetch_record",
    "fetch_weights_record",
    "generate_record",
    "is_logged",
    "kernels_records",
    "model_tensors",
    "prepare_record",
    "registered_name",
    "repeat_record",
    "repeats_evaluation_record",
    "search_params",
    "search_record",
    "search_run_name",
    "search_tags",
    "selection_record",
    "signal_evaluation_record",
    "signal_evaluation_records",
    "stage_name",
    "summary_record",
    "sweep_record",
    "tabulate_record",
    "variant_params",
    "variant_record",
    "variant_records",
    "variant_tags",
]
