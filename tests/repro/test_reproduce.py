"""What is not up to date is run, once; a stage that fails ends in one message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.repro.parallel import reproduce

DVC_YAML = """
stages:
  first:
    cmd: python log.py first
    deps: [log.py]
    outs: [first.txt: {cache: false}]
  second:
    cmd: python log.py second
    deps: [log.py, first.txt]
    outs: [second.txt: {cache: false}]
"""
LOG = """
import json
import os
import sys
from pathlib import Path
name = sys.argv[1]
Path(f"{name}.txt").write_text(name)
with Path("times.log").open("a") as log:
    log.write(f"{name};")
Path(f"{name}.json").write_text(json.dumps([os.environ["DVC_ROOT"], os.environ["DVC_STAGE"]]))
"""


@pytest.fixture
def workspace(tmp_path: Path, make_dvc_folder: Callable[[Path], None]) -> Workspace:
    make_dvc_folder(tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "log.py").write_text(LOG)
    return Workspace(tmp_path)


def test_a_second_time_nothing_is_left_to_do(workspace: Workspace) -> None:
    assert reproduce(workspace, subject="the study") == 2
    assert reproduce(workspace, subject="the study") == 0
    assert (workspace.root / "times.log").read_text() == "first;second;"


def test_sources_without_git_are_told_the_remedy(workspace: Workspace) -> None:
    """As unpacked from a ZIP, with DVC's settings of this project."""
    (workspace.root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(PipelineError, match=r"is not a git repository\. Run `git init` there\.$"):
        reproduce(workspace, subject="the study")


def test_what_failed_goes_on_where_it_stopped(workspace: Workspace) -> None:
    path = workspace.root / "dvc.yaml"
    path.write_text(DVC_YAML.replace("python log.py second", "echo no second >&2; exit 3"))
    with pytest.raises(PipelineError) as raised:
        reproduce(workspace, subject="the study", advice="Ask.")
    assert str(raised.value).startswith("the study stopped at second.\n\nsecond printed:\n\n")
    assert "no second" in str(raised.value)
    assert str(raised.value).endswith("it goes on where it stopped. Ask.")
    path.write_text(DVC_YAML)
    assert reproduce(workspace, subject="the study") == 1
    assert (workspace.root / "times.log").read_text() == "first;second;"


def test_to_keep_going_is_to_leave_out_only_what_depends_on_a_failed_stage(workspace: Workspace) -> None:
    text = "  third: {cmd: echo no third >&2; exit 3, outs: [third.txt]}\n"
    text += "  fourth: {cmd: python log.py fourth, deps: [third.txt], outs: [fourth.txt]}\n"
    (workspace.root / "dvc.yaml").write_text(DVC_YAML + text)
    with pytest.raises(PipelineError) as raised:
        reproduce(workspace, subject="the study", keep_going=True)
    assert str(raised.value).startswith("the study was finished but for third and what depends on it.\n\n")
    assert "no third" in str(raised.value)
    assert (workspace.root / "times.log").read_text() == "first;second;"


def test_the_users_settings_of_dvc_hold_but_not_those_of_a_stage_that_calls(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = workspace.root / "site"
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(site))
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    monkeypatch.setenv("DVC_STAGE", "first")
    reproduce(workspace, subject="the study")
    assert any(site.iterdir())
    assert json.loads((workspace.root / "second.json").read_text()) == [str(workspace.root), "second"]


@pytest.mark.parametrize("text", ["stages: [", "stages: {first: {cmds: make}}"], ids=["no YAML", "no stage"])
def test_a_mistake_in_dvc_yaml_ends_in_one_message(workspace: Workspace, text: str) -> None:
    (workspace.root / "dvc.yaml").write_text(text)
    with pytest.raises(PipelineError, match=r"DVC cannot tell which stages are up to date: .*dvc\.yaml"):
        reproduce(workspace, subject="the study")
