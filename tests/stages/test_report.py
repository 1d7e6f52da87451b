"""The stage that writes the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.report import site
from pipeline.stages import report


def test_the_site_is_written_in_place_of_what_was_there(
    workspace: Workspace, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"index.html": b"<h1>All</h1>", "studies/first.html": b"<h1>First</h1>"}
    monkeypatch.setattr(site, "build", lambda *arguments: pages)
    (workspace.site / "studies").mkdir(parents=True)
    (workspace.site / "studies" / "gone.html").touch()
    report.main(workspace, params, "all")
    found = {path.relative_to(workspace.site).as_posix(): path for path in workspace.site.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == pages


def test_there_is_one_site(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="report: expected 'all' as name, got 'first'"):
        report.main(workspace, params, "first")


def test_the_templates_and_the_style_are_files_of_the_package() -> None:
    folder = Path(site.__file__).parent
    assert {"base.html.jinja", "style.css", "sort.js"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "sort.js").read_text().splitlines()) < 60
