"""Bring a workspace up to date as `dvc repro` does, but on all cores: each stage runs as soon as what it needs is done.

`dvc repro` runs one stage after the other. Where stages spend more time starting up than computing, two at a time take
half as long. DVC allows it: `dvc repro --single-item` of different stages may run at the same time. Each worker is a
process that calls DVC's command line for one stage after the other, because DVC itself takes about as long to start as
many a stage.
"""

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

from pipeline.errors import PipelineError
from pipeline.io import git
from pipeline.io.paths import Workspace
from pipeline.runtime import fork_server, process, progress

# A stage can take 1 GB of memory, a search 3 GB.
MAX_WORKERS = 4

# What DVC sets for a stage. If a stage started this, DVC_ROOT would lead the MLflow runs to the store of its project.
SET_FOR_A_STAGE = ("DVC_ROOT", "DVC_STAGE")

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


def reproduce(workspace: Workspace, *, subject: str, keep_going: bool = False, advice: str = "") -> int:
    """Run the stages that are not up to date; returns how many those were.

    After a failure no other stage starts or, with `keep_going`, only those that depend on the failed one are left out.
    Raises PipelineError, which names the `subject` and ends with the `advice`, when a stage has failed.
    """
    process.collect_garbage_seldom()
    needs = stale_stages(workspace.root)
    variables = {name: value for name, value in os.environ.items() if name not in SET_FOR_A_STAGE}
    environment = process.environment_of_stages({"DVC_NO_ANALYTICS": "true", **variables})
    # The cores that this process may use: in a container that can be fewer than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    num_workers = min(cores, MAX_WORKERS)
    # For a few stages, importing packages ahead of them would not pay.
    preloading = fork_server.started(environment) if len(needs) > num_workers else contextlib.nullcontext(environment)
    with progress.stages(len(needs)) as shown, preloading as environment:
        failures = run(
            workspace.root,
            needs,
            num_workers=num_workers,
            keep_going=keep_going,
            environment=environment,
            on_finished=lambda finished: shown.finish(finished.stage, finished.seconds, finished.failed),
            on_running=shown.show,
        )
    if failures:
        names = ", ".join(failure.stage for failure in failures)
        end = f"was finished but for {names} and what depends on it" if keep_going else f"stopped at {names}"
        printed = "\n\n".join(f"{failure.stage} printed:\n\n{failure.printed.strip()}" for failure in failures)
        raise PipelineError(
            f"{subject} {end}.\n\n{printed}\n\n"
            f"Mend what is named there, then run it again: it goes on where it stopped. {advice}".rstrip()
        )
    return len(needs)


def stale_stages(root: Path) -> dict[str, set[str]]:
    """The stages that are not up to date and all that depend on them, each with those of them that it needs itself.

    Raises PipelineError where DVC cannot read its files.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            # Not what `dvc add` tracks, which cannot be run, nor what is for plain `dvc repro`: it runs every time.
            stages = [stage for stage in graph if isinstance(stage, PipelineStage) and not stage.always_changed]
            needs = {
                stage.name: {needed.name for needed in graph.successors(stage) if isinstance(needed, PipelineStage)}
                for stage in stages
            }
            changed = {name.rpartition(":")[2] for name in repo.status()}
    except DvcException as error:
        raise PipelineError(
            f"{root}: DVC cannot tell which stages are up to date: {error}. {git.advice(error)}."
        ) from None
    stale: set[str] = set()
    for name in TopologicalSorter(needs).static_order():
        if name in changed or needs[name] & stale:
            stale.add(name)
    return {name: needs[name] & stale for name in needs if name in stale}


def run(
    root: Path,
    needs: Mapping[str, set[str]],
    *,
    num_workers: int,
    keep_going: bool,
    environment: Mapping[str, str],
    on_finished: Callable[[Finished], None],
    on_running: Callable[[Mapping[str, Path]], None],
) -> list[Finished]:
    """Reproduce the stages, `num_workers` at a time, first those that most others wait for; returns those that failed.

    `needs` has the stages to run, each with those it waits for. After a failure no other stage starts, or with
    `keep_going` none that depends on it; those that run already are awaited. `on_finished` is called with each stage
    that is done, `on_running` about twice a second with those that run, each with the file that has its progress.
    Raises PipelineError when a worker dies.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    waiting = _num_waiting(needs)
    failures: list[Finished] = []
    ready: list[str] = []
    running: dict[Future[Finished], str] = {}
    spawn, arguments = multiprocessing.get_context("spawn"), (root, dict(environment))
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(num_workers, spawn, _prepare_worker, arguments) as workers,
    ):
        files = {stage: Path(folder) / f"{number}.json" for number, stage in enumerate(needs)}
        while True:
            ready = sorted([*ready, *order.get_ready()], key=lambda stage: -waiting[stage])
            while ready and len(running) < num_workers and (keep_going or not failures):
                stage = ready.pop(0)
                running[workers.submit(_reproduce, stage, files[stage])] = stage
            if not running:
                return failures
            on_running({stage: files[stage] for stage in running.values()})
            done, _ = wait(running, SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                try:
                    finished = future.result()
                except BrokenProcessPool:
                    died = "a process that runs DVC died, probably for want of memory"
                    raise PipelineError(f"{died}. Free some; the same command goes on where it stopped.") from None
                on_finished(finished)
                if finished.failed:
                    failures.append(finished)
                else:
                    order.done(finished.stage)


def _num_waiting(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """The number of stages that depend on each stage, directly or not."""
    dependents: dict[str, set[str]] = {stage: set() for stage in needs}
    for stage in reversed([*TopologicalSorter(needs).static_order()]):
        for needed in needs[stage]:
            dependents[needed] |= {stage} | dependents[stage]
    return {stage: len(names) for stage, names in dependents.items()}


def _prepare_worker(root: Path, environment: Mapping[str, str]) -> None:
    process.prepare_process()
    # Ctrl-C reaches every process; the process that hands out the work ends the workers. Not SIG_IGN, which a stage
    # would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(root)


def _reproduce(stage: str, progress_file: Path) -> Finished:
    from dvc.cli import main

    os.environ[progress.FILE_VARIABLE] = str(progress_file)
    begin = time.monotonic()
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        with tempfile.TemporaryFile() as file:
            with process.printing_to(file, 1, 2), _interruptible():
                status = main(["repro", "--single-item", stage])
            file.seek(0)
            printed = file.read().decode(errors="replace")
        if not (status and any(text in printed for text in LOCKED)):
            break
    return Finished(stage, time.monotonic() - begin, bool(status), printed)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end DVC before it starts the stage."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
