"""Run the stages of a workspace side by side, each as soon as the stages that it depends on are done.

Where a stage starts up for longer than it computes, two at once take half the time of one `dvc repro`, which runs one
stage after the other. DVC itself allows it: `dvc repro --single-item` of different stages may run at the same time.
Each lane is a process that calls DVC's command line for one stage after the other, because DVC takes about as long to
start as many a stage does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError
from pipeline.runtime import progress

# What DVC says when another DVC process held its lock for too long: <https://dvc.org/doc/user-guide/troubleshooting>.
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
MAX_ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 1.0
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Finished:
    """A stage that DVC has reproduced or failed to: what it printed, and for how many seconds it ran."""

    stage: str
    seconds: float
    failed: bool
    printed: str


def stale_stages(root: Path) -> dict[str, set[str]]:
    """The stages that are not up to date and all that depends on them, each with those of them that it depends on.

    Raises PipelineError where DVC cannot read its files.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            # What `dvc add` tracks is in the graph too, but is no stage that could run.
            stages = [stage for stage in graph if isinstance(stage, PipelineStage)]
            needs = {
                stage.name: {needed.name for needed in graph.successors(stage) if isinstance(needed, PipelineStage)}
                for stage in stages
            }
            changed = {name.rpartition(":")[2] for name in repo.status()}
    except DvcException as error:
        raise PipelineError(f"{root}: DVC cannot tell which stages are up to date: {error}") from None
    stale: set[str] = set()
    for name in TopologicalSorter(needs).static_order():
        if name in changed or needs[name] & stale:
            stale.add(name)
    return {name: needs[name] & stale for name in needs if name in stale}


def run(
    root: Path,
    needs: Mapping[str, set[str]],
    *,
    num_lanes: int,
    keep_going: bool,
    environment: Mapping[str, str],
    on_start: Callable[[], None],
    on_finished: Callable[[Finished], None],
    on_running: Callable[[Mapping[str, Path]], None],
) -> list[Finished]:
    """Reproduce the stages, `num_lanes` at a time, those first that most others wait for; returns those that failed.

    After one that fails no other starts, and those that run are awaited; to `keep_going` is to leave out only those
    that depend on it. `on_start` runs first in each lane; `on_finished` is told each stage when it is done;
    `on_running` again and again those that run, each with the file into which it writes how far it is. Raises
    PipelineError when a lane dies.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    waiting = _num_waiting(needs)
    failures: list[Finished] = []
    ready: list[str] = []
    running: dict[Future[Finished], str] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            num_lanes,
            multiprocessing.get_context("spawn"),
            initializer=_prepare_lane,
            initargs=(root, dict(environment), on_start),
        ) as lanes,
    ):
        files = {stage: Path(folder) / f"{number}.json" for number, stage in enumerate(needs)}
        while True:
            ready = sorted([*ready, *order.get_ready()], key=lambda stage: -waiting[stage])
            while ready and len(running) < num_lanes and (keep_going or not failures):
                stage = ready.pop(0)
                running[lanes.submit(_reproduce, stage, files[stage])] = stage
            if not running:
                return failures
            on_running({stage: files[stage] for stage in running.values()})
            done, _ = wait(running, SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                finished = _result(future)
                on_finished(finished)
                if finished.failed:
                    failures.append(finished)
                else:
                    order.done(finished.stage)


def _num_waiting(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """How many stages depend on each, directly or not."""
    dependents: dict[str, set[str]] = {stage: set() for stage in needs}
    for stage in reversed([*TopologicalSorter(needs).static_order()]):
        for needed in needs[stage]:
            dependents[needed] |= {stage} | dependents[stage]
    return {stage: len(names) for stage, names in dependents.items()}


def _result(future: Future[Finished]) -> Finished:
    try:
        return future.result()
    except BrokenProcessPool:
        raise PipelineError(
            "a process that runs DVC died, probably for want of memory. Free some; the same command goes on where it "
            "stopped."
        ) from None


def _prepare_lane(root: Path, environment: Mapping[str, str], on_start: Callable[[], None]) -> None:
    on_start()
    # Ctrl-C reaches every process: a lane that waits for work is ended by the one that gives it. Not SIG_IGN, which a
    # stage would inherit.
    signal.signal(signal.SIGINT, _do_nothing)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(root)


def _do_nothing(*_: object) -> None:
    pass


def _reproduce(stage: str, told_to: Path) -> Finished:
    from dvc.cli import main

    os.environ[progress.TOLD_TO] = str(told_to)
    begin = time.monotonic()
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        with tempfile.TemporaryFile() as file:
            with _printing_to(file), _interruptible():
                status = main(["repro", "--single-item", stage])
            file.seek(0)
            printed = file.read().decode(errors="replace")
        if not (status and any(text in printed for text in LOCKED)):
            break
    return Finished(stage, time.monotonic() - begin, bool(status), printed)


@contextlib.contextmanager
def _printing_to(file: IO[bytes]) -> Iterator[None]:
    """Write there what this process and those that it starts print."""
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end DVC, which otherwise would go on to start the stage."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
