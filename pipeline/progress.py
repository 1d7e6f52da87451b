"""Progress on a terminal, and silence elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EpochListener = Callable[[int, Mapping[str, float]], None]
StepListener = Callable[[str], None]
StageListener = Callable[[str, float, bool], None]


@contextlib.contextmanager
def epochs(name: str, num_epochs: int, *, figure: str = "val_accuracy") -> Iterator[EpochListener]:
    """A bar that advances with each epoch told to the listener, and shows the latest value of a validation figure.

    `figure` is the name of a column of the history that starts with `val_`.
    """
    shown = figure.replace("val_", "validation_").replace("_", " ")
    with _bar() as progress:
        task = progress.add_task(name, total=num_epochs)

        def listener(epoch: int, values: Mapping[str, float]) -> None:
            progress.update(task, completed=epoch, description=f"{name}: {shown} {values[figure]:.4f}")

        yield listener


@contextlib.contextmanager
def steps(name: str, num_steps: int, *, done: int = 0) -> Iterator[StepListener]:
    """A bar that advances by one step with each text told to the listener, and shows the latest text.

    The first `done` steps were made before: the time left is estimated from the others.
    """
    with _bar() as progress:
        task = progress.add_task(name, total=num_steps, completed=done)

        def listener(text: str) -> None:
            progress.update(task, advance=1, description=f"{name}: {text}")

        yield listener


@contextlib.contextmanager
def stages(num_stages: int) -> Iterator[StageListener]:
    """A bar that advances with each stage told to the listener by its name, its seconds and whether it failed.

    Each stage also gets a line, which is printed without a terminal too.
    """
    with _bar() as progress:
        task = progress.add_task("stages", total=num_stages)
        done = 0

        def listener(stage: str, seconds: float, failed: bool) -> None:
            nonlocal done
            done += 1
            progress.update(task, completed=done)
            text = f"[{done}/{num_stages}] {stage}: {'failed' if failed else 'done'} after {seconds:.0f} s"
            if progress.disable:
                print(text, flush=True)
            else:
                progress.console.print(text, markup=False, highlight=False)

        yield listener


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
