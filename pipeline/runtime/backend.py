"""The compute backend of a process: chosen before Keras is imported, with a fixed number of threads."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Literal

from pipeline.runtime import process

Backend = Literal["jax", "tensorflow"]

# Families whose predictions need convolutions, which are 17 times faster on TensorFlow's kernels than on JAX. Dense
# networks are 2-8 times faster on JAX; of a MobileNetV2 only dense layers are trained.
CONVOLUTIONAL = ("cnn", "mobilenet_v2")


def for_predicting(families: Iterable[str]) -> Backend:
    """The one backend to predict with models of some families: TensorFlow as soon as one of them has convolutions."""
    return "jax" if set(families).isdisjoint(CONVOLUTIONAL) else "tensorflow"


def configure(backend: Backend, *, threads: int) -> None:
    """Choose the Keras backend and the number of threads that sums are split over, on which the last bits depend.

    Call before anything imports keras. Raises RuntimeError when keras was imported with another backend.
    """
    running = sys.modules["keras"].backend.backend() if "keras" in sys.modules else backend
    if running != backend:
        raise RuntimeError(f"keras already runs on {running}: configure({backend!r}) came too late")
    os.environ["KERAS_BACKEND"] = backend
    # Keras imports TensorFlow, where it is installed, to save a model: 2.7 s of 3.1 s. TensorFlow imports JAX: 0.4 s.
    other_backend = _HiddenPackage("tensorflow" if backend == "jax" else "jax")
    if other_backend not in sys.meta_path:
        sys.meta_path.insert(0, other_backend)
    # Keras imports scikit-learn for wrappers that are not used here: 0.7 s of 3.2 s. Others may import it later.
    scikit_learn = _HiddenPackage("sklearn")
    sys.meta_path.insert(0, scikit_learn)
    try:
        if backend == "jax":
            _prepare_jax(threads)
        else:
            _prepare_tensorflow(threads)
        # Keras keeps the backend that it finds when it is imported.
        import keras
    finally:
        sys.meta_path.remove(scikit_learn)
    # Its own defaults, whatever the user's keras.json says.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _prepare_jax(threads: int) -> None:
    # Read once, when XLA makes its thread pool.
    os.environ["NPROC"] = str(threads)
    import jax

    # Not JAX_PLATFORMS, which JAX reads when it is imported: the fork server has imported it already.
    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]


def _prepare_tensorflow(threads: int) -> None:
    # TensorFlow's own choice on processors with certain instructions. On others, too, its kernels take half the time of
    # the alternative for convolutions with batch normalization. Read once, when TensorFlow is imported.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    # As they load, TensorFlow's libraries write nine lines to stderr, an error about CUDA among them, of which
    # TF_CPP_MIN_LOG_LEVEL=3 leaves six. Python's errors still raise.
    with Path(os.devnull).open("wb") as nowhere, process.printing_to(nowhere, 2):
        import tensorflow as tf

        # A GPU would give other bits than the processor.
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # Independent operations run at the same time: the same bytes, a tenth faster for convolutions.
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()


@dataclass(frozen=True)
class _HiddenPackage(MetaPathFinder):
    """Makes the import of a package fail as if it were not installed.

    None in sys.modules would do so too, but Keras takes what it finds there for the module.
    """

    name: str

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == self.name:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
