"""Progress on a terminal, and silence elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EpochListener = Callable[[int, Mapping[str, float]], None]


@contextlib.contextmanager
def epochs(name: str, num_epochs: int) -> Iterator[EpochListener]:
    """A bar that advances with each epoch told to the listener, and shows the latest validation accuracy."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=num_epochs)

        def listener(epoch: int, values: Mapping[str, float]) -> None:
            accuracy = values["val_accuracy"]
            progress.update(task, completed=epoch, description=f"{name}: validation accuracy {accuracy:.4f}")

        yield listener
