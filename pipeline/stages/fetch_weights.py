"""DVC stage: the weights of a frozen network, downloaded and verified, or drawn at random without a network."""

from __future__ import annotations

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

# What Keras 3 saves, and alone loads as such: it goes by the file's name.
KERAS_3_SUFFIX = ".weights.h5"
# The weights fit images of any size; this is the smallest.
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
    """Weights as Keras 2 saved them, in a file beside it as Keras 3 saves them: later stages see one form only.

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
