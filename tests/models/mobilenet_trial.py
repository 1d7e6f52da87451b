"""Build, load and save the frozen MobileNetV2 and its head on TensorFlow, and print what came of it as JSON.

Run as `python mobilenet_trial.py FOLDER`, in a process of its own, because a process has one Keras backend.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline import models
from pipeline.config.data import Features
from pipeline.config.models import MobileNetVariant
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.runtime import backend

FEATURES = Features(dataset="shapes", weights="random", size=32, resize="bilinear", pixels="symmetric")
VARIANT = MobileNetVariant.model_validate(
    {
        "study": "study",
        "dataset": "shapes",
        "family": "mobilenet_v2",
        "engine": "jax",
        "features": "shapes-32",
        "layers": [{"units": 512, "dropout": 0.5}],
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "batch_size": 32,
        "epochs": 1,
    }
)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28)).astype(np.uint8)


def save_as_keras_2(model: Any, path: Path) -> None:
    """A group per layer, the order of layers and weights in attributes: the form of published weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def refusal(base: Any, path: Path) -> str:
    from pipeline.models import mobilenet_v2

    try:
        mobilenet_v2.load_weights(base, path)
    except PipelineError as error:
        return str(error)
    return ""


def refusals(base: Any, folder: Path, weights: Path) -> dict[str, str]:
    """What is said of files that are not the network's weights; the base is left with some of what they hold."""
    import keras

    (folder / "text.weights.h5").write_text("<html>Please log in</html>")
    (folder / "short.weights.h5").write_bytes(weights.read_bytes()[:100_000])
    narrow = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    narrow.save_weights(folder / "narrow.weights.h5")
    save_as_keras_2(narrow, folder / "narrow.h5")
    names = ("missing.weights.h5", "text.weights.h5", "short.weights.h5", "narrow.weights.h5", "narrow.h5")
    return {name: refusal(base, folder / name) for name in names}


def main(folder: Path) -> None:
    backend.configure("tensorflow", threads=1)
    import keras

    from pipeline.models import mobilenet_v2

    base = mobilenet_v2.build_base(32)
    mobilenet_v2.draw_weights(base, seed=1)
    weights, as_keras_2 = folder / "base.weights.h5", folder / "base.h5"
    base.save_weights(weights)
    save_as_keras_2(base, as_keras_2)
    other = mobilenet_v2.build_base(96)
    mobilenet_v2.load_weights(other, as_keras_2)
    # First, as in a stage: the operations of the input are named by their number in the process.
    keras.utils.clear_session()
    extractor = mobilenet_v2.build_extractor(FEATURES, weights, image_shape=(28, 28))
    head = models.build(VARIANT, input_shape=extractor.output_shape[1:], num_outputs=10, seed=2)
    model = mobilenet_v2.complete(extractor, head)
    features = extractor.predict_on_batch(IMAGES)
    storage.write_model(folder / "model.keras", model)
    reloaded = storage.read_model(folder / "model.keras")
    base_part, head_part = reloaded.get_layer(mobilenet_v2.BASE_NAME), reloaded.get_layer("head")
    results = {
        "total": reloaded.count_params(),
        "trainable": sum(int(np.prod(weight.shape)) for weight in reloaded.trainable_weights),
        "base": base_part.count_params(),
        "trainable in base": len(base_part.trainable_weights),
        "head": [type(layer).__name__ for layer in head_part.layers],
        "input": reloaded.input_shape,
        "features": features.shape,
        "spread": float(features.std(axis=0).max()),
        "same as keras 2": all(map(np.array_equal, base.get_weights(), other.get_weights())),
        "by parts": head.predict_on_batch(features).tolist(),
        "complete": reloaded.predict_on_batch(IMAGES).tolist(),
        "of floats": reloaded.predict_on_batch(IMAGES.astype(np.float32)).tolist(),
        "sha256": hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest(),
        "refusals": refusals(other, folder, weights),
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
