"""The committed results: whole, as dvc.lock records them, and told in README.md and docs/ without a typed number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline.config.load import FILE_OF, FILES, load_params
from pipeline.config.params import Params
from pipeline.evaluation import tables
from pipeline.io import dvc_lock, storage
from pipeline.io.paths import Workspace
from pipeline.report.findings import findings
from pipeline.report.models import models_page
from pipeline.report.readme import best_of_each_study, results, update


@pytest.fixture
def workspace(repository: Path) -> Workspace:
    return Workspace(repository)


@pytest.fixture
def params(workspace: Workspace) -> Params:
    return load_params(workspace.root)


def test_every_result_is_what_its_stage_wrote(repository: Path) -> None:
    """Bytes, by the hashes in dvc.lock: nobody edited a figure."""
    with Repo(repository) as repo:
        results = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
        assert len(results) > 50
        assert {str(out): out.status() for out in results if out.status()} == {}


def test_the_lock_speaks_of_the_parameters_that_are_committed(repository: Path, params: Params) -> None:
    lock = YAML(typ="safe").load(repository / "dvc.lock")["stages"]
    contents = {file: YAML(typ="safe").load(repository / file) for file in FILES}
    stages = ("train", "warm_start", "train_swept", "derive", "transfer", "regress")
    trained = {name.partition("@")[2]: stage for name, stage in lock.items() if name.partition("@")[0] in stages}
    assert trained.keys() == params.all_variants.keys()
    assert len(trained) == 49
    for name, stage in trained.items():
        group = params.variant_group(name)
        file = FILE_OF[group]
        assert stage["params"][file][f"{group}.{name}"] == contents[file][group][name]


def test_the_table_has_a_row_for_every_variant_and_study(workspace: Workspace, params: Params) -> None:
    table = storage.read_table(workspace.variants_table)
    assert tuple(table.columns) == tables.VARIANTS_COLUMNS
    rows = list(zip(table["study"], table["variant"], strict=True))
    assert rows == [(study, name) for study in params.studies for name in params.variants_of(study)]


def test_the_comments_beside_variants_have_their_accuracies(
    repository: Path, workspace: Workspace, params: Params
) -> None:
    text = "".join((repository / file).read_text() for file in ("params.yaml", "params/derived.yaml"))
    told = {
        name: tuple(accuracies)
        for name, *accuracies in re.findall(r"^  (\S+):  # source (\S+)(?: %)?, here (\S+) %; .+$", text, re.M)
    }
    table = storage.read_table(workspace.variants_table).drop_duplicates("variant").set_index("variant")
    expected = {
        name: ("none" if pd.isna(source) else f"{source:.2%}".rstrip("%"), f"{measured:.2%}".rstrip("%"))
        for name, source, measured in zip(
            table.index, table["reported_test_accuracy"], table["test_accuracy"], strict=True
        )
    }
    assert told == expected
    assert told.keys() == params.classifiers.keys()


def reported_parameters(reported: dict[str, Any], study: str, variant: str, units: str | None) -> int | None:
    """What the source's model has; None where it has other units, because its search chose others."""
    rows = reported[study]
    if units is not None:
        search = rows[variant.removesuffix("_30_epochs")]["reported"]
        return search["refit_params"] if search["best_units"] == [int(number) for number in units.split("-")] else None
    # The sweeps of 4 against 9 have the baseline's architecture.
    return rows.get(variant, rows.get("four_nine_baseline", {}))["params"]


def test_trained_models_have_the_sources_parameter_counts(workspace: Workspace, params: Params) -> None:
    reported = YAML(typ="safe").load(workspace.reported_results)
    found, expected = {}, {}
    table = storage.read_table(workspace.variants_table)
    for study, variant, num_parameters in zip(table["study"], table["variant"], table["params"], strict=True):
        derived = params.derived.get(variant)
        units = None
        if derived is not None and derived.layers_from in params.searches:
            units = storage.read_json(workspace.outcome(derived.layers_from))["selected"]
        count = reported_parameters(reported, study, variant, units)
        if count is not None:
            found[study, variant], expected[study, variant] = num_parameters, count
    assert found == expected
    assert len(found) >= 36 + 4


def test_refits_of_other_units_than_the_sources_are_not_compared_with_it(workspace: Workspace, params: Params) -> None:
    """And the source's units have a refit of their own, of the same parameter count and reported accuracy."""
    reported = YAML(typ="safe").load(workspace.reported_results)
    flagged = set()
    for name, spec in params.derived.items():
        if spec.layers_from not in params.searches:
            continue
        row, source = reported[spec.study][name], reported[spec.study][spec.layers_from]["reported"]
        units = storage.read_json(workspace.outcome(spec.layers_from))["units"]
        assert ("fault" in row) == (units != source["best_units"]), name
        if "fault" in row:
            flagged.add(name)
            layers = "x".join(map(str, source["best_units"]))
            own = f"{spec.layers_from}_{layers}{name.removeprefix(spec.layers_from)}"
            variant = params.variants[own]
            assert [layer.units for layer in variant.layers] == source["best_units"]
            assert (variant.study, variant.epochs) == (spec.study, spec.epochs)
            assert reported[spec.study][own]["reported"]["test_accuracy"] == row["reported"]["refit_test_accuracy"]
    assert len(flagged) == 4


def test_the_searches_have_all_configurations(workspace: Workspace, params: Params) -> None:
    table = storage.read_table(workspace.searches_table)
    assert len(table) == sum(len(search.configurations) for search in params.searches.values()) == 113
    assert table["reported_cv_accuracy"].notna().all()


def test_transfer_works_where_the_network_can_read_the_images(workspace: Workspace) -> None:
    tested = storage.read_json(workspace.evaluation("fashion-transfer") / "metrics.json")
    assert tested["fashion_mobilenet_v2"]["accuracy"] >= 0.88


def test_the_baseline_of_four_against_nine_visibly_overfits(workspace: Workspace) -> None:
    report = storage.read_json(workspace.contrast("four-vs-nine") / "overfitting.json")
    assert report["visibly_overfits"]
    assert report["variants"]["four_nine_baseline"]["train_accuracy"] == 1.0


def test_a_low_rate_after_training_does_not_collapse(workspace: Workspace) -> None:
    tested = storage.read_json(workspace.evaluation("handwritten-digits") / "metrics.json")
    assert tested["digits_64x64_low_lr"]["accuracy"] > 0.97


def test_the_artifacts_of_dvc_are_the_selected_models(workspace: Workspace, params: Params) -> None:
    artifacts = YAML(typ="safe").load(workspace.root / "dvc.yaml")["artifacts"]
    selected = {task: storage.read_json(workspace.selection(task))["selected"] for task in params.tasks}
    models = {task: workspace.model(name, params.all_variants[name]) for task, name in selected.items()}
    assert {task: workspace.root / item["path"] for task, item in artifacts.items()} == models


def test_the_champions_in_the_repository_are_those_of_dvc_lock(workspace: Workspace, params: Params) -> None:
    selected = {str(storage.read_json(workspace.selection(task))["selected"]) for task in params.tasks}
    paths = {str(workspace.model(name, params.all_variants[name]).relative_to(workspace.root)) for name in selected}
    outputs = {path: md5 for stage in dvc_lock.read(workspace.root).values() for path, md5 in stage.outputs.items()}
    expected = {outputs[path] for path in paths}
    files = [path for path in (workspace.root / "champions").rglob("*") if path.is_file()]
    assert {path.parent.name + path.name for path in files} == expected
    assert sum(path.stat().st_size for path in files) < 13e6


def test_the_readme_and_the_page_of_results_show_these_results(workspace: Workspace, params: Params) -> None:
    tables = {"README.md": best_of_each_study(workspace, params), "docs/results.md": results(workspace, params)}
    for name, table in tables.items():
        text = (workspace.root / name).read_text()
        assert update(text, table, name) == text, "run `python -m pipeline docs`"


def test_the_page_of_models_tells_these_results(workspace: Workspace, params: Params) -> None:
    path = workspace.root / "docs" / "models.md"
    assert f"{models_page(workspace, params)}\n" == path.read_text(), "run `python -m pipeline docs`"


def test_the_findings_tell_these_results(workspace: Workspace, params: Params) -> None:
    docs = workspace.root / "docs"
    text = findings(workspace, params, (docs / "findings.md.jinja").read_text())
    assert text == (docs / "findings.md").read_text(), "run `python -m pipeline docs`"
