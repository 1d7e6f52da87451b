"""The model that MLflow serves: raw pixels in, probabilities out, anything else refused.

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
MAX_PIXEL = 255


class RawPixelClassifier(PythonModel):
    """Class probabilities (n, num_classes) of images (n, height, width), pixels from 0 to 255 of any number type."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the `.keras` file, on TensorFlow unless this process already runs Keras on another backend."""
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras

        self.model = keras.saving.load_model(context.artifacts["model"], compile=False, safe_mode=True)

    def predict(  # type: ignore[override]
        self, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Raises MlflowException with INVALID_PARAMETER_VALUE (HTTP 400) for anything but such images."""
        import keras

        images = checked_images(model_input, shape=tuple(self.model.input_shape[1:]))
        batches = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
        return np.concatenate(
            [keras.ops.convert_to_numpy(self.model(batch, training=False)) for batch in batches]
        ).astype(np.float32)


def checked_images(model_input: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Images as float32 (n, *shape), from an array or nested lists."""
    expected = f"expected images of shape (n, {', '.join(map(str, shape))}) with pixels from 0 to {MAX_PIXEL}"
    try:
        images = np.asarray(model_input)
    except ValueError as error:
        raise _refused(f"{expected}, got rows of unequal length or something that is no array ({error})") from None
    if images.dtype.kind not in "uif":
        raise _refused(f"{expected}, got values of type {images.dtype}")
    if images.ndim == 0 or images.shape[1:] != shape or len(images) == 0:
        raise _refused(f"{expected} and at least one of them, got shape {images.shape}")
    if not np.isfinite(images).all():
        raise _refused(f"{expected}, got NaN or infinite pixels")
    if images.min() < 0 or images.max() > MAX_PIXEL:
        raise _refused(f"{expected}, got pixels from {images.min()} to {images.max()}")
    return images.astype(np.float32)


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(RawPixelClassifier())
