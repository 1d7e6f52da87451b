"""Cross-validation: one configuration of a grid, and one whole small search."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from benchmarks import data, training
from pipeline import entry, search
from pipeline.params import Search
from pipeline.training import Examples


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
    its own: here each gets this one, and its seconds are divided by the number of threads. The seconds per epoch are
    plainly those of all but each fold's first, in the project the difference between a longer and a shorter search.
    """
    wanted = Search.model_validate(spec)
    examples = _examples(dataset, num_train)
    if way != "engine":
        return _one_after_the_other(way, wanted, units, examples, threads, seed)
    long, accuracy = _side_by_side(wanted, units, examples, threads, seed)
    shorter = wanted.model_copy(update={"epochs": 1})
    short, _ = _side_by_side(shorter, units, examples, threads, seed)
    per_epoch = (long - short) / (wanted.epochs - 1)
    return {"fixed": short - per_epoch, "per_epoch": per_epoch, "accuracy": accuracy}


def whole(
    way: str, spec: dict[str, Any], dataset: str | None, num_train: int | None, threads: int, seed: int
) -> dict[str, Any]:
    """Search a whole grid; the best mean accuracy. How long it takes, with its start-up, is for who started it."""
    wanted = Search.model_validate(spec)
    examples = _examples(dataset, num_train)
    if way == "engine":
        found = _run(wanted, wanted.configurations, examples, threads, seed)
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


def _run(
    spec: Search, configurations: Any, examples: Examples, threads: int, seed: int
) -> list[tuple[search.Configuration, float]]:
    found = search.run(
        spec,
        examples,
        configurations=configurations,
        num_classes=int(examples.targets.max()) + 1,
        seed=seed,
        num_workers=threads,
        on_start=entry.die_with_parent,
    )
    return list(found)


def _side_by_side(spec: Search, units: list[int], examples: Examples, threads: int, seed: int) -> tuple[float, float]:
    """Seconds per configuration, and its mean accuracy, when every thread cross-validates the same one."""
    found = _run(spec, [tuple(units)] * threads, examples, threads, seed)
    return statistics.mean(seconds for _, seconds in found) / threads, found[0][0].mean_accuracy


def _one_after_the_other(
    way: str, spec: Search, units: list[int], examples: Examples, threads: int, seed: int
) -> dict[str, Any]:
    train = training.prepared(way, "mlp", threads)
    num_classes = int(examples.targets.max()) + 1
    firsts, others, accuracies = [], [], []
    for number, (fitted, held_out) in enumerate(search.fold_indices(examples.targets, spec.folds, seed)):
        parts = (Examples(examples.inputs[part], examples.targets[part]) for part in (fitted, held_out))
        moments, accuracy = train(spec.variant(units), *parts, num_classes=num_classes, seed=seed + number)
        seconds = np.diff(moments)
        firsts.append(float(seconds[0]))
        others.append(float(np.median(seconds[1:] if len(seconds) > 1 else seconds)))
        accuracies.append(accuracy)
    return {
        "fixed": sum(firsts) - sum(others),
        "per_epoch": sum(others),
        "accuracy": statistics.mean(accuracies),
    }
