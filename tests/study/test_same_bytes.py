"""Stages that run again give the same bytes, and none but `evaluate` needs the test set for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.study.workspace import PREPARED, Study

WITHOUT_TEST_SET = {
    "train@shared",
    "warm_start@continued",
    "search@widths",
    "derive@refitted",
    "kernels@refitted",
    "compare@extras",
    "summarize",
    "tabulate",
    "register@digit-classifier",
    "report",
}


@dataclass(frozen=True)
class Sealed:
    forced: set[str]
    changes: str
    evaluation: subprocess.CompletedProcess[str]
    selection: str


@pytest.fixture(scope="module")
def sealed(copy_study: Callable[[], Study]) -> Sealed:
    """Run stages again without the test images; then with the test figures turned around."""
    study = copy_study()
    (study.root / PREPARED / "test.npz").write_bytes(b"not to be read")
    forced = study.repro("--force", "--single-item", *WITHOUT_TEST_SET)
    changes = study.git("diff", "--stat")
    evaluation = study.stage("evaluate", "extras")
    for path in study.root.glob("results/evaluate/*/metrics.json"):
        scores = json.loads(path.read_text())
        for score in scores.values():
            score["accuracy"] = 1 - score["accuracy"]
        path.write_text(json.dumps(scores))
    study.repro("--force", "--single-item", "register@digit-classifier")
    return Sealed(forced, changes, evaluation, study.git("diff", "--stat", "results/select"))


def test_no_stage_but_evaluate_reads_the_test_set(sealed: Sealed) -> None:
    assert sealed.forced == WITHOUT_TEST_SET
    # Neither in dvc.lock, which has the hash of every output, nor in the results.
    assert sealed.changes == ""
    assert sealed.evaluation.returncode == 1
    assert str(PREPARED / "test.npz") in sealed.evaluation.stderr


def test_test_figures_do_not_change_the_selection(sealed: Sealed) -> None:
    assert sealed.selection == ""


WITH_TEST_SET = ("fetch@digits", "prepare@digits", "evaluate@extras")


@dataclass(frozen=True)
class Forced:
    ran: set[str]
    changes: str


@pytest.fixture(scope="module")
def forced(copy_study: Callable[[], Study]) -> Forced:
    """Run again the stages that `sealed` does not."""
    study = copy_study()
    return Forced(study.repro("--force", "--single-item", *WITH_TEST_SET), study.git("diff", "--stat"))


def test_stages_that_run_again_give_the_same_bytes(forced: Forced) -> None:
    assert forced.ran == set(WITH_TEST_SET)
    assert forced.changes == ""


# Of these, `register` and `kernels` read models that they do not depend on, to show them in MLflow.
VERIFIED = ("search", "train@penalized", "kernels", "register")


@pytest.fixture(scope="module")
def verified(copy_study: Callable[[], Study]) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run some stages again in a clean copy, where the workspace has lost what they need."""
    study = copy_study()
    shutil.rmtree(study.root / "models")
    command = (sys.executable, "-m", "pipeline", "verify", *VERIFIED)
    return study.run(*command, check=False, COLUMNS="200"), study.git("status", "--porcelain")


def test_stages_verify_in_a_clean_copy(verified: tuple[subprocess.CompletedProcess[str], str]) -> None:
    result, changes = verified
    assert (result.returncode, result.stderr, changes) == (0, "", "")
    assert len(re.findall(r"\bsame\b", result.stdout)) == len(VERIFIED)
