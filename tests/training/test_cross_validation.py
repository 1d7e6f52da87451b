"""Folds, cross-validation of one configuration, and the choice among several."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Generator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.models import Search
from pipeline.data.examples import Examples
from pipeline.runtime import backend
from pipeline.training import cross_validation
from pipeline.training.cross_validation import Configuration

SPEC = Search.model_validate(
    {
        "study": "digits",
        "dataset": "shapes",
        "grid": [[3, 5]],
        "block": {"batch_norm": True},
        "kernel_initializer": "he_normal",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        # No batch of another size, which would be compiled by itself.
        "batch_size": 5,
        "epochs": 2,
        "folds": 3,
    }
)


@pytest.fixture
def examples() -> Examples:
    """Images 4x4 of two classes that differ in brightness; equal folds, because each size is compiled by itself."""
    random = np.random.default_rng(0)
    labels = (np.arange(30) % 2).astype(np.uint8)
    images = random.integers(0, 150, (30, 4, 4)) + 100 * labels[:, None, None]
    return Examples(images.astype(np.uint8), labels)


@st.composite
def labels_and_folds(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    num_folds = draw(st.integers(2, 5))
    counts = draw(st.lists(st.integers(num_folds, 20), min_size=1, max_size=5))
    shuffled = np.repeat(np.arange(len(counts)), counts).tolist()
    draw(st.randoms(use_true_random=False)).shuffle(shuffled)
    return np.array(shuffled, np.uint8), num_folds


@given(labels_and_folds(), st.integers(0, 2**32 - 1))
def test_each_example_is_held_out_once_and_each_class_evenly(case: tuple[np.ndarray, int], seed: int) -> None:
    labels, num_folds = case
    folds = cross_validation.fold_indices(labels, num_folds, seed)
    assert len(folds) == num_folds
    assert sorted(index for _, held_out in folds for index in held_out) == list(range(len(labels)))
    for train, held_out in folds:
        assert sorted([*train, *held_out]) == list(range(len(labels)))
    counts = np.array([np.bincount(labels[held_out], minlength=labels.max() + 1) for _, held_out in folds])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


def test_folds_depend_on_the_seed_alone_and_are_shuffled() -> None:
    labels = np.arange(60) % 2
    first, again, other = (cross_validation.fold_indices(labels, 3, seed)[0][1].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert first != list(range(20))


def configuration(units: tuple[int, ...], parameters: int, *accuracies: float) -> Configuration:
    return Configuration(units, parameters, accuracies, tuple(1 - accuracy for accuracy in accuracies))


configurations = st.lists(
    st.builds(
        configuration,
        st.tuples(st.integers(1, 3), st.integers(1, 3)),
        st.integers(1, 3),
        # On a coarse grid, so that equals come up.
        st.sampled_from([0.5, 0.75]),
        st.sampled_from([0.5, 0.75]),
    ),
    min_size=1,
    max_size=8,
)


@given(configurations)
def test_the_best_has_the_highest_mean_and_of_equals_the_fewest_parameters(items: list[Configuration]) -> None:
    best = cross_validation.best(items)
    assert best.mean_accuracy == max(item.mean_accuracy for item in items)
    equals = [item for item in items if item.mean_accuracy == best.mean_accuracy]
    assert best.parameters == min(item.parameters for item in equals)
    smallest = [item for item in equals if item.parameters == best.parameters]
    assert best.units == min(item.units for item in smallest)


def test_the_best_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one configuration, got none"):
        cross_validation.best([])


def test_the_table_holds_every_fold_with_mean_and_sample_deviation() -> None:
    table = cross_validation.table([configuration((8, 4), 100, 0.5, 0.75, 1.0), configuration((2,), 9, 0.5, 0.5, 0.5)])
    first, second = table.to_dict("records")
    assert first == pytest.approx(
        {
            "units": "8-4",
            "parameters": 100,
            "fold_1_accuracy": 0.5,
            "fold_2_accuracy": 0.75,
            "fold_3_accuracy": 1.0,
            "mean_accuracy": 0.75,
            "std_accuracy": 0.25,
            "fold_1_cross_entropy": 0.5,
            "fold_2_cross_entropy": 0.25,
            "fold_3_cross_entropy": 0.0,
            "mean_cross_entropy": 0.25,
        }
    )
    assert list(table.columns) == list(first)
    assert (second["units"], second["std_accuracy"]) == ("2", 0)


@pytest.fixture
def keras_on_jax() -> None:
    backend.configure("jax", threads=1)


@pytest.mark.usefixtures("keras_on_jax")
def test_equal_seeds_give_equal_figures(examples: Examples) -> None:
    spec = SPEC.model_copy(update={"block": SPEC.block.model_copy(update={"dropout": 0.5})})
    first, again, other = (cross_validation.cross_validate(spec, (3,), examples, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.cross_entropies != other.cross_entropies
    # 16 inputs and a bias to 3 units, scale, shift, mean and variance of each, 2 outputs.
    assert (first.units, first.parameters, len(first.accuracies)) == ((3,), 17 * 3 + 4 * 3 + 4 * 2, 3)


@pytest.mark.usefixtures("keras_on_jax")
def test_every_fold_is_a_training_of_its_own(examples: Examples) -> None:
    """As if each fold's model were built, trained and validated alone: nothing is left of the fold before."""
    from pipeline import models, training

    spec = SPEC.model_copy(update={"folds": 2})
    variant = spec.variant((5,))
    found = cross_validation.cross_validate(spec, (5,), examples, seed=4)
    for number, (train, held_out) in enumerate(cross_validation.fold_indices(examples.targets, spec.folds, 4)):
        history = training.train(
            models.build(variant, input_shape=(4, 4), num_outputs=2, seed=4 + number),
            variant,
            training=Examples(examples.inputs[train], examples.targets[train]),
            validation=Examples(examples.inputs[held_out], examples.targets[held_out]),
            seed=4 + number,
            on_epoch=lambda epoch, values: None,
        )
        last = history.iloc[-1]
        assert found.accuracies[number] == pytest.approx(last["val_accuracy"], abs=1e-6)
        assert found.cross_entropies[number] == pytest.approx(last["val_cross_entropy"], rel=1e-5)


def workers_are_gone() -> bool:
    deadline = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


@pytest.mark.usefixtures("keras_on_jax")
def test_worker_processes_give_the_same_and_end_with_the_iteration(examples: Examples) -> None:
    results = cross_validation.run(SPEC, examples, configurations=[(3,), (5,)], seed=1, num_workers=1)
    assert isinstance(results, Generator)
    first, seconds = next(results)
    assert seconds > 0
    expected = cross_validation.cross_validate(SPEC, first.units, examples, seed=1)
    assert first.accuracies == pytest.approx(expected.accuracies, abs=1e-6)
    assert first.cross_entropies == pytest.approx(expected.cross_entropies, rel=1e-5)
    results.close()
    assert workers_are_gone()
