from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.runtime import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream alone decides whether it is a terminal, and its width is known."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")


def epochs_on(stream: io.StringIO, values: dict[str, float], **options: str) -> str:
    # Not by a fixture: pytest puts its own stream in place before the test begins.
    with contextlib.redirect_stderr(stream), progress.epochs("narrow", 12, **options) as listener:
        for epoch in (1, 2, 3):
            listener(epoch, values)
    return stream.getvalue()


def steps_on(stream: io.StringIO) -> str:
    with contextlib.redirect_stderr(stream), progress.steps("search", 9, done=4) as listener:
        listener("256x32")
        listener("256x64")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("val_accuracy", "narrow: validation accuracy 0.1235"),
        ("val_mean_absolute_error", "narrow: validation mean absolute error 0.1235"),
    ],
)
def test_epochs_show_the_metric_and_how_many_are_done(metric: str, shown: str) -> None:
    said = epochs_on(Terminal(), {"loss": 9.0, metric: 0.12345}, metric=metric)
    assert shown in said
    assert "3/12" in said


def test_epochs_show_the_validation_accuracy_unless_told_otherwise() -> None:
    assert "validation accuracy 0.5000" in epochs_on(Terminal(), {"val_accuracy": 0.5})


def test_steps_go_on_from_those_that_were_done() -> None:
    said = steps_on(Terminal())
    assert "search: 256x64" in said
    assert "6/9" in said


def test_the_time_left_is_that_of_the_steps_made_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("pipeline.runtime.progress.time.time", lambda: now[0])
    with contextlib.redirect_stderr(Terminal()) as stream, progress.steps("search", 9, done=4) as listener:
        now[0] += 60
        listener("256x32")
    # One in a minute: four more take four.
    assert "0:04:00 left" in stream.getvalue()


def test_a_stage_tells_the_file_that_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    monkeypatch.setenv(progress.FILE_VARIABLE, str(file))
    assert progress.read(file) is None
    with progress.epochs("narrow", 12) as listener:
        assert progress.read(file) == progress.State("narrow", 0, 12, None)
        listener(1, {"val_accuracy": 0.5})
        told = progress.read(file)
        listener(2, {"val_accuracy": 0.6})
        assert progress.read(file) == told, "not written again at once"
        for epoch in range(3, 13):
            listener(epoch, {"val_accuracy": 0.7})
        done = progress.read(file)
    assert told is not None
    assert (told.description, told.completed, told.total) == ("narrow: validation accuracy 0.5000", 1, 12)
    assert told.end is not None
    assert done is not None
    assert done.completed == 12
    assert [path.name for path in tmp_path.iterdir()] == ["told.json"]


def test_a_stage_goes_on_when_nobody_is_there_to_be_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(progress.FILE_VARIABLE, str(tmp_path / "gone" / "told.json"))
    with progress.epochs("narrow", 12) as listener:
        listener(1, {"val_accuracy": 0.5})


def test_the_stages_that_run_are_shown_until_they_no_longer_do(tmp_path: Path) -> None:
    told, silent = tmp_path / "told.json", tmp_path / "silent.json"
    told.write_text(json.dumps(asdict(progress.State("narrow: validation accuracy 0.5000", 3, 12, None))))
    with contextlib.redirect_stderr(Terminal()) as stream, progress.stages(3) as shown:
        shown.show({"train@narrow": told, "train@wide": silent})
        shown.finish("train@narrow", 7.4, False)
        before = len(stream.getvalue())
        shown.show({"train@wide": silent})
    first, last = stream.getvalue()[:before], stream.getvalue()[before:]
    assert "[1/3] train@narrow: done after 7 s" in first
    assert "narrow: validation accuracy 0.5000" in first
    assert "3/12" in first
    assert "train@wide" in last
    assert "narrow" not in last


def test_nothing_is_said_without_a_terminal() -> None:
    assert epochs_on(io.StringIO(), {"val_accuracy": 0.5}) == ""
    assert steps_on(io.StringIO()) == ""
