"""Workspace and dvc.yaml say the same about where files lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.io.paths import Workspace


@pytest.fixture(scope="module")
def root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params(root: Path) -> Params:
    return load_params(root)


@pytest.fixture(scope="module")
def declared(root: Path) -> dict[str, set[Path]]:
    """The outputs of each stage in dvc.yaml that has some."""
    stages = [stage for stage in Repo(root).index.stages if stage.outs]
    return {stage.addressing: {root / out.def_path for out in stage.outs} for stage in stages}


STAGE_OF_GROUP = {
    "variants": "train",
    "warm_started": "warm_start",
    "swept": "train_swept",
    "derived": "derive",
    "transfers": "transfer",
    "regressors": "regress",
}


REPEATED_BY = {
    "variants": "repeat",
    "swept": "repeat_swept",
    "derived": "repeat_derived",
    "transfers": "repeat_transfer",
}


def places(workspace: Workspace, params: Params) -> Iterator[tuple[str, set[Path]]]:
    """Of each stage: the files that it writes, and the folders that it writes some files of."""
    for name in params.sources:
        yield f"fetch@{name}", {workspace.raw(name)}
    for name in params.weights:
        yield f"fetch_weights@{name}", {workspace.weights(name)}
    for name in params.datasets:
        arrays = {workspace.prepared(name, split) for split in ("train", "validation", "test")}
        yield f"prepare@{name}", arrays | {workspace.dataset_results(name)}
    for name in params.signals:
        arrays = {workspace.prepared(name, split) for split in ("train", "validation", "test", "extended")}
        yield f"generate@{name}", arrays | {workspace.dataset_results(name)}
        details = workspace.evaluation_details(name, "any").parent
        yield f"evaluate_signal@{name}", {workspace.predictions(name), workspace.evaluation(name), details}
    for name in params.features:
        yield f"features@{name}", {workspace.features(name, split) for split in ("train", "validation")}
    for name in params.searches:
        yield f"search@{name}", {workspace.search_results(name), workspace.outcome(name)}
    for name in params.sweeps:
        yield f"sweep@{name}", {workspace.outcome(name)}
    for name, variant in params.all_variants.items():
        stage = STAGE_OF_GROUP[params.variant_group(name)]
        yield f"{stage}@{name}", {workspace.model(name, variant), workspace.training_results(name, variant)}
    for name in params.derived:
        yield f"kernels@{name}", {workspace.kernels(name)}
    for name in params.studies:
        details = workspace.evaluation_details(name, "any").parent
        yield f"evaluate@{name}", {workspace.predictions(name), workspace.evaluation(name), details}
        yield f"compare@{name}", {workspace.comparison(name)}
    for name in params.contrasts:
        yield f"contrast@{name}", {workspace.contrast(name)}
    for name in params.conclusions:
        yield f"conclude@{name}", {workspace.conclusions(name)}
    for name, item in params.all_repeated.items():
        models = workspace.repeated_model(item.repeats, name, 1).parent
        stage = REPEATED_BY[params.variant_group(name)]
        yield f"{stage}@{name}", {models, workspace.repeated_training(item.repeats, name)}
    for name in params.repeats:
        yield f"evaluate_repeats@{name}", {workspace.repeats(name)}
    for name in params.tasks:
        yield f"register@{name}", {workspace.selection(name)}
    yield "tabulate", {workspace.searches_table}
    yield "summarize", {workspace.variants_table, workspace.headlines}
    yield "report", {workspace.site}


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
    assert workspace.reported_results.is_file()


def test_a_shared_variant_has_one_model_in_its_home_study(root: Path, params: Params) -> None:
    shared = {name: variant for name, variant in params.all_variants.items() if len(params.studies_of(name)) > 1}
    assert shared
    for name, variant in shared.items():
        assert Workspace(root).model(name, variant).parent.name == variant.study


def test_what_a_sweep_chooses_from_lies_in_a_folder_of_its_own(root: Path, params: Params) -> None:
    """The sweep depends on that folder alone, so that training other variants does not repeat it."""
    assert params.swept
    for name, variant in params.swept.items():
        folder = Workspace(root).training_results(name, variant).parent
        assert folder.name == variant.sweep
        inside = {
            other
            for other, spec in params.all_variants.items()
            if folder in Workspace(root).training_results(other, spec).parents
        }
        assert inside == params.members_of(variant.sweep).keys()


def test_candidates_for_a_task_lie_below_the_folder_that_it_names(root: Path, params: Params) -> None:
    workspace = Workspace(root)
    for name, task in params.tasks.items():
        folder = root / "results" / "train" / task.candidates
        for variant, spec in params.all_variants.items():
            is_below = folder in workspace.training_results(variant, spec).parents
            assert is_below == (variant in params.candidates_for(name)), (name, variant)


def test_an_unfinished_search_is_no_output(declared: dict[str, set[Path]], root: Path, params: Params) -> None:
    unfinished = {Workspace(root).unfinished_search(name) for name in params.searches}
    assert unfinished
    outputs = {path for outs in declared.values() for out in outs for path in (out, *out.parents)}
    assert not unfinished & outputs
