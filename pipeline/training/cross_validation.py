"""Exhaustive search over the units of dense networks, by stratified k-fold cross-validation. No files."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from pipeline.config.models import Search, units_text
from pipeline.data.examples import Examples
from pipeline.runtime import backend, process
from pipeline.training.data import Fit

# Each fit runs on one thread, so that its results do not depend on how many run beside it.
THREADS_PER_FIT = 1


@dataclass(frozen=True)
class Configuration:
    """One configuration of a search: the units of its hidden layers, its number of weights, its scores fold by fold.

    The scores are those of the last epoch's weights on the images that were held out.
    """

    units: tuple[int, ...]
    parameters: int
    accuracies: tuple[float, ...]
    cross_entropies: tuple[float, ...]

    @property
    def mean_accuracy(self) -> float:
        return float(np.mean(self.accuracies))


# Set once in each worker process, because the images are too large to be sent with every configuration.
_cross_validate: Callable[[tuple[int, ...]], Configuration]


def fold_indices(labels: np.ndarray, num_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold the indices to train on and those held out: stratified by label, shuffled.

    Every example is held out once. Every class needs as many examples as there are folds.
    """
    splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.empty((len(labels), 0)), labels))


def run(
    search: Search,
    examples: Examples,
    *,
    configurations: Sequence[tuple[int, ...]],
    seed: int,
    num_workers: int,
) -> Iterator[tuple[Configuration, float]]:
    """Cross-validate configurations in worker processes, one thread each; yields each with its seconds when it is done.

    Measured on two cores, two such processes are faster by about 15 % than one with two threads. Ending the iteration
    early ends the workers. Raises BrokenProcessPool when one dies.
    """
    task = partial(cross_validate, search, examples=examples, seed=seed)
    executor = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _prepare_worker, (task,))
    try:
        futures = [executor.submit(_timed, units) for units in configurations]
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        # Their fits would go on for minutes.
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def cross_validate(search: Search, units: tuple[int, ...], examples: Examples, *, seed: int) -> Configuration:
    """Train and score one configuration on every fold; the compiled training step serves all of them.

    Each fold starts from fresh weights and a fresh optimizer. Equal seeds give equal results.
    """
    import keras

    from pipeline import models
    from pipeline.training import callbacks, jax_engine, objectives

    variant, shape = search.variant(units), examples.inputs.shape[1:]

    def fresh_model(number: int) -> keras.Model:
        return models.build(variant, input_shape=shape, num_outputs=examples.num_outputs, seed=seed + number)

    fit = Fit(
        training=examples,
        validation=None,
        metrics=objectives.metrics_of(variant.objective),
        optimizer=callbacks.optimizer(variant.optimizer),
        batch_size=variant.batch_size,
        epochs=variant.epochs,
        seed=seed,
    )
    engine = jax_engine.Engine(fresh_model(0), fit)
    accuracies, cross_entropies = [], []
    for number, (train, held_out) in enumerate(fold_indices(examples.targets, search.folds, seed)):
        model = fresh_model(number)
        engine.run(model, replace(fit, training=examples.subset(train), seed=seed + number))
        metrics = engine.score(model, examples.subset(held_out))
        accuracies.append(metrics["accuracy"])
        cross_entropies.append(metrics["cross_entropy"])
    return Configuration(units, model.count_params(), tuple(accuracies), tuple(cross_entropies))


def best(configurations: Sequence[Configuration]) -> Configuration:
    """The highest mean accuracy; of equals the fewest parameters, then the fewest units. Raises ValueError for none."""
    if not configurations:
        raise ValueError("expected at least one configuration, got none")
    return min(configurations, key=lambda item: (-item.mean_accuracy, item.parameters, item.units))


def table(configurations: Sequence[Configuration]) -> pd.DataFrame:
    """One row per configuration: units as `512-128`, parameters, scores by fold, mean and sample standard deviation."""
    return pd.DataFrame(
        {
            "units": units_text(item.units),
            "parameters": item.parameters,
            **{f"fold_{number}_accuracy": value for number, value in enumerate(item.accuracies, start=1)},
            "mean_accuracy": item.mean_accuracy,
            "std_accuracy": float(np.std(item.accuracies, ddof=1)),
            **{f"fold_{number}_cross_entropy": value for number, value in enumerate(item.cross_entropies, start=1)},
            "mean_cross_entropy": float(np.mean(item.cross_entropies)),
        }
        for item in configurations
    )


def _prepare_worker(task: Callable[[tuple[int, ...]], Configuration]) -> None:
    global _cross_validate
    process.prepare_process()
    backend.configure("jax", threads=THREADS_PER_FIT)
    _cross_validate = task


def _timed(units: tuple[int, ...]) -> tuple[Configuration, float]:
    start = time.perf_counter()
    result = _cross_validate(units)
    return result, time.perf_counter() - start
