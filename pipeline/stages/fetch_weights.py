"""Download and verify the weights of a frozen network, or draw them at random without an internet connection."""

import os
import tempfile
from pathlib import Path

from pipeline.config.data import PublishedWeights
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data import download
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend

# Keras 3 saves weights under this suffix, and tells by it that a file is of its own form.
KERAS_3_SUFFIX = ".weights.h5"
# In pixels. The weights fit images of any size; this is the smallest.
SIZE = 32


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Fetch the published weights of a frozen network, or draw random ones."""
    spec = require(params.weights, name, "weights")
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(spec, PublishedWeights):
            file = download.fetch_weights(spec, Path(folder), mirror=os.environ.get(download.MIRROR_VARIABLE))
            if not file.name.endswith(KERAS_3_SUFFIX):
                backend.configure("tensorflow", threads=1)
                file = converted(file, remedy=f"Correct weights.{name} in params/data.yaml.")
        else:
            backend.configure("tensorflow", threads=1)
            file = drawn(Path(folder), seed=spec.seed)
        storage.write_bytes(workspace.weights(name), file.read_bytes())


def converted(file: Path, *, remedy: str) -> Path:
    """Convert a file of weights of Keras 2 to one of Keras 3, beside it: later stages read one form only.

    Raises PipelineError, with the remedy, when the file is not of the network.
    """
    from pipeline.models import mobilenet_v2

    base = mobilenet_v2.build_base(SIZE)
    mobilenet_v2.load_weights(base, file, remedy=remedy)
    result = file.with_suffix(KERAS_3_SUFFIX)
    base.save_weights(result)
    return result


def drawn(folder: Path, *, seed: int) -> Path:
    """Random weights in a file in the folder; equal seeds give equal bytes."""
    from pipeline.models import mobilenet_v2

    base = mobilenet_v2.build_base(SIZE)
    mobilenet_v2.draw_weights(base, seed=seed)
    result = folder / f"random{KERAS_3_SUFFIX}"
    base.save_weights(result)
    return result
