"""Run the stages of a workspace side by side, each as soon as the stages that it depends on are done.

Where a stage starts up for longer than it computes, two at once take half the time of one `dvc repro`, which runs one
stage after the other. DVC itself allows it: `dvc repro --single-item` of different stages may run at the same time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

# What DVC says when another DVC process held its lock for too long: <https://dvc.org/doc/user-guide/troubleshooting>.
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
MAX_ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 1.0


@dataclass(frozen=True)
class Finished:
    """A stage that DVC has reproduced or failed to: what it printed, and for how many seconds it ran."""

    stage: str
    seconds: float
    failed: bool
    printed: str


def stale_stages(root: Path) -> dict[str, set[str]]:
    """The stages that are not up to date and all that depends on them, each with those of them that it depends on."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        needs = {stage.name: {needed.name for needed in graph.successors(stage)} for stage in graph}
        changed = {name.rpartition(":")[2] for name in repo.status()}
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
    environment: Mapping[str, str],
    on_finished: Callable[[Finished], None],
) -> Finished | None:
    """Reproduce the stages, `num_lanes` at a time, those first that most others wait for.

    After a stage that fails no other starts, those that run are awaited, and the failed one is returned.
    `on_finished` is told each stage when it is done.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    waiting = _num_waiting(needs)
    failure: Finished | None = None
    ready: list[str] = []
    running: set[Future[Finished]] = set()
    with ThreadPoolExecutor(num_lanes) as lanes:
        while order.is_active() and (running or failure is None):
            ready = sorted([*ready, *order.get_ready()], key=lambda stage: -waiting[stage])
            while ready and len(running) < num_lanes and failure is None:
                running.add(lanes.submit(_reproduce, root, ready.pop(0), environment))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for finished in (future.result() for future in done):
                on_finished(finished)
                if finished.failed:
                    failure = failure or finished
                else:
                    order.done(finished.stage)
    return failure


def _num_waiting(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """How many stages depend on each, directly or not."""
    dependents: dict[str, set[str]] = {stage: set() for stage in needs}
    for stage in reversed([*TopologicalSorter(needs).static_order()]):
        for needed in needs[stage]:
            dependents[needed] |= {stage} | dependents[stage]
    return {stage: len(names) for stage, names in dependents.items()}


def _reproduce(root: Path, stage: str, environment: Mapping[str, str]) -> Finished:
    begin = time.monotonic()
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        process = subprocess.run(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if not (process.returncode and any(text in process.stdout for text in LOCKED)):
            break
    return Finished(stage, time.monotonic() - begin, bool(process.returncode), process.stdout)
