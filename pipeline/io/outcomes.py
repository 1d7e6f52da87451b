"""Outcomes of searches and sweeps: the hidden layers that a derived variant takes."""

from pathlib import Path

from pipeline.config.models import Classifier, DenseLayer, DerivedVariant, MlpVariant, RegressorVariant, Trainable
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace


def of_variant(workspace: Workspace, variant: Classifier | RegressorVariant) -> Trainable:
    """The variant with its layers, which may be the outcome of a search or a sweep."""
    return resolved(workspace.outcome(variant.layers_from), variant) if isinstance(variant, DerivedVariant) else variant


def resolved(path: Path, variant: DerivedVariant) -> MlpVariant:
    """The variant with the layers that an outcome chose. Raises PipelineError when that is missing or has none."""
    layers = storage.read_json(path).get("layers")
    try:
        if not layers:
            raise ValueError("there are none")
        return variant.resolved([DenseLayer.model_validate(layer) for layer in layers])
    except (TypeError, ValueError) as error:
        raise PipelineError(
            f"{path}: expected `layers` like those of params.yaml, got {layers!r} ({error}). "
            "Delete the file, then run `dvc repro` to make it again."
        ) from None
