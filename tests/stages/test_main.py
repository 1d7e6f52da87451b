"""The command by which DVC starts stages, and what it publishes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.stages import __main__ as runner
from pipeline.tracking.stage_table import STAGES, address
from tests import params_files

# They record their runs while they work.
LIVE = {"search", "train"}


def run(folder: Path, repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.stages", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(repository), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_the_stages(tmp_path: Path, repository: Path) -> None:
    finished = run(tmp_path, repository, "--help")
    assert finished.returncode == 0
    assert "compare, conclude, contrast, evaluate," in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "the following arguments are required: STAGE, NAME"),
        (("train",), "the following arguments are required: NAME"),
        (("trial", "x"), "argument STAGE: invalid choice: 'trial' (choose from "),
    ],
)
def test_a_wrong_command_is_told_with_the_usage(
    tmp_path: Path, repository: Path, arguments: tuple[str, ...], told: str
) -> None:
    finished = run(tmp_path, repository, *arguments)
    assert finished.returncode == 2
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_stage_runs_on_the_item_that_is_named(tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository / "demo", tmp_path)
    finished = run(tmp_path, repository, "train", "../dvc.yaml:train@nonesuch")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: "), finished.stderr
    assert "'nonesuch'" in finished.stderr


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What is published, instead of in MLflow."""
    recorded: list[tuple[str, ...]] = []
    monkeypatch.setattr("pipeline.tracking.publish.publish", lambda *arguments: recorded.append(arguments[2:]))
    return recorded


@pytest.mark.parametrize("stage", runner.stages())
def test_a_stage_is_published_once_after_its_work_unless_it_did_that_itself(
    tmp_path: Path, params: Params, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(f"pipeline.stages.{stage}.main", lambda *arguments: calls.append(("main", arguments[2])))
    runner.run(stage, Workspace(tmp_path), params, "wide")
    assert calls == [("main", "wide"), *([] if stage in LIVE else [(stage, "wide")])]


def test_nothing_is_published_of_a_stage_that_failed(
    workspace: Workspace, params: Params, calls: list[tuple[str, ...]]
) -> None:
    with pytest.raises(PipelineError, match="unknown study 'third'"):
        runner.run("compare", workspace, params, "third")
    assert calls == []


def test_the_table_holds_the_stages_of_dvc_yaml_that_make_outputs_and_their_items(repository: Path) -> None:
    assert set(STAGES) == set(runner.stages())
    params = load_params(repository)
    ours = {(stage, address(params, stage, item)) for stage, entry in STAGES.items() for item in entry.items(params)}
    stages = [stage for stage in Repo(repository).index.stages if stage.outs]
    dvcs = {(stage.cmd.split("pipeline.stages ")[1].split()[0], stage.name) for stage in stages}
    assert ours == dvcs
