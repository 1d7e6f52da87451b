"""One training of one variant, by any of the ways that are compared."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from benchmarks import data
from pipeline import models
from pipeline.config.models import CnnVariant, Engine, MlpVariant
from pipeline.data.examples import Examples
from pipeline.runtime import backend

# The moments at which training began and each epoch ended, and the last validation accuracy.
Trained = tuple[list[float], float]
Train = Callable[..., Trained]


def variant_of(content: dict[str, Any]) -> MlpVariant | CnnVariant:
    """A variant as params.yaml has it, from JSON."""
    return class_of(content["family"]).model_validate(content)


def class_of(family: str) -> type[MlpVariant] | type[CnnVariant]:
    """The class of a family's variants."""
    return CnnVariant if family == "cnn" else MlpVariant


def train(
    way: str,
    variant: dict[str, Any],
    dataset: str | None,
    num_train: int | None,
    num_validation: int | None,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """Train once; the seconds of each epoch, the first one with building and compiling, and the accuracy at the end."""
    spec = variant_of(variant)
    training, validation = data.load(dataset, num_train, num_validation)
    num_classes = int(training.targets.max()) + 1
    moments, accuracy = prepared(way, spec.engine, threads)(
        spec, training, validation, num_classes=num_classes, seed=seed
    )
    seconds = [end - start for start, end in itertools.pairwise(moments)]
    return {"seconds": seconds, "accuracy": accuracy}


def prepared(way: str, engine: Engine, threads: int) -> Train:
    """The training function of a way, its libraries imported: none of that is measured."""
    if way == "engine":
        backend.configure(engine, threads=threads)
        return by_engine
    if way == "torch":
        import torch

        from benchmarks import torch_way

        torch.set_num_threads(threads)
        return torch_way.train
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    from benchmarks import plain

    return plain.train


def by_engine(
    variant: MlpVariant | CnnVariant, training: Examples, validation: Examples, *, num_classes: int, seed: int
) -> Trained:
    """By the project's engine, as a stage calls it."""
    from pipeline.training import train as engine

    moments = [time.perf_counter()]
    model = models.build(variant, input_shape=training.inputs.shape[1:], num_outputs=num_classes, seed=seed)
    history = engine(
        model,
        variant,
        training=training,
        validation=validation,
        seed=seed,
        on_epoch=lambda epoch, values: moments.append(time.perf_counter()),
    )
    return moments, float(history["val_accuracy"].iloc[-1])
