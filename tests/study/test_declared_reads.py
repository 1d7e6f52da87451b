"""A stage reads no file of the project but what dvc.yaml declares, so that DVC knows when to run it again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from pipeline.config.load import FILES
from tests.study.workspace import STAGES, Study

SCRIPT = Path(__file__).with_name("declared_reads_trial.py")


@pytest.fixture(scope="module")
def study(copy_study: Callable[[], Study]) -> Study:
    return copy_study()


@pytest.fixture(scope="module")
def stages(study: Study) -> dict[str, Any]:
    """Those of DVC that make outputs, in an order in which they can run."""
    order = [line.rpartition(" ")[2] for line in study.dvc("repro", "--force", "--dry").splitlines() if "'" in line]
    found = {stage.name: stage for stage in Repo(study.root).index.stages}
    return {name: found[name] for name in (item.strip("':") for item in order) if name in STAGES}


@pytest.fixture(scope="module")
def read(study: Study, stages: dict[str, Any]) -> dict[str, list[str]]:
    shutil.rmtree(study.root / "mlartifacts")
    said = study.run(sys.executable, str(SCRIPT), *stages, PYTHONPATH=str(study.root)).stdout
    return {name: list(paths) for name, paths in json.loads(said.splitlines()[-1]).items()}


def test_every_stage_is_looked_at(stages: dict[str, Any], read: dict[str, list[str]]) -> None:
    assert stages.keys() == read.keys() == STAGES
    assert "data/prepared/digits/test.npz" in read["evaluate@basics"]


def test_no_stage_reads_what_it_does_not_declare(stages: dict[str, Any], read: dict[str, list[str]]) -> None:
    undeclared = {}
    for name, stage in stages.items():
        declared = [Path(item.def_path) for item in (*stage.deps, *stage.outs)]
        files = [Path(path) for path in read[name] if path not in FILES and not path.startswith(("pipeline/", ".git/"))]
        others = [str(file) for file in files if not any(file.is_relative_to(item) for item in declared)]
        if others:
            undeclared[name] = others
    assert undeclared == {}
