"""Cross-validation: one configuration of a grid, and one whole small search."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import data, training
from pipeline.config.models import Search
from pipeline.data.examples import Examples
from pipeline.runtime import backend
from pipeline.training import cross_validation


def configuration(
    way: str,
    spec: dict[str, Any],
    units: list[int],
    dataset: str | None,
    num_train: int | None,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """Cross-validate one configuration: its `fixed` seconds, those `per_epoch` (all folds), and the mean accuracy.

    Plainly the folds are fitted one after the other, on all threads. The project gives every thread a configuration of
    its own: here each gets this one, and its seconds are divided by the number of threads. An epoch costs what the
    median of a fold's epochs but the first does; all else is fixed.
    """
    wanted = Search.model_validate(spec)
    examples = _examples(dataset, num_train)
    if way != "engine":
        return _one_after_the_other(way, wanted, units, examples, threads, seed)
    with ProcessPoolExecutor(threads, multiprocessing.get_context("spawn")) as executor:
        futures = [executor.submit(_clocked, wanted, units, examples, seed) for _ in range(threads)]
        costs = [future.result() for future in futures]
    return {
        "fixed": statistics.mean(cost["fixed"] for cost in costs) / threads,
        "per_epoch": statistics.mean(cost["per_epoch"] for cost in costs) / threads,
        "accuracy": costs[0]["accuracy"],
    }


def _clocked(spec: Search, units: list[int], examples: Examples, seed: int) -> dict[str, float]:
    """What the project's cross-validation of a configuration costs on one thread."""
    backend.configure("jax", threads=cross_validation.THREADS_PER_FIT)
    from benchmarks.plain import Clock
    from pipeline.training import jax_engine
    from pipeline.training.data import Fit

    clocks: list[Any] = []
    run = jax_engine.Engine.run

    def clocked(engine: jax_engine.Engine, model: Any, fit: Fit) -> None:
        clocks.append(Clock())
        run(engine, model, replace(fit, callbacks=[clocks[-1]]))

    jax_engine.Engine.run = clocked  # type: ignore[method-assign, assignment]
    start = time.perf_counter()
    result = cross_validation.cross_validate(spec, tuple(units), examples, seed=seed)
    total = time.perf_counter() - start
    per_epoch = sum(float(np.median(np.diff(clock.moments)[1:])) for clock in clocks)
    return {"fixed": total - spec.epochs * per_epoch, "per_epoch": per_epoch, "accuracy": result.mean_accuracy}


def whole(
    way: str, spec: dict[str, Any], dataset: str | None, num_train: int | None, threads: int, seed: int
) -> dict[str, Any]:
    """Search a whole grid; the best mean accuracy. How long it takes, with its start-up, is for who started it."""
    wanted = Search.model_validate(spec)
    examples = _examples(dataset, num_train)
    if way == "engine":
        found = cross_validation.run(
            wanted, examples, configurations=wanted.configurations, seed=seed, num_workers=threads
        )
        return {"accuracy": max(result.mean_accuracy for result, _ in found)}
    accuracies = [
        _one_after_the_other(way, wanted, list(units), examples, threads, seed)["accuracy"]
        for units in wanted.configurations
    ]
    return {"accuracy": max(accuracies)}


def _examples(dataset: str | None, num_train: int | None) -> Examples:
    """As the search stage has it: the validation images belong to those that folds are made of."""
    parts = data.load(dataset, None if dataset else num_train, None)
    both = Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets")))
    return data.first(both, num_train)


def _one_after_the_other(
    way: str, spec: Search, units: list[int], examples: Examples, threads: int, seed: int
) -> dict[str, Any]:
    train = training.prepared(way, "jax", threads)
    num_classes = int(examples.targets.max()) + 1
    firsts, others, accuracies = [], [], []
    for number, (fitted, held_out) in enumerate(cross_validation.fold_indices(examples.targets, spec.folds, seed)):
        parts = (Examples(examples.inputs[part], examples.targets[part]) for part in (fitted, held_out))
        moments, accuracy = train(spec.variant(units), *parts, num_classes=num_classes, seed=seed + number)
        seconds = np.diff(moments)
        firsts.append(float(seconds[0]))
        others.append(float(np.median(seconds[1:])))
        accuracies.append(accuracy)
    return {
        "fixed": sum(firsts) - sum(others),
        "per_epoch": sum(others),
        "accuracy": statistics.mean(accuracies),
    }
