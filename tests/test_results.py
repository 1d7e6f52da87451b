"""The committed results: whole, as dvc.lock records them, and told in README.md and docs/ without a typed number."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline import report, storage, tables
from pipeline.params import Params, load_params
from pipeline.paths import Workspace


@pytest.fixture
def workspace(repository: Path) -> Workspace:
    return Workspace(repository)


@pytest.fixture
def params(workspace: Workspace) -> Params:
    return load_params(workspace.params)


def test_every_result_is_what_its_stage_wrote(repository: Path) -> None:
    """Bytes, by the hashes in dvc.lock: nobody edited a figure."""
    with Repo(repository) as repo:
        results = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
        assert len(results) > 50
        assert {str(out): out.status() for out in results if out.status()} == {}


def test_the_lock_speaks_of_the_parameters_that_are_committed(repository: Path, params: Params) -> None:
    lock = YAML(typ="safe").load(repository / "dvc.lock")["stages"]
    content = YAML(typ="safe").load(repository / "params.yaml")
    trained = {
        name.partition("@")[2]: stage for name, stage in lock.items() if name.startswith(("train@", "warm_start@"))
    }
    assert trained.keys() == params.all_variants.keys()
    for name, stage in trained.items():
        group = params.variant_group(name)
        assert stage["params"]["params.yaml"][f"{group}.{name}"] == content[group][name]


def test_the_table_has_a_row_for_every_variant_and_study(workspace: Workspace, params: Params) -> None:
    table = storage.read_table(workspace.variants_table)
    assert tuple(table.columns) == tables.VARIANTS_COLUMNS
    rows = list(zip(table["study"], table["variant"], strict=True))
    assert rows == [(study, name) for study in params.studies for name in params.variants_of(study)]


def test_trained_models_have_the_sources_parameter_counts(workspace: Workspace) -> None:
    reported = YAML(typ="safe").load(workspace.reported_results)
    table = storage.read_table(workspace.variants_table)
    assert {
        (row.study, row.variant): row.params
        for row in table.itertuples()
        if row.params != reported[row.study][row.variant]["params"]
    } == {}


def test_the_readme_shows_these_results(workspace: Workspace, params: Params) -> None:
    readme = (workspace.root / "README.md").read_text()
    assert report.update_readme(readme, report.results(workspace, params)) == readme, "run `python -m pipeline report`"


def test_the_findings_tell_these_results(workspace: Workspace, params: Params) -> None:
    docs = workspace.root / "docs"
    text = report.findings(workspace, params, (docs / "findings.md.jinja").read_text())
    assert text == (docs / "findings.md").read_text(), "run `python -m pipeline report`"
