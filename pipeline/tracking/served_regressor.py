"""The model that MLflow serves: waves in, their parameters out, anything else refused.

MLflow copies this file beside the `.keras` file and runs it where the model is served: it must need nothing of this
project.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

BATCH_SIZE = 512


class WaveRegressor(PythonModel):
    """Parameters (n, num_outputs) of waves (n, num_points), finite values of any number type."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the `.keras` file, on TensorFlow unless this process already runs Keras on another backend."""
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras

        self.model = keras.saving.load_model(context.artifacts["model"], compile=False, safe_mode=True)

    def predict(  # type: ignore[override]
        self, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Raises MlflowException with INVALID_PARAMETER_VALUE (HTTP 400) for anything but such waves."""
        import keras

        waves = checked_waves(model_input, num_points=int(self.model.input_shape[1]))
        batches = (waves[start : start + BATCH_SIZE] for start in range(0, len(waves), BATCH_SIZE))
        return np.concatenate(
            [keras.ops.convert_to_numpy(self.model(batch, training=False)) for batch in batches]
        ).astype(np.float32)


def checked_waves(model_input: Any, num_points: int) -> np.ndarray:
    """Waves as float32 (n, num_points), from an array or nested lists."""
    expected = f"expected waves of shape (n, {num_points}) with finite values"
    try:
        waves = np.asarray(model_input)
    except ValueError as error:
        raise _refused(f"{expected}, got rows of unequal length or something that is no array ({error})") from None
    if waves.dtype.kind not in "uif":
        raise _refused(f"{expected}, got values of type {waves.dtype}")
    if waves.ndim == 0 or waves.shape[1:] != (num_points,) or len(waves) == 0:
        raise _refused(f"{expected} and at least one of them, got shape {waves.shape}")
    with np.errstate(over="ignore"):
        waves = waves.astype(np.float32)
    if not np.isfinite(waves).all():
        raise _refused(f"{expected}, got NaN, infinite values or some beyond the range of float32")
    return waves


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(WaveRegressor())
