"""Progress on a terminal, and silence elsewhere.

A stage that runs beside others cannot have the terminal: it writes how far it is into a file, which whoever started it
shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

# The variable that names the file, and how often it is written at most, but for the last time.
TOLD_TO = "PIPELINE_PROGRESS"
SECONDS_BETWEEN_WRITINGS = 0.5

EpochListener = Callable[[int, Mapping[str, float]], None]
StepListener = Callable[[str], None]


@dataclass(frozen=True)
class Told:
    """How far a stage is; `end` is when it will be done at this pace, in seconds since 1970, if that is known."""

    description: str
    completed: int
    total: int
    end: float | None


@contextlib.contextmanager
def epochs(name: str, num_epochs: int, *, figure: str = "val_accuracy") -> Iterator[EpochListener]:
    """A bar that advances with each epoch told to the listener, and shows the latest value of a validation figure.

    `figure` is the name of a column of the history that starts with `val_`.
    """
    shown = figure.replace("val_", "validation_").replace("_", " ")
    with _task(name, num_epochs) as tell:

        def listener(epoch: int, values: Mapping[str, float]) -> None:
            tell(epoch, f"{name}: {shown} {values[figure]:.4f}")

        yield listener


@contextlib.contextmanager
def steps(name: str, num_steps: int, *, done: int = 0) -> Iterator[StepListener]:
    """A bar that advances by one step with each text told to the listener, and shows the latest text.

    The first `done` steps were made before: the time left is estimated from the others.
    """
    with _task(name, num_steps, done=done) as tell:
        completed = done

        def listener(text: str) -> None:
            nonlocal completed
            completed += 1
            tell(completed, f"{name}: {text}")

        yield listener


@contextlib.contextmanager
def stages(num_stages: int) -> Iterator[Stages]:
    """A bar of all stages, and one of each that runs."""
    with _bars() as bars:
        yield Stages(bars, num_stages)


class Stages:
    """Shows which stages are done, each of them by a line too, which is printed without a terminal; and which run."""

    def __init__(self, bars: Progress, num_stages: int) -> None:
        self._bars = bars
        self._num_stages = num_stages
        self._num_done = 0
        self._all = bars.add_task("stages", total=num_stages, end=None)
        self._running: dict[str, TaskID] = {}

    def finish(self, stage: str, seconds: float, failed: bool) -> None:
        """A stage is done, or failed."""
        self._num_done += 1
        self._bars.update(self._all, completed=self._num_done)
        verb = "failed" if failed else "done"
        text = f"[{self._num_done}/{self._num_stages}] {stage}: {verb} after {seconds:.0f} s"
        if self._bars.disable:
            print(text, flush=True)
        else:
            self._bars.console.print(text, markup=False, highlight=False)

    def show(self, files: Mapping[str, Path]) -> None:
        """These stages run; each writes how far it is into its file."""
        for stage in self._running.keys() - files.keys():
            self._bars.remove_task(self._running.pop(stage))
        for stage, file in files.items():
            if stage not in self._running:
                self._running[stage] = self._bars.add_task(stage, total=None, end=None)
            told = read(file)
            if told:
                self._bars.update(self._running[stage], **asdict(told))


def read(file: Path) -> Told | None:
    """What a stage wrote last; nothing when it has not yet."""
    try:
        return Told(**json.loads(file.read_bytes()))
    except OSError:
        return None


@contextlib.contextmanager
def _task(name: str, total: int, *, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A bar, of which `done` steps were made before, and who tells it how many are completed and what to show."""
    start = time.time()
    file = os.environ.get(TOLD_TO)
    last_writing = 0.0
    with _bars() as bars:
        task = bars.add_task(name, total=total, completed=done, end=None)

        def tell(completed: int, description: str) -> None:
            nonlocal last_writing
            now = time.time()
            end = now + (now - start) / (completed - done) * (total - completed) if completed > done else None
            told = Told(description, completed, total, end)
            bars.update(task, **asdict(told))
            if file and (completed == total or now - last_writing >= SECONDS_BETWEEN_WRITINGS):
                last_writing = now
                _write(Path(file), told)

        if file:
            _write(Path(file), Told(name, done, total, None))
        yield tell


def _write(file: Path, told: Told) -> None:
    part = file.with_suffix(".part")
    # Whoever shows it may be gone, its folder too: no reason to stop.
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(asdict(told)))
        part.replace(file)


class _TimeLeft(ProgressColumn):
    """Until the end that the task was told of. (Rich's own column forgets steps that were made 30 seconds ago.)"""

    def render(self, task: Task) -> Text:
        end = task.fields["end"]
        if end is None or task.finished:
            return Text("")
        return Text(f"{timedelta(seconds=max(0, round(end - time.time())))} left")


def _bars() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _TimeLeft())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
