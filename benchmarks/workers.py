"""One measurement, one process: a job is a function of a module here, called with JSON and answering with it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def measure(job: str, **arguments: Any) -> dict[str, Any]:
    """Run a job, `module.function`, in a process of its own on `threads` cores; its answer, and its `wall` seconds.

    Raises RuntimeError with what the process said when it fails.
    """
    start = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers", job, json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - start
    if finished.returncode:
        raise RuntimeError(f"{job} {arguments}: exit status {finished.returncode}\n{finished.stderr[-2000:]}")
    # A library may have written before it.
    return {"wall": wall, **json.loads(finished.stdout.splitlines()[-1])}


def limit_cores(number: int) -> None:
    """Keep this process and its children to so many cores: a library that takes all there are gets no more."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])


def main(job: str, arguments: str) -> None:
    """Do one job and print its answer."""
    module, _, function = job.rpartition(".")
    parsed = json.loads(arguments)
    limit_cores(parsed["threads"])
    answer = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**parsed)
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
