"""The search stage: what it writes, and that an interrupted search goes on where it stopped. No fit is made here."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.models import Search, units_text
from pipeline.config.params import Params
from pipeline.data.examples import Examples
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import search
from pipeline.training import cross_validation as searching
from pipeline.training.cross_validation import Configuration

UNITS = [(4, 2), (4, 3), (8, 2), (8, 3)]
GRID = {
    "study": "first",
    "dataset": "shapes",
    "grid": [[4, 8], [2, 3]],
    "block": {"dropout": 0.5},
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 8,
    "epochs": 3,
    "folds": 3,
}
OUTPUTS = {"results/search/grid/folds.csv", "results/outcomes/grid.json"}


@dataclass
class Fits:
    """Stands in for `search.run`: what was asked of it, and made-up figures that depend on it."""

    fitted: list[tuple[int, ...]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    examples: list[Examples] = field(default_factory=list)
    stop_after: int = 99
    error: BaseException = field(default_factory=KeyboardInterrupt)

    def run(
        self, spec: Search, examples: Examples, *, configurations: Sequence[tuple[int, ...]], **options: Any
    ) -> Iterator[tuple[Configuration, float]]:
        self.asked.append(options)
        self.examples.append(examples)
        # Not in the order of the grid, as processes do not finish in order.
        for units in reversed(configurations):
            if len(self.fitted) == self.stop_after:
                raise self.error
            self.fitted.append(units)
            accuracy = 0.5 + units[0] / 100 - units[1] / 50 + spec.epochs / 1000
            accuracies = tuple(accuracy + fold / 1000 for fold in range(spec.folds))
            yield Configuration(units, 10 * units[0] + units[1], accuracies, (0.25,) * spec.folds), 1.5


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    fits = Fits()
    monkeypatch.setattr(searching, "run", fits.run)
    return fits


@dataclass
class RecordedRun:
    """Stands in for the MLflow run: what it heard, and the outputs that lay there when it closed."""

    num_done: int
    heard: dict[str, tuple[float, dict[str, float]]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    error: BaseException | None = None

    def log_configuration(self, units: str, seconds: float, figures: Mapping[str, float]) -> None:
        self.heard[units] = (seconds, dict(figures))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RecordedRun]:
    recorded: list[RecordedRun] = []

    @contextlib.contextmanager
    def search_run(workspace: Workspace, params: Params, name: str, *, num_done: int) -> Iterator[RecordedRun]:
        run = RecordedRun(num_done)
        recorded.append(run)
        try:
            yield run
        except BaseException as error:
            run.error = error
            raise
        run.files = outputs(workspace)

    monkeypatch.setattr("pipeline.tracking.live.search_run", search_run)
    return recorded


@pytest.fixture
def params(content: dict[str, Any]) -> Params:
    content["searches"] = {"grid": GRID}
    return Params.model_validate(content)


@pytest.fixture
def prepared(workspace: Workspace) -> Workspace:
    """Training and validation images, but no test images: a search has no use for them."""
    for split, num_images in (("train", 20), ("validation", 7)):
        write_split(workspace, split, num_images)
    return workspace


def write_split(workspace: Workspace, split: str, num_images: int, *, brightness: int = 0) -> None:
    images = np.arange(num_images * 16, dtype=np.uint8).reshape(num_images, 4, 4) + np.uint8(brightness)
    labels = (np.arange(num_images) % 3).astype(np.uint8)
    storage.write_arrays(workspace.prepared("shapes", split), images=images, labels=labels)


def outputs(workspace: Workspace) -> set[str]:
    files = {path.relative_to(workspace.root) for path in workspace.root.rglob("*") if path.is_file()}
    return {str(path) for path in files if path.parts[0] == "results"}


def changed(params: Params, **changes: Any) -> Params:
    content = params.model_dump(exclude_none=True)
    content["searches"]["grid"] |= changes
    return Params.model_validate(content)


def interrupt(fits: Fits, prepared: Workspace, params: Params, *, after: int) -> list[tuple[int, ...]]:
    """Run the stage until so many configurations are done; returns those."""
    fits.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        search.main(prepared, params, "grid")
    done = list(fits.fitted)
    fits.fitted.clear()
    fits.stop_after = 99
    return done


def test_every_configuration_is_searched_on_training_and_validation_images_together(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    search.main(prepared, params, "grid")
    assert sorted(fits.fitted) == UNITS
    (examples,) = fits.examples
    parts = [
        storage.read_arrays(prepared.prepared("shapes", split), "images", "labels") for split in ("train", "validation")
    ]
    np.testing.assert_array_equal(examples.inputs, np.concatenate([images for images, _ in parts]))
    np.testing.assert_array_equal(examples.targets, np.concatenate([labels for _, labels in parts]))
    (asked,) = fits.asked
    assert (examples.num_outputs, asked["seed"], asked["num_workers"]) == (3, 1, 1)


def test_writes_all_figures_in_the_order_of_the_grid_and_what_was_chosen(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    search.main(prepared, params, "grid")
    table = storage.read_table(prepared.search_results("grid") / "folds.csv")
    assert list(table["units"]) == ["4-2", "4-3", "8-2", "8-3"]
    assert list(table["parameters"]) == [42, 43, 82, 83]
    outcome = storage.read_json(prepared.outcome("grid"))
    assert outcome.pop("mean_accuracy") == pytest.approx(table["mean_accuracy"].max())
    assert outcome == {
        "search": "grid",
        "selected": "8-2",
        "units": [8, 2],
        "reason": "It has the highest mean accuracy over 3 folds of 4 configurations.",
        "layers": [{"units": 8, "dropout": 0.5}, {"units": 2, "dropout": 0.5}],
    }


def test_the_run_hears_every_configuration_and_closes_on_the_outputs(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    search.main(prepared, params, "grid")
    (run,) = runs
    table = storage.read_table(prepared.search_results("grid") / "folds.csv")
    assert run.heard == {
        units: (1.5, {"mean_accuracy": accuracy})
        for units, accuracy in zip(table["units"], table["mean_accuracy"], strict=True)
    }
    assert run.files == OUTPUTS
    assert not prepared.unfinished_search("grid").exists()


@pytest.mark.parametrize("after", [0, 1, 3])
def test_finished_configurations_are_not_fitted_again(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], after: int
) -> None:
    done = interrupt(fits, prepared, params, after=after)
    assert len(done) == after
    assert outputs(prepared) == set()
    assert isinstance(runs[0].error, KeyboardInterrupt)
    search.main(prepared, params, "grid")
    assert [run.num_done for run in runs] == [0, after]
    assert sorted([*done, *fits.fitted]) == UNITS
    resumed = {name: (prepared.root / name).read_bytes() for name in OUTPUTS}
    assert not prepared.unfinished_search("grid").exists()
    shutil.rmtree(prepared.root / "results")
    search.main(prepared, params, "grid")
    assert {name: (prepared.root / name).read_bytes() for name in OUTPUTS} == resumed


def test_a_search_that_fails_after_its_last_fit_only_writes_again(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(configurations: list[Configuration]) -> None:
        raise MemoryError("at the end")

    with monkeypatch.context() as patch:
        patch.setattr(searching, "table", fail)
        with pytest.raises(MemoryError, match="at the end"):
            search.main(prepared, params, "grid")
    assert sorted(fits.fitted) == UNITS
    search.main(prepared, params, "grid")
    assert len(fits.fitted) == len(UNITS)
    assert outputs(prepared) == OUTPUTS


def test_outputs_are_there_again_only_by_fitting_again(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    search.main(prepared, params, "grid")
    search.main(prepared, params, "grid")
    assert len(fits.fitted) == 2 * len(UNITS)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"accuracies": []',
        b'{"accuracies": 1, "cross_entropies": [1], "parameters": 1}',
        b'{"accuracies": [1], "parameters": 1}',
        b'{"parameters": 1}',
        b"\xff",
    ],
)
def test_a_damaged_file_of_an_unfinished_search_counts_as_none(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], damage: bytes
) -> None:
    done = interrupt(fits, prepared, params, after=3)
    (path,) = prepared.unfinished_search("grid").rglob(f"{units_text(done[1])}.json")
    path.write_bytes(damage)
    search.main(prepared, params, "grid")
    assert sorted(fits.fitted) == sorted([done[1], *(set(UNITS) - set(done))])
    assert outputs(prepared) == OUTPUTS


def refit_after(change: dict[str, Any], prepared: Workspace, params: Params, fits: Fits) -> list[tuple[int, ...]]:
    interrupt(fits, prepared, params, after=2)
    search.main(prepared, changed(params, **change), "grid")
    return sorted(fits.fitted)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 4},
        {"batch_size": 4},
        {"folds": 2},
        {"kernel_initializer": "he_normal"},
        {"optimizer": {"name": "adam", "learning_rate": 0.01}},
        {"block": {"dropout": 0.25}},
    ],
)
def test_figures_of_other_params_are_not_mixed_in(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], change: dict[str, Any]
) -> None:
    assert refit_after(change, prepared, params, fits) == UNITS
    table = storage.read_table(prepared.search_results("grid") / "folds.csv")
    fresh = changed(params, **change).searches["grid"]
    expected = {
        units_text(configuration.units): configuration.mean_accuracy
        for configuration, _ in Fits().run(fresh, fits.examples[0], configurations=UNITS)
    }
    assert dict(zip(table["units"], table["mean_accuracy"], strict=True)) == pytest.approx(expected)


def test_figures_of_another_seed_are_not_mixed_in(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    interrupt(fits, prepared, params, after=2)
    content = params.model_dump(exclude_none=True)
    content["compute"]["seed"] = 2
    search.main(prepared, Params.model_validate(content), "grid")
    assert sorted(fits.fitted) == UNITS


@pytest.mark.parametrize("split", ["train", "validation"])
def test_figures_of_other_images_are_not_mixed_in(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], split: str
) -> None:
    interrupt(fits, prepared, params, after=2)
    write_split(prepared, split, 20 if split == "train" else 7, brightness=1)
    search.main(prepared, params, "grid")
    assert sorted(fits.fitted) == UNITS


def test_figures_of_other_code_are_not_mixed_in(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(fits, prepared, params, after=2)
    sha256 = storage.sha256

    def other(path: Path) -> str:
        return "0" * 64 if path.name == "objectives.py" else sha256(path)

    monkeypatch.setattr(storage, "sha256", other)
    search.main(prepared, params, "grid")
    assert sorted(fits.fitted) == UNITS


def test_more_workers_change_no_figure_and_go_on(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    done = interrupt(fits, prepared, params, after=2)
    content = params.model_dump(exclude_none=True)
    content["compute"]["threads"] = 2
    search.main(prepared, Params.model_validate(content), "grid")
    assert sorted([*done, *fits.fitted]) == UNITS
    assert fits.asked[-1]["num_workers"] == 2


def test_a_worker_that_dies_is_told_and_what_is_done_is_kept(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    fits.stop_after, fits.error = 2, BrokenProcessPool("terminated abruptly")
    with pytest.raises(PipelineError, match=r"searches\.grid: a worker process died, .* goes on where it stopped\."):
        search.main(prepared, params, "grid")
    assert outputs(prepared) == set()
    done = list(fits.fitted)
    fits.fitted.clear()
    fits.stop_after = 99
    search.main(prepared, params, "grid")
    assert sorted([*done, *fits.fitted]) == UNITS


def test_a_class_with_fewer_images_than_folds_is_named(
    prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]
) -> None:
    with pytest.raises(PipelineError, match="expected 10 examples or more of each class, one per fold, got 8"):
        search.main(prepared, changed(params, folds=10), "grid")
    assert (fits.asked, runs) == ([], [])


def test_a_missing_split_is_named(prepared: Workspace, params: Params, fits: Fits, runs: list[RecordedRun]) -> None:
    prepared.prepared("shapes", "validation").unlink()
    with pytest.raises(PipelineError, match=r"validation\.npz: .* the file is missing"):
        search.main(prepared, params, "grid")
    assert (fits.asked, runs) == ([], [])


def test_unknown_search_is_refused(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown search 'others'; expected one of: grid"):
        search.main(workspace, params, "others")
