"""Progress bars on a terminal, and nothing elsewhere.

A stage that runs in parallel with others has no terminal: it writes its progress into a file, and the process that
started it shows it.
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

# The environment variable that names the file. The file is written at most this often, and at the last step.
FILE_VARIABLE = "PIPELINE_PROGRESS"
SECONDS_BETWEEN_WRITINGS = 0.5

EpochListener = Callable[[int, Mapping[str, float]], None]
StepListener = Callable[[str], None]


@dataclass(frozen=True)
class State:
    """The progress of a stage; `end` is when it will be done at this pace, in seconds since 1970; None at the start."""

    description: str
    completed: int
    total: int
    end: float | None


@contextlib.contextmanager
def epochs(name: str, num_epochs: int, *, metric: str = "val_accuracy") -> Iterator[EpochListener]:
    """A bar that advances with each epoch passed to the listener, and shows `metric`, which starts with `val_`."""
    shown = metric.replace("val_", "validation_").replace("_", " ")
    with steps(name, num_epochs) as advance:
        yield lambda _, values: advance(f"{shown} {values[metric]:.4f}")


@contextlib.contextmanager
def steps(name: str, num_steps: int, *, done: int = 0) -> Iterator[StepListener]:
    """A bar that advances by one step with each text passed to the listener, and shows the latest text.

    The first `done` steps were made before; they do not count for the estimate of the time left.
    """
    start = time.time()
    file = os.environ.get(FILE_VARIABLE)
    completed, last_writing = done, 0.0
    with _bars() as bars:
        task = bars.add_task(name, total=num_steps, completed=done, end=None)

        def advance(text: str) -> None:
            nonlocal completed, last_writing
            completed += 1
            now = time.time()
            end = now + (now - start) / (completed - done) * (num_steps - completed)
            state = State(f"{name}: {text}", completed, num_steps, end)
            bars.update(task, **asdict(state))
            if file and (completed == num_steps or now - last_writing >= SECONDS_BETWEEN_WRITINGS):
                last_writing = now
                _write(Path(file), state)

        if file:
            _write(Path(file), State(name, done, num_steps, None))
        yield advance


@contextlib.contextmanager
def stages(num_stages: int) -> Iterator[Stages]:
    """A bar of all stages, and one of each that runs."""
    with _bars() as bars:
        yield Stages(bars, num_stages)


class Stages:
    """Shows the running stages as bars; each stage that ends is a line, which is printed without a terminal too."""

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
        """Show the stages that run; each writes its progress into its file."""
        for stage in self._running.keys() - files.keys():
            self._bars.remove_task(self._running.pop(stage))
        for stage, file in files.items():
            if stage not in self._running:
                self._running[stage] = self._bars.add_task(stage, total=None, end=None)
            state = read(file)
            if state:
                self._bars.update(self._running[stage], **asdict(state))


def read(file: Path) -> State | None:
    """What a stage wrote last; None before it has written."""
    try:
        return State(**json.loads(file.read_bytes()))
    except OSError:
        return None


def _write(file: Path, state: State) -> None:
    part = file.with_suffix(".part")
    # The process that shows it may have ended and removed the folder, which must not stop the stage.
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(asdict(state)))
        part.replace(file)


class _TimeLeft(ProgressColumn):
    """Time until the estimated end. Rich's own column forgets steps that were made 30 seconds ago."""

    def render(self, task: Task) -> Text:
        end = task.fields["end"]
        if end is None or task.finished:
            return Text("")
        return Text(f"{timedelta(seconds=max(0, round(end - time.time())))} left")


def _bars() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _TimeLeft())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
