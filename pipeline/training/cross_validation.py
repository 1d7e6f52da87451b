"""Exhaustive search over the units of dense networks, by stratified k-fold cross-validation. No files."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from pipeline.config.models import Search, units_text
from pipeline.data.examples import Examples
from pipeline.runtime import backend

# Each fit runs on one thread, so that its results do not depend on how many run beside it.
THREADS_PER_FIT = 1


@dataclass(frozen=True)
class FoldScore:
    """Metrics of the last epoch's weights on the images that were held out."""

    accuracy: float
    cross_entropy: float


@dataclass(frozen=True)
class Configuration:
    """One configuration of a search: the units of its hidden layers, its number of weights, the score of each fold."""

    units: tuple[int, ...]
    parameters: int
    folds: tuple[FoldScore, ...]

    @property
    def mean_accuracy(self) -> float:
        return float(np.mean([fold.accuracy for fold in self.folds]))


@dataclass(frozen=True)
class _Job:
    """What every fit of a search has in common."""

    search: Search
    examples: Examples
    num_classes: int
    seed: int


# Set once in each worker process, because the images are too large to be sent with every configuration.
_job: _Job


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
    num_classes: int,
    seed: int,
    num_workers: int,
    on_start: Callable[[], None],
) -> Iterator[tuple[Configuration, float]]:
    """Cross-validate configurations in worker processes, one thread each; yields each with its seconds when it is done.

    Measured on two cores, two such processes are faster by about 15 % than one with two threads. `on_start` runs
    first in each worker. Ending the iteration early ends the workers. Raises BrokenProcessPool when one dies.
    """
    job = _Job(search, examples, num_classes, seed)
    executor = ProcessPoolExecutor(
        num_workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker, initargs=(job, on_start)
    )
    try:
        futures = [executor.submit(_timed, units) for units in configurations]
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        # Their fits would go on for minutes.
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def cross_validate(
    search: Search, units: Sequence[int], examples: Examples, *, num_classes: int, seed: int
) -> Configuration:
    """Train and score one configuration on every fold; the compiled training step serves all of them.

    Each fold starts from fresh weights and a fresh optimizer. Equal seeds give equal results.
    """
    import keras

    from pipeline import models
    from pipeline.training import callbacks, jax_engine, objectives

    variant = search.variant(units)

    def fresh_model(number: int) -> keras.Model:
        shape = examples.inputs.shape[1:]
        return models.build(variant, input_shape=shape, num_outputs=num_classes, seed=seed + number)

    model = fresh_model(0)
    engine = jax_engine.Engine(
        model,
        metrics=objectives.metrics_of(variant.objective),
        optimizer=callbacks.optimizer(variant.optimizer),
        batch_size=variant.batch_size,
    )
    scores = []
    for number, (train, held_out) in enumerate(fold_indices(examples.targets, search.folds, seed)):
        model = fresh_model(number)
        engine.run(model, training=examples.subset(train), validation=None, epochs=variant.epochs, seed=seed + number)
        metrics = engine.score(model, examples.subset(held_out))
        scores.append(FoldScore(metrics["accuracy"], metrics["cross_entropy"]))
    return Configuration(tuple(units), model.count_params(), tuple(scores))


def best(configurations: Sequence[Configuration]) -> Configuration:
    """The highest mean accuracy; of equals the fewest parameters, then the fewest units. Raises ValueError for none."""
    if not configurations:
        raise ValueError("expected at least one configuration, got none")
    return min(configurations, key=lambda item: (-item.mean_accuracy, item.parameters, item.units))


def table(configurations: Sequence[Configuration]) -> pd.DataFrame:
    """One row per configuration: units as `512-128`, parameters, each fold's scores, mean and standard deviation.

    The standard deviation is that of the sample of folds.
    """
    rows = []
    for item in configurations:
        accuracies = [fold.accuracy for fold in item.folds]
        rows.append(
            {
                "units": units_text(item.units),
                "parameters": item.parameters,
                **{f"fold_{number}_accuracy": value for number, value in enumerate(accuracies, start=1)},
                "mean_accuracy": item.mean_accuracy,
                "std_accuracy": float(np.std(accuracies, ddof=1)),
                **{
                    f"fold_{number}_cross_entropy": fold.cross_entropy
                    for number, fold in enumerate(item.folds, start=1)
                },
                "mean_cross_entropy": float(np.mean([fold.cross_entropy for fold in item.folds])),
            }
        )
    return pd.DataFrame(rows)


def _prepare_worker(job: _Job, on_start: Callable[[], None]) -> None:
    global _job
    on_start()
    backend.configure("jax", threads=THREADS_PER_FIT)
    _job = job


def _timed(units: tuple[int, ...]) -> tuple[Configuration, float]:
    start = time.perf_counter()
    result = cross_validate(_job.search, units, _job.examples, num_classes=_job.num_classes, seed=_job.seed)
    return result, time.perf_counter() - start
