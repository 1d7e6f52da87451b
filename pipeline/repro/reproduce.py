"""Bring a workspace up to date with its parameters: the stages that are not, side by side on all cores."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.repro import parallel
from pipeline.runtime import preloaded, process, progress

# A stage can take 1 GB of memory, a search 3 GB.
MAX_LANES = 4

# What DVC sets for a stage. From within one, DVC_ROOT would lead the runs to the store of the project around.
SET_FOR_A_STAGE = ("DVC_ROOT", "DVC_STAGE")


def reproduce(workspace: Workspace, *, subject: str, keep_going: bool = False, advice: str = "") -> int:
    """Run the stages that are not up to date; returns how many that were.

    After one that fails no other starts, or, to `keep_going`, those alone do that do not depend on it. Raises
    PipelineError, which speaks of the `subject` and ends with the `advice`, when a stage has failed.
    """
    process.collect_garbage_seldom()
    needs = parallel.stale_stages(workspace.root)
    with progress.stages(len(needs)) as shown, _environment(len(needs)) as environment:

        def on_finished(finished: parallel.Finished) -> None:
            shown.finish(finished.stage, finished.seconds, finished.failed)

        failures = parallel.run(
            workspace.root,
            needs,
            num_lanes=_num_lanes(),
            keep_going=keep_going,
            environment=environment,
            on_start=process.prepare_process,
            on_finished=on_finished,
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


def _environment(num_stages: int) -> AbstractContextManager[dict[str, str]]:
    """What to run so many stages in."""
    variables = {name: value for name, value in os.environ.items() if name not in SET_FOR_A_STAGE}
    environment = process.environment_of_stages({"DVC_NO_ANALYTICS": "true", **variables})
    # For a few it would not pay.
    return preloaded.server(environment) if num_stages > _num_lanes() else nullcontext(environment)


def _num_lanes() -> int:
    # The cores that this process may use: in a container that can be fewer than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, MAX_LANES)
