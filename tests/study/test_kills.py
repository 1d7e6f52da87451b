"""Twenty kills in a row, of every kind of work."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from tests.study.mlflow_view import aliases, summary
from tests.study.workspace import LIMIT, Built, Study, command_of

KILLED_STEPS = ("train@penalized", "search@widths", "evaluate@extras", "register@digit-classifier", "sync")

KILLS = ("SIGKILL to all", "Ctrl-C", "SIGKILL to the first", "Ctrl-C")


@dataclass
class Shot:
    """`seen` is what MLflow shows when the stages have been killed and run again, and when sync has been, too."""

    study: Study
    kills: list[tuple[str, str]] = field(default_factory=list)
    seen: list[dict[tuple[str, str], dict[str, Any]]] = field(default_factory=list)
    statuses: list[Counter[str]] = field(default_factory=list)
    last_sync: str = ""


@pytest.fixture(scope="module")
def shot(copy_study: Callable[[], Study]) -> Shot:
    """Kill every kind of work at random moments, twenty times in a row, and let it run to its end after each four."""
    study = copy_study()
    rng = random.Random(20)
    outcome = Shot(study)
    # Nearly all of its time goes into imports, as with the others.
    seconds = finish(study, KILLED_STEPS[0])
    for step in KILLED_STEPS:
        if step == "sync":
            look(outcome)
            (study.root / "mlflow.db").unlink()
            shutil.rmtree(study.root / "mlartifacts")
            # MLflow keeps a database open in this process as long as it lives, by its path.
            study = outcome.study = Study(study.root.rename(study.root.with_name("shot")), study.environment)
        for how in KILLS:
            while (ended := kill(study, step, how, after=rng.uniform(0.0, seconds))) is not None:
                # It was quicker than the one before.
                seconds = ended
            outcome.kills.append((step, how))
            restore_lock(study)
        seconds = finish(study, step)
    outcome.last_sync = study.sync()
    look(outcome)
    return outcome


def look(outcome: Shot) -> None:
    outcome.seen.append(summary(outcome.study))
    outcome.statuses.append(Counter(run.info.status for _, run in outcome.study.runs()))


def restore_lock(study: Study) -> None:
    """Take dvc.lock from Git if it was cut: DVC writes it in place, so a kill in that moment leaves its beginning."""
    left, whole = (study.root / "dvc.lock").read_text(), study.git("show", "HEAD:dvc.lock")
    if not whole.startswith(left):
        raise RuntimeError(f"dvc.lock is another than that of the commit:\n{left}")
    if left != whole:
        study.git("checkout", "--quiet", "dvc.lock")


def finish(study: Study, step: str) -> float:
    """Run a step to its end; the seconds that it took."""
    start = time.monotonic()
    study.run(*command_of(step))
    return time.monotonic() - start


def kill(study: Study, step: str, how: str, *, after: float) -> float | None:
    """Start a step and end it after some seconds, with all that it started.

    Returns None, or the seconds that it took if it was over before.
    """
    start = time.monotonic()
    with (study.root.parent / "kills.log").open("ab") as log:
        process = subprocess.Popen(
            command_of(step), cwd=study.root, env=study.environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
            return time.monotonic() - start
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).children(recursive=True)
            match how:
                case "Ctrl-C":
                    os.killpg(process.pid, signal.SIGINT)
                case "SIGKILL to all":
                    os.killpg(process.pid, signal.SIGKILL)
                case _:
                    process.kill()
            process.wait(LIMIT)
            _, alive = psutil.wait_procs(started, timeout=120)
            if alive:
                raise RuntimeError(f"{how} of {step} left {alive}")
            if process.returncode != 0:
                return None
        return time.monotonic() - start
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_twenty_kills_in_a_row_lose_nothing(built: Built, shot: Shot) -> None:
    assert len(shot.kills) == 20
    assert shot.study.content() == built.study.content()
    assert shot.study.git("status", "--porcelain") == ""
    assert shot.study.status() == {}


def test_after_twenty_kills_mlflow_is_whole_and_no_run_goes_on(built: Built, shot: Shot) -> None:
    expected = summary(built.study)
    assert shot.seen == [expected] * 2
    assert set(shot.statuses[0]) <= {"FINISHED", "KILLED", "FAILED"}
    assert shot.statuses[0]["FINISHED"] == len(expected)
    # The second time the database was made anew, by a sync that was killed too.
    assert shot.statuses[1] == {"FINISHED": len(expected)}
    assert shot.last_sync.startswith("0 created, 0 repaired")
    assert aliases(shot.study) == aliases(built.study)
