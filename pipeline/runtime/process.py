"""The start and the end of the pipeline's processes: signals, exit status, death with the parent, garbage collection.

Slow imports are left to the stage that needs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.io.paths import Workspace

# <linux/prctl.h>: the signal that this process gets when its parent dies.
PR_SET_PDEATHSIG = 1

# New objects before Python searches for reference cycles again; its default is 700. Imports create a million objects
# that stay, and so does DVC when it reads its lock: a quarter of the time went into searching them over and over.
OBJECTS_BETWEEN_COLLECTIONS = 50_000

Stage = Callable[["Workspace", "Params", str], None]


def run(stage: Stage, name: str) -> None:
    """Load the parameters and run the stage on an item, or DVC's STAGE@ITEM. A user's mistake ends in one message."""
    from pipeline.config.load import load_params
    from pipeline.io.paths import Workspace

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminate)
    workspace = Workspace(Path.cwd())
    try:
        # What comes before may hold the path of dvc.yaml; no item's name has an @.
        stage(workspace, load_params(workspace.root), name.rpartition("@")[2])
    except PipelineError as error:
        sys.exit(f"error: {error}")


def environment_of_stages(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment to run DVC or a stage in: stages are started as `python -m ...`, which must be this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    return {**environment, "PATH": path}


@contextlib.contextmanager
def printing_to(file: IO[bytes], *descriptors: int) -> Iterator[None]:
    """Let a file have what this process, its libraries and its children write to stdout (1) or stderr (2)."""
    sys.stderr.flush()
    kept = [os.dup(number) for number in descriptors]
    try:
        for number in descriptors:
            os.dup2(file.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip(descriptors, kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


def prepare_process() -> None:
    """To be called first in each process: it then ends with its parent, and seldom searches for reference cycles."""
    die_with_parent()
    collect_garbage_seldom()


def collect_garbage_seldom() -> None:
    """Search for reference cycles less often than by Python's default."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


def die_with_parent() -> None:
    """End this process when DVC is killed: an orphan would go on writing while the next repro runs the same stage."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1 and "DVC_STAGE" in os.environ and not _starts_stages(1):
            sys.exit("error: DVC has ended before its stage began.")


def _starts_stages(process: int) -> bool:
    """Whether a process is DVC or of this package: in a container, process 1, which adopts orphans, may be DVC."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return any(name in command for name in (b"dvc", b"pipeline"))


def _terminate(number: int, frame: FrameType | None) -> None:
    # Further signals must not interrupt the clean-up that the first one starts.
    for further in (signal.SIGTERM, signal.SIGINT):
        signal.signal(further, signal.SIG_IGN)
    # As an exception, so that open runs are closed and temporary files removed on the way out.
    sys.exit(128 + number)
