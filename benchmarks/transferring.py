"""Training on what a frozen MobileNetV2 makes of images: shown to it in every epoch, or once."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.workers import ROOT
from pipeline.config.data import Features
from pipeline.config.models import MobileNetVariant
from pipeline.data.examples import Examples
from pipeline.io.paths import Workspace
from pipeline.runtime import backend

# What this measures: some images, of which as many are for validation as in Fashion-MNIST.
VALIDATION_SHARE = 4


def plain(
    spec: dict[str, Any], variant: dict[str, Any], dataset: str | None, num_train: int, threads: int, seed: int
) -> dict[str, Any]:
    """The frozen network within the model, as the source has it: seconds of each epoch, and the accuracy at the end."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    from benchmarks.plain import OPTIMIZERS, Clock

    features, head = Features.model_validate(spec), MobileNetVariant.model_validate(variant)
    training, validation, num_classes = _images(dataset, num_train)
    keras.utils.set_random_seed(seed)
    extractor = _extractor(features)
    clock = Clock()
    outputs = keras.layers.BatchNormalization()(extractor.output)
    for layer in head.layers:
        outputs = keras.layers.Dense(layer.units, activation="relu")(outputs)
        outputs = keras.layers.Dropout(layer.dropout)(outputs)
    model = keras.Model(extractor.input, keras.layers.Dense(num_classes, activation="softmax")(outputs))
    model.compile(
        optimizer=OPTIMIZERS[head.optimizer.name](learning_rate=head.optimizer.learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    fitted = model.fit(
        data.shuffled(
            training.inputs.astype("float32"),
            data.one_hot(training.targets, num_classes),
            batch_size=head.batch_size,
            seed=seed,
        ),
        validation_data=(validation.inputs.astype("float32"), data.one_hot(validation.targets, num_classes)),
        validation_batch_size=head.batch_size,
        epochs=head.epochs,
        shuffle=False,
        callbacks=[clock],
        verbose=0,
    )
    return {"seconds": np.diff(clock.moments).tolist(), "accuracy": float(fitted.history["val_accuracy"][-1])}


def extract(spec: dict[str, Any], dataset: str | None, num_train: int, folder: str, threads: int) -> dict[str, Any]:
    """The features of the images, once, as the stage computes them: saved in a folder; the seconds per image."""
    backend.configure("tensorflow", threads=threads)
    from pipeline.stages import features as stage

    features = Features.model_validate(spec)
    training, validation, _ = _images(dataset, num_train)
    extractor = _extractor(features)
    # Compiling it is once for all images.
    start = time.perf_counter()
    extractor.predict_on_batch(training.inputs[: stage.BATCH_SIZE])
    compiled = time.perf_counter()
    for name, examples in (("train", training), ("validation", validation)):
        found = stage.extract(extractor, examples.inputs, title=name)
        np.savez(Path(folder) / f"{name}.npz", inputs=found, targets=examples.targets)
    seconds = time.perf_counter() - compiled
    return {"fixed": compiled - start, "per_image": seconds / (len(training) + len(validation))}


def head(variant: dict[str, Any], folder: str, num_train: int, threads: int, seed: int) -> dict[str, Any]:
    """Train the head on saved features: the accuracy on them, and the seconds of each epoch on so many rows."""
    from benchmarks import training

    spec = MobileNetVariant.model_validate(variant)
    train = training.prepared("engine", spec.engine, threads)
    parts = [_saved(Path(folder) / f"{name}.npz") for name in ("train", "validation")]
    num_classes = int(parts[0].targets.max()) + 1
    _, accuracy = train(spec, *parts, num_classes=num_classes, seed=seed)
    many = (_repeated(parts[0], num_train), _repeated(parts[1], num_train // VALIDATION_SHARE))
    moments, _ = train(spec, *many, num_classes=num_classes, seed=seed)
    return {"seconds": np.diff(moments).tolist(), "accuracy": accuracy}


def _images(dataset: str | None, num_train: int) -> tuple[Examples, Examples, int]:
    training, validation = data.load(dataset, num_train, num_train // VALIDATION_SHARE)
    return training, validation, int(training.targets.max()) + 1


def _extractor(features: Features) -> Any:
    """With the fetched weights, or drawn ones, which cost the same."""
    from pipeline.models import mobilenet_v2
    from pipeline.stages import fetch_weights

    path = Workspace(ROOT).weights(features.weights)
    with tempfile.TemporaryDirectory() as folder:
        weights = path if path.is_file() else fetch_weights.drawn(Path(folder), seed=0)
        return mobilenet_v2.build_extractor(features, weights, image_shape=(28, 28))


def _saved(path: Path) -> Examples:
    with np.load(path) as archive:
        return Examples(archive["inputs"], archive["targets"])


def _repeated(examples: Examples, number: int) -> Examples:
    rows = np.arange(number) % len(examples)
    return Examples(examples.inputs[rows], examples.targets[rows])
