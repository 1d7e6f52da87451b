"""Stages that fail, that are ended while they train, and whose tracking server is away."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from tests.study.mlflow_view import curve
from tests.study.workspace import DVC_THAT_HEARS_CTRL_C, LIMIT, MODEL, PREPARED, RESULT_FILES, RESULTS, Study

# Epochs of a millisecond or more.
LONG_TRAINING = 100_000


@dataclass(frozen=True)
class Broken:
    unreadable: subprocess.CompletedProcess[str]
    unwritable: subprocess.CompletedProcess[str]
    before: dict[str, str]
    after: dict[str, str]
    study: Study


@pytest.fixture(scope="module")
def broken(copy_study: Callable[[], Study]) -> Broken:
    """Train on a corrupt file, then where the results cannot be written."""
    study = copy_study()
    before = study.content()
    path = study.root / PREPARED / "train.npz"
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    unreadable = study.stage("train", "penalized")
    path.write_bytes(kept)
    shutil.rmtree(study.root / RESULTS)
    (study.root / RESULTS).write_text("in the way")
    unwritable = study.stage("train", "penalized")
    return Broken(unreadable, unwritable, before, study.content(), study)


def test_corrupt_input_is_named_and_changes_nothing(broken: Broken) -> None:
    assert broken.unreadable.returncode == 1
    assert re.fullmatch(rf"error: .*{PREPARED}/train.npz: expected a NumPy archive.*\n", broken.unreadable.stderr)


def test_failed_training_leaves_other_outputs_alone_and_no_running_run(broken: Broken) -> None:
    assert broken.unwritable.returncode == 1
    assert str(RESULTS) in broken.unwritable.stderr
    assert "Traceback" not in broken.unwritable.stderr
    changed = {name for name in broken.before | broken.after if broken.before.get(name) != broken.after.get(name)}
    assert changed <= {str(RESULTS), *(f"{RESULTS}/{name}" for name in RESULT_FILES)}
    assert [run.info.status for _, run in broken.study.runs("attributes.status != 'FINISHED'")] == ["FAILED"]


@dataclass
class Killed:
    study: Study
    exit_codes: dict[str, int] = field(default_factory=dict)
    output: str = ""
    left_alive: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    ran_afterwards: set[str] = field(default_factory=set)
    epochs_afterwards: int = 0


@pytest.fixture(scope="module")
def killed(copy_study: Callable[[], Study]) -> Killed:
    """End a long training in more than one way, then have a short one."""
    study = copy_study()
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = LONG_TRAINING
    outcome = Killed(study)
    for how in ("Ctrl-C", "SIGTERM"):
        with training(study, "penalized") as (repro, trainer):
            if how == "Ctrl-C":
                os.killpg(repro.pid, signal.SIGINT)
            else:
                terminate_again_and_again(trainer)
            outcome.exit_codes[how] = repro.wait(LIMIT)
            _, alive = psutil.wait_procs([trainer], timeout=60)
        outcome.output += (study.root.parent / "repro.log").read_text()
        outcome.left_alive += [how for _ in alive]
        outcome.left_behind += [
            f"{how}: {path}"
            for path in (MODEL, *(RESULTS / name for name in RESULT_FILES))
            if (study.root / path).exists()
        ]
    outcome.statuses = [run.info.status for _, run in study.runs("attributes.status != 'FINISHED'")]
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 2
    outcome.ran_afterwards = study.repro("train@penalized")
    outcome.epochs_afterwards = len(study.table(str(RESULTS / "history.csv")))
    return outcome


def terminate_again_and_again(process: psutil.Process) -> None:
    """As when DVC and its stages are ended together: a stage gets a signal from that, and others from DVC's death.

    The first one starts the cleaning up, which the others must not stop.
    """
    deadline = time.monotonic() + LIMIT
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and time.monotonic() < deadline:
            process.terminate()
            time.sleep(0.01)


@contextlib.contextmanager
def training(study: Study, variant: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """`dvc repro` in the middle of training a variant: itself, and the stage."""
    command = (sys.executable, "-c", DVC_THAT_HEARS_CTRL_C, "repro", f"train@{variant}")
    with (study.root.parent / "repro.log").open("wb") as log:
        repro = subprocess.Popen(
            command, cwd=study.root, env=study.environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + LIMIT
        while not any(run.data.metrics for _, run in study.runs("attributes.status = 'RUNNING'")):
            if repro.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not train:\n{(study.root.parent / 'repro.log').read_text()}")
            time.sleep(0.5)
        children = psutil.Process(repro.pid).children(recursive=True)
        (trainer,) = [child for child in children if child.cmdline()[1:4] == ["-m", "pipeline.stages", "train"]]
        yield repro, trainer
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(repro.pid, signal.SIGKILL)
        repro.wait()


def test_killed_training_leaves_no_process_no_output_and_no_running_run(killed: Killed) -> None:
    assert 0 not in killed.exit_codes.values()
    assert "Traceback" not in killed.output
    assert killed.left_alive == []
    assert killed.left_behind == []
    assert killed.statuses == ["KILLED"] * len(killed.exit_codes)


def test_repro_goes_on_after_a_kill(killed: Killed) -> None:
    assert killed.ran_afterwards == {"train@penalized"}
    assert killed.epochs_afterwards == 2


@dataclass(frozen=True)
class Unreachable:
    uri: str
    training: subprocess.CompletedProcess[str]
    sync: str
    study: Study


@pytest.fixture(scope="module")
def unreachable(copy_study: Callable[[], Study]) -> Unreachable:
    """Train while the tracking server is away, and catch up later."""
    study = copy_study()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 3
    result = study.stage("train", "penalized", MLFLOW_TRACKING_URI=uri)
    return Unreachable(uri, result, study.sync(), study)


def test_training_outlives_an_unreachable_server(unreachable: Unreachable) -> None:
    assert unreachable.training.returncode == 0
    assert f"WARNING: MLflow at {unreachable.uri} could not be reached" in unreachable.training.stderr
    assert "python -m pipeline sync" in unreachable.training.stderr
    assert len(unreachable.study.table(str(RESULTS / "history.csv"))) == 3


def test_sync_publishes_what_was_trained_without_a_server(unreachable: Unreachable) -> None:
    assert unreachable.sync.startswith("1 created, 0 repaired")
    runs = [run for _, run in unreachable.study.runs() if run.info.run_name == "penalized"]
    assert {run.data.params["epochs"]: len(curve(unreachable.study.client(), run, "loss")) for run in runs} == {
        "1": 1,
        "3": 3,
    }
