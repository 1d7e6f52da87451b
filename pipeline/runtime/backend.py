"""The compute backend of a process: chosen before Keras is imported, with a fixed number of threads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Literal

Backend = Literal["jax", "tensorflow"]

# Dense networks are 2-8 times faster as one compiled scan on JAX; convolutions 17 times faster on TensorFlow's kernels.
# What is trained of a MobileNetV2 is dense, but to predict with it takes convolutions.
CONVOLUTIONAL = ("cnn", "mobilenet_v2")


def configure(backend: Backend, *, threads: int) -> None:
    """Choose the Keras backend and the number of threads that sums are split over, on which the last bits depend.

    Call before anything imports keras. Raises RuntimeError when keras was imported with another backend.
    """
    _refuse_a_change(backend)
    os.environ["KERAS_BACKEND"] = backend
    # Keras imports scikit-learn for wrappers that nothing here uses: a quarter of its own import.
    with _hidden("sklearn"):
        if backend == "jax":
            _prepare_jax(threads)
        else:
            _prepare_tensorflow(threads)
        # Keras keeps the backend that it finds when it is imported.
        import keras  # noqa: F401


def _refuse_a_change(backend: Backend) -> None:
    running = sys.modules["keras"].backend.backend() if "keras" in sys.modules else backend
    if running != backend:
        raise RuntimeError(f"keras already runs on {running}: configure({backend!r}) came too late")


def _prepare_jax(threads: int) -> None:
    # Read once, when XLA makes its thread pool.
    os.environ["NPROC"] = str(threads)
    import jax

    # Not JAX_PLATFORMS, which JAX reads when it is imported: that may have been before.
    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    # Keras imports TensorFlow when it saves a model, wherever there is one: four seconds for nothing.
    if "tensorflow" not in sys.modules and _Hidden("tensorflow") not in sys.meta_path:
        sys.meta_path.insert(0, _Hidden("tensorflow"))


def _prepare_tensorflow(threads: int) -> None:
    # TensorFlow's own choice where a processor has certain instructions; without them, too, its kernels take half the
    # time of the others for convolutions with batch normalization. Read once, when TensorFlow is imported.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    # TensorFlow's converter for phones imports JAX where there is one: a second for nothing.
    with _silent_stderr(), _hidden("jax"):
        import tensorflow as tf

        # A GPU would give other bits than the processor.
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # Operations that do not wait for each other run at once: to the same bytes, a tenth faster for convolutions.
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()


@dataclass(frozen=True)
class _Hidden(MetaPathFinder):
    """Finds no such package. None in sys.modules would do so too, but Keras takes TensorFlow there for the module."""

    package: str

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == self.package:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Within, a package that is not yet imported cannot be found."""
    finder = _Hidden(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep out what TensorFlow's libraries write as they load, which no setting of theirs does. Errors still raise."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
