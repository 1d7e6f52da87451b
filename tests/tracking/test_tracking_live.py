"""The live run of a training stage: what is seen meanwhile, and every way that it can end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pipeline.tracking import live, publish, runs


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for the thread that writes a live run."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def train_live(stages: Any, name: str = "small", *, seed: float = 0.0) -> None:
    """What the training stage does."""
    with live.training_run(stages.workspace, stages.params, name) as run:
        for epoch in range(1, stages.params.all_variants[name].epochs + 1):
            run.log_epoch(epoch, stages.epoch(epoch, seed))
        stages.train(name, seed=seed)


def test_curves_are_there_while_it_trains(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.01)
    with live.training_run(stages.workspace, stages.params, "small") as run:
        run.log_epoch(1, stages.epoch(1))
        wait_until(lambda: "val_accuracy" in stages.view.run("digits", "small").data.metrics)
        seen = stages.view.run("digits", "small")
        assert seen.info.status == "RUNNING"
        assert seen.data.params["layers"] == "64 dropout 0.2 batch_norm; 16"
        assert seen.data.tags["dvc_stage"] == "train@small"
        assert stages.view.curve(seen, "val_accuracy") == [(1, 1.5)]
        stages.train("small")


def test_a_run_that_ends_well_is_complete(stages: Any) -> None:
    stages.prepare()
    train_live(stages)
    run = stages.view.run("digits", "small")
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert stages.view.curve(run, "val_accuracy") == [(1, 1.5), (2, 2.5), (3, 3.5)]
    assert run.data.metrics["best_val_accuracy"] == 0.95
    assert run.data.metrics["wall_seconds"] > 0
    assert run.data.metrics["peak_memory_mib"] > 10
    assert {"host", "platform", "version.python", "version.keras", "content_key"} <= run.data.tags.keys()
    assert len(run.outputs.model_outputs) == 1


def test_publishing_after_a_live_run_changes_nothing(stages: Any) -> None:
    train_live(stages)
    before = stages.view.run("digits", "small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    after = stages.view.run("digits", "small")
    assert (after.info.run_id, after.data.metrics) == (before.info.run_id, before.data.metrics)
    assert len(stages.view.curve(after, "loss")) == 3


def test_the_other_study_of_a_variant_gets_its_run_too(stages: Any) -> None:
    train_live(stages, "large")
    assert stages.view.run("activity", "large").info.status == "FINISHED"


def test_the_same_outputs_again_leave_the_first_run(stages: Any) -> None:
    train_live(stages)
    first = stages.view.run("digits", "small").info.run_id
    train_live(stages)
    assert stages.view.run("digits", "small").info.run_id == first
    (dropped,) = stages.view.runs("digits", deleted=True)
    assert dropped.info.status == "FINISHED"


def test_other_outputs_make_another_run(stages: Any) -> None:
    train_live(stages)
    train_live(stages, seed=1.0)
    assert len(stages.view.runs("digits")) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("diverged"), "FAILED"),
        (MemoryError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
    ],
)
def test_an_exception_closes_the_run(stages: Any, error: BaseException, status: str) -> None:
    def fail() -> None:
        with live.training_run(stages.workspace, stages.params, "small") as run:
            run.log_epoch(1, stages.epoch(1))
            raise error

    with pytest.raises(type(error)):
        fail()
    run = stages.view.run("digits", "small")
    assert run.info.status == status
    assert stages.view.curve(run, "loss") == [(1, 1.0)]
    assert "content_key" not in run.data.tags


def test_a_stage_that_saved_nothing_fails(stages: Any) -> None:
    with (
        pytest.raises(Exception, match="missing"),
        live.training_run(stages.workspace, stages.params, "small"),
    ):
        pass
    assert stages.view.run("digits", "small").info.status == "FAILED"


LIVE_STAGE = """
import signal, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
with live.training_run(workspace, params, "small") as run:
    run.log_epoch(1, {"loss": 1.5})
    print("training", flush=True)
    time.sleep(60)
"""


def test_sigterm_ends_the_run_as_killed(stages: Any) -> None:
    with stages.process(LIVE_STAGE) as process:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    run = stages.view.run("digits", "small")
    assert run.info.status == "KILLED"
    assert stages.view.curve(run, "loss") == [(1, 1.5)]


def test_sync_closes_the_run_of_a_process_that_was_shot(stages: Any) -> None:
    with stages.process(LIVE_STAGE) as process:
        assert process.stdout.readline() == "training\n"
        report = publish.synchronize(stages.workspace, stages.params)
        assert report.closed == []
        process.kill()
        process.communicate(timeout=60)
    assert stages.view.run("digits", "small").info.status == "RUNNING"
    report = publish.synchronize(stages.workspace, stages.params)
    assert len(report.closed) == 1
    assert stages.view.run("digits", "small").info.status == "KILLED"


def test_the_next_training_closes_the_run_of_one_that_was_shot(stages: Any) -> None:
    with stages.process(LIVE_STAGE) as process:
        assert process.stdout.readline() == "training\n"
        process.kill()
        process.communicate(timeout=60)
    train_live(stages)
    assert sorted(run.info.status for run in stages.view.runs("digits")) == ["FINISHED", "KILLED"]


def refuse(*arguments: object) -> None:
    raise MlflowException("the server is gone")


def test_a_store_that_dies_meanwhile_is_one_warning(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.01)
    with live.training_run(stages.workspace, stages.params, "small") as run:
        monkeypatch.setattr(runs, "log_points", refuse)
        for epoch in (1, 2, 3):
            run.log_epoch(epoch, stages.epoch(epoch))
            wait_until(lambda: run.broken)
        stages.train("small")
    message = capsys.readouterr().err
    assert message.count("the server is gone") == 1
    assert "Everything trained is kept" in message
    monkeypatch.undo()
    publish.synchronize(stages.workspace, stages.params)
    (finished,) = [run for run in stages.view.runs("digits") if run.info.status == "FINISHED"]
    assert len(stages.view.curve(finished, "loss")) == 3


def test_a_store_that_comes_back_before_the_end_gets_the_whole_run(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.01)
    with live.training_run(stages.workspace, stages.params, "small") as run:
        with monkeypatch.context() as away:
            away.setattr(runs, "log_points", refuse)
            run.log_epoch(1, stages.epoch(1))
            wait_until(lambda: run.broken)
            run.log_epoch(2, stages.epoch(2))
        stages.train("small")
    assert capsys.readouterr().err.count("the server is gone") == 1
    run = stages.view.run("digits", "small")
    assert run.info.status == "FINISHED"
    assert stages.view.curve(run, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_store_that_was_away_at_the_start_gets_the_run_at_the_end(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = live.training_run(stages.workspace, stages.params, "small")
    with monkeypatch.context() as away:
        away.setattr(live, "connect", refuse)
        run = training.__enter__()
    run.log_epoch(1, stages.epoch(1))
    stages.train("small")
    training.__exit__(None, None, None)
    assert capsys.readouterr().err.count("WARNING") == 1
    assert stages.view.run("digits", "small").info.status == "FINISHED"


def test_long_runs_log_every_nth_epoch_and_the_last(make_stages: Callable[..., Any]) -> None:
    stages = make_stages(num_epochs=999)
    train_live(stages)
    run = stages.view.run("digits", "small")
    assert [step for step, _ in stages.view.curve(run, "loss")] == list(range(3, 1000, 4))
