"""What belongs to nothing in the parameters is found, refused by name, and removed on demand; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import leftovers
from pipeline.io.paths import Workspace

LEFT = (
    "models/mnist/handwritten-digits/renamed.keras",
    "models/mnist/removed-study",
    "models/repeats/fashion/renamed",
    "results/compare/removed-study",
    "results/metrics/renamed.json",
    "results/outcomes/renamed.json",
    "results/repeats/fashion/training/renamed.csv",
    "results/search/renamed",
    "results/train/four-vs-nine/four-vs-nine/four_nine_dropout/renamed",
)


@pytest.fixture(scope="module")
def params(repository: Path) -> Params:
    return load_params(repository)


@pytest.fixture
def workspace(tmp_path: Path, repository: Path, params: Params) -> Workspace:
    """Every output that dvc.yaml declares, empty; a folder holds a file for each variant."""
    for stage in Repo(repository).index.stages:
        for path in (tmp_path / out.def_path for out in stage.outs):
            for file in [path] if path.suffix else [path / f"{name}.json" for name in params.all_variants]:
                write(file)
    return Workspace(tmp_path)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def leave(workspace: Workspace) -> None:
    for name in LEFT:
        path = workspace.root / name
        write(path if path.suffix else path / "some" / "file")


def test_every_output_of_a_stage_belongs_to_something(workspace: Workspace, params: Params) -> None:
    assert leftovers.find(workspace, params) == []
    leftovers.refuse(workspace, params)


def test_files_that_are_being_written_and_those_of_dvc_are_left_out(workspace: Workspace, params: Params) -> None:
    write(workspace.root / "models" / "mnist" / "handwritten-digits" / ".new.keras.tmp")
    write(workspace.root / "models" / "mnist" / "handwritten-digits" / ".gitignore")
    assert leftovers.find(workspace, params) == []


def test_before_anything_is_made_nothing_is_left(tmp_path: Path, params: Params) -> None:
    assert leftovers.find(Workspace(tmp_path), params) == []


def test_what_belongs_to_nothing_is_named_from_the_top(workspace: Workspace, params: Params) -> None:
    leave(workspace)
    assert leftovers.find(workspace, params) == [workspace.root / name for name in LEFT]
    with pytest.raises(PipelineError) as refused:
        leftovers.refuse(workspace, params)
    assert all(f"\n  {name}\n" in str(refused.value) for name in LEFT)
    assert "python -m pipeline tidy" in str(refused.value)


def test_of_many_the_first_are_named_and_the_others_counted(workspace: Workspace, params: Params) -> None:
    for number in range(12):
        write(workspace.root / "results" / "outcomes" / f"left_{number:02}.json")
    with pytest.raises(PipelineError, match=r"left_09.json\n  and 2 more\n"):
        leftovers.refuse(workspace, params)


def test_removing_leaves_what_belongs_to_something(workspace: Workspace, params: Params) -> None:
    before = sorted(path for path in workspace.root.rglob("*") if path.is_file())
    leave(workspace)
    assert leftovers.remove(workspace, params) == [workspace.root / name for name in LEFT]
    assert sorted(path for path in workspace.root.rglob("*") if path.is_file()) == before
