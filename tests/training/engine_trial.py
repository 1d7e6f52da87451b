"""Train tiny models by the project's engine and by plain Keras, in a process of its own, and print both as JSON.

Run as `python engine_trial.py BACKEND FOLDER PART`: a process has one Keras backend, so the tests start one for each.
The part `one_seed` trains each model once: on JAX it leaves trained models in the folder, and on TensorFlow it loads
those that are there. The other parts need no folder: `alone` trains with options one by one that `one_seed` has
together with others, and `over_seeds` trains under several seeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import models, training
from pipeline.config.models import CnnVariant, MlpVariant, MobileNetVariant, RegressorVariant
from pipeline.data.examples import Examples
from pipeline.evaluation import scoring
from pipeline.io import storage
from pipeline.runtime import backend as compute

COMMON = {"study": "study", "dataset": "shapes", "batch_size": 24, "epochs": 1}
SGD: dict[str, Any] = {"name": "sgd", "learning_rate": 0.1}
ADAM: dict[str, Any] = {"name": "adam", "learning_rate": 0.01}
RMSPROP = {"name": "rmsprop", "learning_rate": 0.01}
MLP = {**COMMON, "family": "mlp", "engine": "jax", "optimizer": SGD}
BLOCK = {"filters": 3, "padding": "same", "batch_norm": True}
CNN = {**COMMON, "family": "cnn", "engine": "tensorflow", "optimizer": SGD, "blocks": [BLOCK]}
# Not Adam with normalization: a bias that it undoes has a gradient of rounding errors, which Adam scales up to steps.
PLAIN_BLOCK = {"filters": 3, "padding": "valid"}
SCHEDULE = [{"from_epoch": 2, "learning_rate": 0.01}, {"from_epoch": 4, "learning_rate": 0.001}]
FAMILY: dict[str, dict[str, Any]] = {"jax": MLP, "tensorflow": CNN}
ONE_STEP: dict[str, dict[str, Any]] = {
    "l1 and l2": {"layers": [{"units": 6, "l1": 0.01, "l2": 0.02}, {"units": 5, "l2": 0.01, "activity_l1": 0.01}]},
    # All examples in one batch, so that the order of shuffling does not matter, for several steps.
    "three steps": {"layers": [{"units": 6, "batch_norm": True}], "epochs": 3},
    "three steps of adam": {"layers": [{"units": 6}], "optimizer": ADAM, "epochs": 3, "blocks": [PLAIN_BLOCK]},
    "schedule": {"layers": [{"units": 6}], "epochs": 5, "schedule": SCHEDULE},
}
ALONE: dict[str, dict[str, Any]] = {
    "sgd": {"layers": [{"units": 6}, {"units": 5}]},
    "rmsprop": {"layers": [{"units": 6}], "optimizer": RMSPROP},
    "adam": {"layers": [{"units": 6}], "optimizer": ADAM},
    "l1": {"layers": [{"units": 6, "l1": 0.01}]},
    "l2": {"layers": [{"units": 6, "l2": 0.01}]},
    "activity l1": {"layers": [{"units": 6, "activity_l1": 0.01}]},
    "batch norm": {"layers": [{"units": 6, "batch_norm": True}]},
}
SIGMOID = {"activation": "sigmoid"}
HEAD: dict[str, Any] = {"family": "mobilenet_v2", "engine": "jax", "features": "features"}
# What only dense networks can be asked for.
DENSE_ONE_STEP: dict[str, dict[str, Any]] = {
    "binary": {"layers": [{"units": 6}], "output": SIGMOID},
    "binary l1": {"layers": [{"units": 6, "l1": 0.01}], "output": {**SIGMOID, "l1": 0.02}},
    "absolute error": {"layers": [{"units": 6}, {"units": 5, "l2": 0.01}], "family": "regressor", "engine": "jax"},
    "he normal, batch norm": {
        "layers": [{"units": 6, "batch_norm": True}, {"units": 5, "batch_norm": True}],
        "kernel_initializer": "he_normal",
    },
    "three steps of a head": {**HEAD, "layers": [{"units": 6, "l2": 0.01}], "epochs": 3},
}
DENSE_ALONE: dict[str, dict[str, Any]] = {
    "binary l2": {"layers": [{"units": 6, "l2": 0.01}], "output": {**SIGMOID, "l2": 0.02}},
    "softmax l2": {"layers": [{"units": 6}], "output": {"activation": "softmax", "l2": 0.02}},
    "head on features": {**HEAD, "layers": [{"units": 6}]},
}
# The labels of the validation images say nothing, so that their loss rises as the network learns the others.
CALLBACKS: dict[str, dict[str, Any]] = {
    "stopped by loss": {"early_stopping": {"monitor": "val_loss", "patience": 2}},
    "reduced by accuracy": {
        "reduce_on_plateau": {"monitor": "val_accuracy", "factor": 0.5, "patience": 3},
        # Nothing stops it.
        "epochs": 15,
    },
    "both": {
        "early_stopping": {"monitor": "val_accuracy", "patience": 6},
        "reduce_on_plateau": {"monitor": "val_loss", "factor": 0.1, "patience": 2},
    },
}
STILL_IMAGES = {"shear_degrees": 0, "rotation_degrees": 0, "zoom": 0.0}
AUGMENTED = {
    "layers": [{"units": 6}],
    "augmentation": {"shear_degrees": 10, "rotation_degrees": 10, "zoom": 0.2},
    "steps_per_epoch": 5,
    "epochs": 2,
}


# Trained under several seeds, in batches whose order differs between the engine and plain Keras.
DROPPED_OUT = {"layers": [{"units": 24, "dropout": 0.5}], "optimizer": ADAM, "batch_size": 16, "epochs": 8}
NUM_SEEDS = 4

AnyVariant = MlpVariant | CnnVariant | RegressorVariant | MobileNetVariant


def examples(num_examples: int, seed: int) -> Examples:
    """Images 8x8 of three classes that differ in brightness."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples).astype(np.uint8)
    images = random.integers(0, 90, (num_examples, 8, 8)) + 80 * labels[:, None, None]
    return Examples(images.astype(np.uint8), labels)


def waves(num_examples: int, seed: int) -> Examples:
    """Inputs of 8 numbers, and three sums of them."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(num_examples, 8)).astype(np.float32)
    return Examples(inputs, np.stack([inputs[:, i : i + 3].sum(axis=1) for i in range(3)], axis=1))


def features(num_examples: int, seed: int) -> Examples:
    """Vectors of 8 numbers of three classes, one of which is far from the others."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples).astype(np.uint8)
    return Examples((random.normal(size=(num_examples, 8)) + labels[:, None] ** 2).astype(np.float32), labels)


DRAW = {"mlp": examples, "cnn": examples, "regressor": waves, "mobilenet_v2": features}


def data(spec: AnyVariant, num_examples: int, *, misleading: bool = False) -> tuple[Examples, Examples]:
    """What a variant is trained and validated on."""
    draw = DRAW[spec.family]
    validation = draw(13, 2)
    if misleading:
        random = np.random.default_rng(9)
        validation = Examples(validation.inputs, random.permutation(validation.targets))
    return draw(num_examples, 1), validation


def variant(content: Mapping[str, Any]) -> AnyVariant:
    families: dict[str, type[MlpVariant | CnnVariant | RegressorVariant | MobileNetVariant]] = {
        "mlp": MlpVariant,
        "cnn": CnnVariant,
        "regressor": RegressorVariant,
        "mobilenet_v2": MobileNetVariant,
    }
    known = families[content["family"]].model_fields
    return families[content["family"]].model_validate({key: content[key] for key in content if key in known})


def fresh_model(spec: AnyVariant, seed: int = 3) -> Any:
    shape = (8, 8) if spec.family in ("mlp", "cnn") else (8,)
    return models.build(spec, input_shape=shape, num_outputs=3, seed=seed)


def by_engine(
    content: Mapping[str, Any], *, num_examples: int = 24, seed: int = 5, misleading: bool = False
) -> dict[str, Any]:
    """Weights, history and what the listener heard."""
    spec = variant(content)
    model = fresh_model(spec)
    heard: list[int] = []
    examples, validation = data(spec, num_examples, misleading=misleading)
    history = training.train(
        model,
        spec,
        training=examples,
        validation=validation,
        seed=seed,
        on_epoch=lambda epoch, values: heard.append(epoch),
    )
    return {
        "weights": [weight.tolist() for weight in model.get_weights()],
        "history": history.to_dict("list"),
        "heard": heard,
        "final": final_figures(spec, model, validation),
        "compiled": bool(model.compiled),
    }


def final_figures(spec: AnyVariant, model: Any, validation: Examples) -> list[float]:
    """The figures of the weights that training left, on the validation examples."""
    outputs, penalty = scoring.predict_in_batches(model, validation.inputs, batch_size=13)
    if isinstance(spec, RegressorVariant):
        error = float(np.abs(outputs - validation.targets).mean())
        return [error + penalty, error]
    final = scoring.score(outputs, validation.targets, penalty, spec.objective)
    return [final.loss, final.cross_entropy, final.accuracy]


def by_keras(content: Mapping[str, Any], *, misleading: bool = False, run_eagerly: bool = False) -> dict[str, Any]:
    """The same by `Model.fit`, as anyone would write it."""
    import keras

    spec = variant(content)
    model = fresh_model(spec)
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    loss, metrics = {
        "categorical_crossentropy": (
            "sparse_categorical_crossentropy",
            [keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"), "accuracy"],
        ),
        "binary_crossentropy": (
            "binary_crossentropy",
            [
                keras.metrics.BinaryCrossentropy(name="cross_entropy"),
                keras.metrics.CategoricalAccuracy(name="accuracy"),
            ],
        ),
        "mean_absolute_error": (
            "mean_absolute_error",
            [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")],
        ),
    }[spec.objective]
    model.compile(
        optimizer=optimizer[spec.optimizer.name](spec.optimizer.learning_rate),
        loss=loss,
        metrics=metrics,
        run_eagerly=run_eagerly,
    )
    examples, validation = (
        (part.inputs, np.eye(3, dtype=np.float32)[part.targets])
        if spec.objective == "binary_crossentropy"
        else (part.inputs, part.targets)
        for part in data(spec, 24, misleading=misleading)
    )
    fitted = model.fit(
        *examples,
        validation_data=validation,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        callbacks=keras_callbacks(spec),
        verbose=0,
    )
    history = {name: [float(value) for value in values] for name, values in fitted.history.items()}
    return {"weights": [weight.tolist() for weight in model.get_weights()], "history": history}


def keras_callbacks(spec: AnyVariant) -> list[Any]:
    import keras

    callbacks: list[Any] = []
    if spec.schedule:
        rates = {step.from_epoch: step.learning_rate for step in spec.schedule}
        callbacks.append(keras.callbacks.LearningRateScheduler(lambda epoch, rate: rates.get(epoch + 1, rate)))
    if spec.reduce_on_plateau:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(**spec.reduce_on_plateau.model_dump()))
    if spec.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping(**spec.early_stopping.model_dump()))
    return callbacks


def over_seeds(content: Mapping[str, Any], num_seeds: int) -> dict[str, list[dict[str, float]]]:
    """The last epoch's figures under several seeds, by the engine and by plain Keras."""
    import keras

    spec = variant(content)
    training_examples, validation = data(spec, 160)
    lasts: dict[str, list[dict[str, float]]] = {"engine": [], "keras": []}
    for seed in range(num_seeds):
        history = training.train(
            fresh_model(spec, seed),
            spec,
            training=training_examples,
            validation=validation,
            seed=seed,
            on_epoch=lambda epoch, values: None,
        )
        lasts["engine"].append({str(name): float(values.iloc[-1]) for name, values in history.items()})
        model = fresh_model(spec, seed)
        model.compile(
            optimizer=keras.optimizers.Adam(spec.optimizer.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=[keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"), "accuracy"],
        )
        keras.utils.set_random_seed(seed)
        fitted = model.fit(
            training_examples.inputs,
            training_examples.targets,
            validation_data=(validation.inputs, validation.targets),
            batch_size=spec.batch_size,
            epochs=spec.epochs,
            verbose=0,
        )
        lasts["keras"].append({name: float(values[-1]) for name, values in fitted.history.items()})
    return lasts


def left_models(content: dict[str, Any], folder: Path) -> dict[str, list[list[float]]]:
    """Train a model of each family that is trained on JAX; save it in the folder, and give what it predicts."""
    predicted = {}
    for name in ("mlp", "regressor", "mobilenet_v2"):
        layers = [{"units": 6, "batch_norm": True, "dropout": 0.5, "l2": 0.01}]
        spec = variant(content | HEAD | {"family": name, "layers": layers})
        model = fresh_model(spec)
        training_examples, validation = data(spec, 24)
        training.train(
            model, spec, training=training_examples, validation=validation, seed=5, on_epoch=lambda epoch, values: None
        )
        storage.write_model(folder / f"{name}.keras", model)
        predicted[name] = scoring.predict_in_batches(model, validation.inputs)[0].tolist()
    return predicted


def loaded_models(folder: Path) -> dict[str, list[list[float]]]:
    """What the models in the folder predict here."""
    return {
        path.stem: scoring.predict_in_batches(storage.read_model(path), DRAW[path.stem](13, 2).inputs)[0].tolist()
        for path in sorted(folder.glob("*.keras"))
    }


def dense_results(family: dict[str, Any]) -> dict[str, Any]:
    """What only the engine of dense networks does."""
    # With so small a rate, training and validation differ by dropout alone.
    frozen = {
        "layers": [{"units": 6, "batch_norm": True, "dropout": 0.5}],
        "kernel_initializer": "he_normal",
        "optimizer": SGD | {"learning_rate": 1e-12},
    }
    return {
        "frozen dropout": by_engine(family | frozen),
        "augmented": by_engine(family | AUGMENTED),
        "augmented again": by_engine(family | AUGMENTED),
        "augmented otherwise": by_engine(family | AUGMENTED, seed=6),
        "not augmented": by_engine(family | AUGMENTED | {"augmentation": STILL_IMAGES}),
    }


def by_both(backend: compute.Backend, variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Variants of a backend's family, each trained by the engine and by plain Keras."""
    family = FAMILY[backend]
    # TensorFlow takes longer to compile a few steps than to take them; on JAX each operation would be compiled.
    run_eagerly = backend == "tensorflow"
    return {
        name: {"engine": by_engine(family | options), "keras": by_keras(family | options, run_eagerly=run_eagerly)}
        for name, options in variants.items()
    }


def seed_results(family: dict[str, Any]) -> dict[str, Any]:
    """With dropout under several seeds, and without under one."""
    return {
        "dropout": over_seeds(family | DROPPED_OUT, NUM_SEEDS),
        "none": over_seeds(family | DROPPED_OUT | {"layers": [{"units": 24}]}, num_seeds=1),
    }


def one_seed_results(backend: compute.Backend, folder: Path) -> dict[str, Any]:
    family = FAMILY[backend]
    dropout = family | {"layers": [{"units": 6, "dropout": 0.5}], "batch_size": 7, "epochs": 3}
    # So small a rate that the weights do not move: running means over the epoch must equal those of the whole set.
    still = family | {"layers": [{"units": 6, "l2": 0.1}], "batch_size": 7, "optimizer": SGD | {"learning_rate": 1e-12}}
    watched = family | {"layers": [{"units": 8}], "epochs": 30, "optimizer": ADAM | {"learning_rate": 0.03}}
    return {
        "one_step": by_both(backend, ONE_STEP | (DENSE_ONE_STEP if backend == "jax" else {})),
        "watched": {
            name: {
                "engine": by_engine(watched | options, misleading=True),
                "keras": by_keras(watched | options, misleading=True),
            }
            for name, options in CALLBACKS.items()
        },
        "dense": dense_results(family) if backend == "jax" else None,
        "models": left_models(family, folder) if backend == "jax" else loaded_models(folder),
        "still": by_engine(still, num_examples=24),
        "first": by_engine(dropout),
        "again": by_engine(dropout),
        "other_seed": by_engine(dropout, seed=6),
        "scheduled": by_engine(family | {"layers": [{"units": 4}], "epochs": 5, "schedule": SCHEDULE}),
        "long": by_engine(family | {"layers": [{"units": 16}], "epochs": 60, "batch_size": 16}, num_examples=150),
    }


def main(backend: compute.Backend, folder: Path, part: str) -> None:
    compute.configure(backend, threads=1)
    if part == "one_seed":
        results = one_seed_results(backend, folder)
    elif part == "alone":
        results = by_both(backend, {**ALONE, **(DENSE_ALONE if backend == "jax" else {})})
    else:
        results = seed_results(FAMILY[backend])
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main("tensorflow" if sys.argv[1] == "tensorflow" else "jax", Path(sys.argv[2]), sys.argv[3])
