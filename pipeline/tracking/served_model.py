"""The model that MLflow serves: it predicts from raw pixels or waves, and refuses any other input.

MLflow copies this file beside the `.keras` file and runs it where the model is served, so it imports nothing of this
project.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

BATCH_SIZE = 512
MAX_PIXEL = 255


class RefusedError(MlflowException):
    """Input that the model does not accept (HTTP 400); its message cannot be changed.

    MLflow's server would put the whole input in front of it: megabytes, if a client sent thousands of images.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        return self._message

    @message.setter
    def message(self, message: str) -> None:
        pass


class ServedModel(PythonModel):
    """Predicts outputs (n, num_outputs) as float32: class probabilities of images, or the parameters of waves.

    By the `kind` in its configuration, a `classifier` takes images (n, height, width) with pixels from 0 to 255 and a
    `regressor` waves (n, num_points) of finite values, both of any number type.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the `.keras` file, on TensorFlow unless this process already runs Keras on another backend."""
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras

        self.model = keras.saving.load_model(context.artifacts["model"], compile=False, safe_mode=True)
        self.call = graph(self.model)
        self.kind = context.model_config["kind"]
        guard_server()

    def predict(  # type: ignore[override]
        self, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Predict in batches. Raises RefusedError for any input but images or waves of the model's shape."""
        import keras

        inputs = checked(self.kind, model_input, tuple(self.model.input_shape[1:]))
        batches = (inputs[start : start + BATCH_SIZE] for start in range(0, len(inputs), BATCH_SIZE))
        return np.concatenate([keras.ops.convert_to_numpy(self.call(batch)) for batch in batches]).astype(np.float32)


def graph(model: Any) -> Callable[[np.ndarray], Any]:
    """A Keras model as a function of a batch; on TensorFlow as a graph, in which convolutions take 40 % less time."""
    import keras

    def call(batch: np.ndarray) -> Any:
        return model(batch, training=False)

    if keras.backend.backend() != "tensorflow":
        return call
    import tensorflow as tf

    compiled: Callable[[np.ndarray], Any] = tf.function(call, reduce_retracing=True)
    return compiled


def checked(kind: str, model_input: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One or more images or waves as float32 (n, *shape), from an array or nested lists of any number type.

    Raises RefusedError saying what was expected.
    """
    is_image = kind == "classifier"
    what, values = ("images", f"pixels from 0 to {MAX_PIXEL}") if is_image else ("waves", "finite values")
    expected = f"expected {what} of shape (n, {', '.join(map(str, shape))}) with {values}"
    try:
        array = np.asarray(model_input)
    except ValueError as error:
        raise RefusedError(f"{expected}, got rows of unequal length or something that is no array ({error})") from None
    if array.dtype.kind not in "uif":
        raise RefusedError(f"{expected}, got values of type {array.dtype}")
    if array.ndim == 0 or array.shape[1:] != shape or len(array) == 0:
        raise RefusedError(f"{expected} and at least one of them, got shape {array.shape}")
    with np.errstate(over="ignore"):
        inputs = array.astype(np.float32)
    if is_image and not np.isfinite(array).all():
        raise RefusedError(f"{expected}, got NaN or infinite pixels")
    if is_image and (array.min() < 0 or array.max() > MAX_PIXEL):
        raise RefusedError(f"{expected}, got pixels from {array.min()} to {array.max()}")
    if is_image and array.dtype.kind == "f" and 0 < array.max() <= 1:
        raise RefusedError(
            f"{expected}, got {array.min()} to {array.max()}, as if divided by {MAX_PIXEL}: multiply them by "
            f"{MAX_PIXEL}; pixels of images that really are almost black are taken as whole numbers"
        )
    if not np.isfinite(inputs).all():
        raise RefusedError(f"{expected}, got NaN, infinite values or some beyond the range of float32")
    return inputs


def guard_server() -> None:
    """Make MLflow's server, if it runs in this process, answer 4xx to malformed requests that it answers with 500.

    These are requests without a Content-Type, and JSON that Python cannot parse: nested thousands of levels deep, or
    with a number of thousands of digits.
    """
    server = sys.modules.get("mlflow.pyfunc.scoring_server")
    if server is None or server.invocations.__name__ == "guarded":
        return
    answer: Callable[..., Any] = server.invocations

    def guarded(data: Any, content_type: str | None, *further: Any) -> Any:
        try:
            # An empty type is refused as one that is not supported.
            return answer(data, content_type or "", *further)
        except (RecursionError, ValueError) as error:
            raise RefusedError(f"expected JSON as {{'inputs': [...]}}, got what cannot be read: {error}") from None

    server.invocations = guarded  # type: ignore[attr-defined]


mlflow.models.set_model(ServedModel())
