"""Train tiny models by the project's engine and by plain Keras, in a process of its own, and print both as JSON.

Run as `python engine_trial.py BACKEND`: a process has one Keras backend, so the tests start one for each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import compute, models, scoring, training
from pipeline.params import CnnVariant, MlpVariant
from pipeline.training import Examples

COMMON = {"study": "study", "dataset": "shapes", "batch_size": 24, "epochs": 1}
SGD = {"name": "sgd", "learning_rate": 0.1}
ADAM = {"name": "adam", "learning_rate": 0.01}
RMSPROP = {"name": "rmsprop", "learning_rate": 0.01}
MLP = {**COMMON, "family": "mlp", "optimizer": SGD}
BLOCK = {"filters": 3, "padding": "same", "batch_norm": True}
CNN = {**COMMON, "family": "cnn", "optimizer": SGD, "blocks": [BLOCK]}
FAMILY = {"jax": MLP, "tensorflow": CNN}
ONE_STEP = {
    "sgd": {"layers": [{"units": 6}, {"units": 5}]},
    "adam": {"layers": [{"units": 6}], "optimizer": ADAM},
    "rmsprop": {"layers": [{"units": 6}], "optimizer": RMSPROP},
    "l1": {"layers": [{"units": 6, "l1": 0.01}]},
    "l2": {"layers": [{"units": 6, "l2": 0.01}]},
    "activity l1": {"layers": [{"units": 6, "activity_l1": 0.01}]},
    "batch norm": {"layers": [{"units": 6, "batch_norm": True}]},
}


def examples(num_examples: int, seed: int) -> Examples:
    """Images 8x8 of three classes that differ in brightness."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples).astype(np.uint8)
    images = random.integers(0, 90, (num_examples, 8, 8)) + 80 * labels[:, None, None]
    return Examples(images.astype(np.uint8), labels)


def variant(content: Mapping[str, Any]) -> MlpVariant | CnnVariant:
    return (MlpVariant if content["family"] == "mlp" else CnnVariant).model_validate(content)


def fresh_model(spec: MlpVariant | CnnVariant) -> Any:
    return models.build(spec, input_shape=(8, 8), num_classes=3, seed=3)


def by_engine(content: Mapping[str, Any], *, num_examples: int = 24, seed: int = 5) -> dict[str, Any]:
    """Weights, history and what the listener heard."""
    spec = variant(content)
    model = fresh_model(spec)
    heard: list[int] = []
    validation = examples(13, seed=2)
    history = training.train(
        model,
        spec,
        training=examples(num_examples, seed=1),
        validation=validation,
        seed=seed,
        on_epoch=lambda epoch, values: heard.append(epoch),
    )
    probabilities, penalty = scoring.predict_in_batches(model, validation.images, batch_size=13)
    final = scoring.score(probabilities, validation.labels, penalty)
    return {
        "weights": [weight.tolist() for weight in model.get_weights()],
        "history": history.to_dict("list"),
        "heard": heard,
        "final": [final.loss, final.cross_entropy, final.accuracy],
        "compiled": bool(model.compiled),
    }


def by_keras(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same by `Model.fit`, as anyone would write it."""
    import keras

    spec = variant(content)
    model = fresh_model(spec)
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    model.compile(
        optimizer=optimizer[spec.optimizer.name](spec.optimizer.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"), "accuracy"],
    )
    data, validation = examples(24, seed=1), examples(13, seed=2)
    fitted = model.fit(
        data.images,
        data.labels,
        validation_data=(validation.images, validation.labels),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        verbose=0,
    )
    return {"weights": [weight.tolist() for weight in model.get_weights()], "history": fitted.history}


def main(backend: compute.Backend) -> None:
    compute.configure(backend, threads=1)
    family = FAMILY[backend]
    dropout = family | {"layers": [{"units": 6, "dropout": 0.5}], "batch_size": 7, "epochs": 3}
    # So small a rate that the weights do not move: running means over the epoch must equal those of the whole set.
    still = family | {"layers": [{"units": 6, "l2": 0.1}], "batch_size": 7, "optimizer": SGD | {"learning_rate": 1e-12}}
    schedule = [{"from_epoch": 2, "learning_rate": 0.01}, {"from_epoch": 4, "learning_rate": 0.001}]
    results = {
        "one_step": {
            name: {"engine": by_engine(family | options), "keras": by_keras(family | options)}
            for name, options in ONE_STEP.items()
        },
        "still": by_engine(still, num_examples=24),
        "first": by_engine(dropout),
        "again": by_engine(dropout),
        "other_seed": by_engine(dropout, seed=6),
        "scheduled": by_engine(family | {"layers": [{"units": 4}], "epochs": 5, "schedule": schedule}),
        "long": by_engine(family | {"layers": [{"units": 16}], "epochs": 60, "batch_size": 16}, num_examples=150),
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
