"""Compute a frozen network's features of a dataset's images, once for all variants that stand on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import read_labelled
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend, progress

if TYPE_CHECKING:
    import keras

# Of 96 x 96 pixels: 2 s per 1,000 images, with less or more at a time too, but 1,000 at a time take 3.5 GiB.
BATCH_SIZE = 250


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Compute the features of a dataset's training and validation images; save them with the labels."""
    spec = require(params.features, name, "features")
    training, validation = read_labelled(lambda split: workspace.prepared(spec.dataset, split))
    backend.configure("tensorflow", threads=params.compute.threads)
    from pipeline.models import mobilenet_v2

    extractor = mobilenet_v2.build_extractor(
        spec, workspace.weights(spec.weights), image_shape=training.inputs.shape[1:]
    )
    for split, examples in (("train", training), ("validation", validation)):
        features = extract(extractor, examples.inputs, title=f"{name}, {split}")
        storage.write_arrays(workspace.features(name, split), features=features, labels=examples.targets)


def extract(extractor: keras.Model, images: NDArray[np.uint8], *, title: str) -> NDArray[np.float32]:
    """The features (n, channels) of images (n, height, width), with a progress bar of that title."""
    features = []
    starts = range(0, len(images), BATCH_SIZE)
    with progress.steps(title, len(starts)) as advance:
        for start in starts:
            # Compiled: batch normalization folded into the convolutions is almost four times as fast.
            features.append(extractor.predict_on_batch(images[start : start + BATCH_SIZE]))
            advance(f"{start + len(features[-1]):,} of {len(images):,} images")
    return np.concatenate(features)
