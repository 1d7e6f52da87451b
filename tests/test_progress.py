from __future__ import annotations

import contextlib
import io

import pytest

from pipeline import progress


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
        listener(3, values)
    return stream.getvalue()


def steps_on(stream: io.StringIO) -> str:
    with contextlib.redirect_stderr(stream), progress.steps("search", 9, done=4) as listener:
        listener("256x32")
        listener("256x64")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        ("val_accuracy", "narrow: validation accuracy 0.1235"),
        ("val_mean_absolute_error", "narrow: validation mean absolute error 0.1235"),
    ],
)
def test_epochs_show_the_figure_and_how_many_are_done(figure: str, shown: str) -> None:
    said = epochs_on(Terminal(), {"loss": 9.0, figure: 0.12345}, figure=figure)
    assert shown in said
    assert "3/12" in said


def test_epochs_show_the_validation_accuracy_unless_told_otherwise() -> None:
    assert "validation accuracy 0.5000" in epochs_on(Terminal(), {"val_accuracy": 0.5})


def test_steps_go_on_from_those_that_were_done() -> None:
    said = steps_on(Terminal())
    assert "search: 256x64" in said
    assert "6/9" in said


def test_nothing_is_said_without_a_terminal() -> None:
    assert epochs_on(io.StringIO(), {"val_accuracy": 0.5}) == ""
    assert steps_on(io.StringIO()) == ""
