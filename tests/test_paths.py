"""Workspace and dvc.yaml say the same about where files lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.params import Params, load_params
from pipeline.paths import Workspace


@pytest.fixture(scope="module")
def root() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture(scope="module")
def params(root: Path) -> Params:
    return load_params(root / "params.yaml")


@pytest.fixture(scope="module")
def declared(root: Path) -> dict[str, set[Path]]:
    """The outputs of each stage in dvc.yaml."""
    return {stage.addressing: {root / out.def_path for out in stage.outs} for stage in Repo(root).index.stages}


def places(workspace: Workspace, params: Params) -> Iterator[tuple[str, set[Path]]]:
    """Of each stage: the files that it writes, and the folders that it writes some files of."""
    for name in params.datasets:
        yield f"fetch@{name}", {workspace.raw(name)}
        arrays = {workspace.prepared(name, split) for split in ("train", "validation", "test")}
        yield f"prepare@{name}", arrays | {workspace.dataset_results(name)}
    for name, variant in params.all_variants.items():
        stage = "train" if name in params.variants else "warm_start"
        yield f"{stage}@{name}", {workspace.model(name, variant), workspace.training_results(name, variant)}
    for name in params.studies:
        details = workspace.evaluation_details(name, "any").parent
        yield f"evaluate@{name}", {workspace.predictions(name), workspace.evaluation(name), details}
        yield f"compare@{name}", {workspace.comparison(name)}
    for name in params.tasks:
        yield f"register@{name}", {workspace.selection(name)}
    yield "summarize", {workspace.variants_table}


def test_dvc_declares_what_the_stages_write(declared: dict[str, set[Path]], root: Path, params: Params) -> None:
    expected = dict(places(Workspace(root), params))
    assert declared.keys() == expected.keys()
    for stage, outputs in declared.items():
        assert {out if out in expected[stage] else out.parent for out in outputs} == expected[stage], stage


def test_no_two_stages_write_the_same_file(declared: dict[str, set[Path]]) -> None:
    paths = [path for outputs in declared.values() for path in outputs]
    assert len(set(paths)) == len(paths)


def test_inputs_lie_at_the_root(root: Path) -> None:
    workspace = Workspace(root)
    assert workspace.params.is_file()
    assert workspace.reported_results.is_file()


def test_a_shared_variant_has_one_model_in_its_home_study(root: Path, params: Params) -> None:
    shared = {name: variant for name, variant in params.all_variants.items() if variant.also_in}
    assert shared
    for name, variant in shared.items():
        assert Workspace(root).model(name, variant).parent.name == variant.study
