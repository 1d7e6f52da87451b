"""The labels of the test set cannot change which variant is selected: from the raw files to the registered model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from dvc.repo import Repo

from pipeline.config.params import Params
from pipeline.data import idx
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import compare, evaluate, prepare, register

TASK = "shape-classifier"
NUM_IMAGES = 300
Relabelling = Callable[[np.ndarray], np.ndarray]


def save_models(workspace: Workspace, params: Params) -> None:
    backend.configure("jax", threads=1)
    import keras

    for seed, (name, variant) in enumerate(params.all_variants.items()):
        keras.utils.set_random_seed(seed)
        pixels = keras.Input((4, 4), name="pixels")
        features = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1 / 255, name="scale")(pixels))
        output = keras.layers.Dense(3, activation="softmax", name="probabilities")(features)
        storage.write_model(workspace.model(name, variant), keras.Model(pixels, output, name="model"))


def save_test_set(workspace: Workspace, labels: np.ndarray) -> None:
    images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 4, 4), dtype=np.uint8)
    storage.write_arrays(workspace.prepared("shapes", "test"), images=images, labels=labels.astype(np.uint8))


def predictions(workspace: Workspace, study: str, name: str) -> np.ndarray:
    (probabilities,) = storage.read_arrays(workspace.predictions(study) / f"{name}.npz", "probabilities")
    return probabilities.argmax(axis=1)


def test_relabelled_test_images_turn_the_test_ranking_round_and_leave_the_selection(
    results: Workspace, params: Params
) -> None:
    save_models(results, params)
    save_test_set(results, np.arange(NUM_IMAGES) % 3)
    evaluate.main(results, params, "second")
    rankings, selections = {}, set()
    for favoured in ("wide", "deep"):
        # Labels that make one variant perfect on the test set, and the other one bad.
        save_test_set(results, predictions(results, "second", favoured))
        evaluate.main(results, params, "second")
        compare.main(results, params, "second")
        register.main(results, params, TASK)
        ranking = storage.read_table(results.comparison("second") / "ranking.csv").set_index("variant")
        rankings[favoured] = (ranking["test_rank"].idxmin(), ranking.loc[favoured, "test_accuracy"])
        selections.add(results.selection(TASK).read_bytes())
    assert rankings == {"wide": ("wide", 1.0), "deep": ("deep", 1.0)}
    assert len(selections) == 1


def write_raw(folder: Path, labels: dict[str, np.ndarray]) -> None:
    generator = np.random.default_rng(0)
    for split, values in labels.items():
        images = generator.integers(0, 256, (len(values), 28, 28), dtype=np.uint8)
        idx.write(folder / f"{split}-images-idx3-ubyte.gz", images)
        idx.write(folder / f"{split}-labels-idx1-ubyte.gz", values.astype(np.uint8))


def test_relabelled_test_images_leave_what_is_trained_on(workspace: Workspace, params: Params) -> None:
    labels = np.arange(60) % 3

    def prepared(test: np.ndarray) -> dict[str, bytes]:
        write_raw(workspace.raw("shape-files"), {"train": labels, "t10k": test})
        prepare.main(workspace, params, "shapes")
        return {split: workspace.prepared("shapes", split).read_bytes() for split in ("train", "validation", "test")}

    first, second = prepared(labels), prepared(2 - labels)
    assert first.pop("test") != second.pop("test")
    assert first == second


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or lies in it."""
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")


def behind(stages: Iterable[Any], target: str) -> set[str]:
    """Every file that a stage reads, or that a stage that makes such a file reads, without the raw data."""
    by_name = {stage.addressing: stage for stage in stages}
    made = {out.def_path: stage for stage in by_name.values() for out in stage.outs}
    found: set[str] = set()
    waiting = [dep.def_path for dep in by_name[target].deps]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for stage in {made[out].addressing: made[out] for out in made if overlap(out, path)}.values():
            if not stage.addressing.startswith(("prepare@", "generate@")):
                waiting += [dep.def_path for dep in stage.deps]
    return found


def test_no_file_behind_a_selection_knows_the_test_set(repository: Path) -> None:
    stages = list(Repo(repository).index.stages)
    tasks = [stage.addressing for stage in stages if stage.addressing.startswith("register@")]
    assert len(tasks) == 4
    for task in tasks:
        files = behind(stages, task)
        assert any(path.endswith("/train.npz") for path in files)
        told = [path for path in files if path.endswith(("/test.npz", "/extended.npz"))]
        told += [path for path in files if path.startswith(("predictions", "results/evaluate", "results/compare"))]
        assert told == [], task
    # The same walk does find the test set where there is one.
    assert any(path.endswith("/test.npz") for path in behind(stages, "compare@four-vs-nine"))


def test_only_evaluating_stages_read_the_test_set(repository: Path) -> None:
    readers = {
        stage.addressing.partition("@")[0]
        for stage in Repo(repository).index.stages
        if any(dep.def_path.endswith(("/test.npz", "/extended.npz")) for dep in stage.deps)
    }
    assert readers == {"evaluate", "evaluate_signal", "evaluate_repeats"}
