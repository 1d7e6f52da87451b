"""The command by which DVC starts stages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import params_files


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
