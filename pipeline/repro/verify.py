"""Run stages again in a clean copy of the project, and compare what they write with dvc.lock.

The copy lies in the system's temporary folder and has an MLflow store of its own; inputs that DVC keeps are links to
its cache. Nothing of the workspace is written, however this ends.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from rich.table import Column, Table
from rich.text import Text
from ruamel.yaml import YAML

from pipeline.errors import PipelineError
from pipeline.io import dvc_lock, git
from pipeline.io.dvc_lock import LockedStage
from pipeline.io.paths import Workspace
from pipeline.repro.demo import copy
from pipeline.runtime import process

# Copied whole: of the package, DVC only watches the modules that can change a result.
COPIED = ("pipeline", "dvc.yaml", dvc_lock.NAME, "params.yaml", "params")
SCRATCH = "regularization-verify-"
LOCK = "lock"
LAST_LINES = 12

Outcome = Literal["same", "different", "failed"]


@dataclass(frozen=True)
class Project:
    """The stages of dvc.yaml, in its order: `stages` are in dvc.lock and can be verified, `not_run` are not in it.

    `cache` is the folder where DVC keeps contents by their hash.
    """

    root: Path
    stages: Mapping[str, LockedStage]
    not_run: tuple[str, ...]
    cache: Path


@dataclass(frozen=True)
class Rerun:
    """A stage that was run again: whether its outputs are the same, and `detail`, the first difference or the error.

    `changed_inputs` are the files and keys that are no longer what dvc.lock was made from, which explains a difference.
    """

    stage: str
    outcome: Outcome
    num_outputs: int
    seconds: float
    detail: str = ""
    changed_inputs: tuple[str, ...] = ()


def open_project(workspace: Workspace) -> Project:
    """Read dvc.yaml and dvc.lock. Raises PipelineError when there are none, or they are damaged."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    root = workspace.root.resolve()
    if not (root / "dvc.yaml").is_file():
        raise PipelineError(f"{root / 'dvc.yaml'}: not found. Run the command in the folder that holds dvc.yaml.")
    try:
        with Repo(str(root)) as repository:
            # A stage's `addressing` would depend on the working folder.
            found = [stage for stage in repository.index.stages if isinstance(stage, PipelineStage)]
            addresses = [stage.name for stage in found if stage.outs]
            cache = Path(repository.cache.local.path)
    except DvcException as error:
        raise PipelineError(f"{root}: DVC cannot read the project: {error}. {git.advice(error)}.") from None
    locked = dvc_lock.read(root)
    stages = {address: locked[address] for address in addresses if address in locked}
    return Project(root, stages, tuple(address for address in addresses if address not in locked), cache)


def choose(project: Project, names: Sequence[str], *, sample: int | None = None, seed: int = 0) -> list[str]:
    """The stages to verify, in the order of dvc.yaml: those named by address (`train@digits_64x64`) or group (`train`).

    Without names all that have run. Of these, `sample` picks as many at random. Raises PipelineError when a name is
    unknown, a named stage has not run, or none is left.
    """
    known = {address: address.partition("@")[0] for address in (*project.stages, *project.not_run)}
    groups = sorted(set(known.values()))
    for name in names:
        if name not in known and name not in groups:
            raise PipelineError(
                f"unknown stage {name!r}; expected an address such as {next(iter(known), 'train@name')}, or one of "
                f"the groups: {', '.join(groups) or '(none)'}. `dvc stage list` has all addresses."
            )
    missing = [address for address in project.not_run if address in names]
    chosen = [address for address in project.stages if not names or {address, known[address]} & set(names)]
    if missing or not chosen:
        raise PipelineError(
            f"{project.root / dvc_lock.NAME}: expected {', '.join(missing or names) or 'a stage'}, got none. "
            f"Run `dvc repro{''.join(f' {name}' for name in missing or names)}` first."
        )
    if sample is None or sample >= len(chosen):
        return chosen
    picked = set(random.Random(seed).sample(chosen, sample))
    return [address for address in chosen if address in picked]


def verify(project: Project, addresses: Sequence[str]) -> Iterator[Rerun]:
    """Run each stage in a fresh copy of its own, and compare its outputs with dvc.lock.

    Raises PipelineError when an input is neither in DVC's cache nor in the workspace, or the copy cannot be written.
    """
    with _scratch() as scratch:
        for address in addresses:
            clean = scratch / "copy"
            with _copy_errors(scratch):
                changed = _fill(project, project.stages[address], clean)
            yield _verify(project, project.stages[address], clean, scratch, changed)
            shutil.rmtree(clean)


def table(reruns: Sequence[Rerun]) -> Table:
    """The stages that were run again, as a table for a terminal."""
    shown = Table(
        Column("stage", overflow="fold"),
        Column("outputs", justify="right"),
        Column("seconds", justify="right"),
        "bytes",
        Column("first difference", overflow="fold"),
        title="Run again in a clean copy, and compared with dvc.lock",
        title_justify="left",
    )
    for rerun in reruns:
        lines = [rerun.detail] if rerun.detail else []
        if rerun.changed_inputs:
            lines.append(f"changed since dvc.lock was written: {', '.join(rerun.changed_inputs)}")
        shown.add_row(
            Text(rerun.stage),
            str(rerun.num_outputs),
            f"{rerun.seconds:.1f}",
            Text(rerun.outcome, style="green" if rerun.outcome == "same" else "red"),
            Text("\n".join(lines)),
        )
    return shown


def _verify(project: Project, stage: LockedStage, clean: Path, scratch: Path, changed: tuple[str, ...]) -> Rerun:
    start = time.monotonic()
    log = scratch / "output.txt"
    with log.open("wb") as output:
        # The command that `dvc repro` runs, as it runs it: by a shell.
        status = subprocess.run(
            stage.command,
            shell=True,
            cwd=clean,
            env=_environment(project.root, stage, scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    seconds = time.monotonic() - start
    detail = "" if status else next(_differences(project, stage, clean), "")
    outcome: Outcome = "failed" if status else "different" if detail else "same"
    if status:
        lines = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
        printed = "\n".join(lines[-LAST_LINES:]) or "(no output)"
        detail = f"exit status {status}: {printed}"
    return Rerun(stage.address, outcome, len(stage.outputs), seconds, detail, changed)


def _environment(root: Path, stage: LockedStage, scratch: Path) -> dict[str, str]:
    """The user's variables, but with an MLflow store of its own, and of DVC's variables only the name of the stage."""
    foreign = ("DVC_", "MLFLOW_", "PIPELINE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch / 'mlflow' / 'mlflow.db'}"
    environment["DVC_STAGE"] = stage.address
    mirror = environment.get("DATASET_MIRROR")
    if mirror and (root / mirror).is_dir():
        environment["DATASET_MIRROR"] = str((root / mirror).resolve())
    return process.environment_of_stages(environment)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder with a lock; those that killed processes left behind, whose locks are free, go first."""
    base = Path(tempfile.gettempdir())
    for lock in base.glob(f"{SCRATCH}*/{LOCK}"):
        with contextlib.suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)
    with contextlib.ExitStack() as held:
        with _copy_errors(base):
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True))
            held.enter_context(FileLock(Path(folder) / LOCK))
        yield Path(folder)


@contextlib.contextmanager
def _copy_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PipelineError(
            f"{error.filename or folder}: the clean copy cannot be made: {error.strerror or error}. "
            "Free space there, or set TMPDIR to another folder."
        ) from error


def _fill(project: Project, stage: LockedStage, clean: Path) -> tuple[str, ...]:
    """Make the copy; returns the inputs of the stage that are not what dvc.lock was made from."""
    outputs = {path: digest for item in project.stages.values() for path, digest in item.outputs.items()}
    inputs = {path for item in project.stages.values() for path in item.dependencies}
    for path in (*COPIED, *(path for path in inputs if not any(dvc_lock.overlap(path, output) for output in outputs))):
        copy(project.root / path, clean / path)
    others = {path: digest for path, digest in outputs.items() if path not in stage.outputs}
    absent = [path for path, digest in others.items() if not _place(project, path, digest, clean / path)]
    for dependency in stage.dependencies:
        for path in absent:
            if dvc_lock.overlap(path, dependency):
                raise PipelineError(
                    f"{path}: an input of {stage.address} that is neither in DVC's cache ({project.cache}) nor in the "
                    f"workspace. Run `dvc pull` where there is a remote, otherwise `dvc repro {stage.address}`."
                )
        if not (clean / dependency).exists():
            path = str(project.root / dependency)
            raise PipelineError(f"{path}: an input of {stage.address}, but the file is missing. Restore it from Git.")
    changed = [path for path, digest in stage.dependencies.items() if dvc_lock.hash_of(clean / path) != digest]
    return (*changed, *_changed_parameters(stage, clean))


def _place(project: Project, path: str, digest: str, destination: Path) -> bool:
    """Put an output of another stage into the copy, linked to DVC's cache or else copied; returns whether it exists.

    A link costs nothing for hundreds of megabytes, and is safe: cached files are read-only, and stages replace files,
    they never write into them.
    """
    cached = {name: _cache_path(project, content) for name, content in _listed(project, digest).items()}
    if not cached or not all(path.is_file() for path in cached.values()):
        copy(project.root / path, destination)
        return destination.exists()
    for name, content in cached.items():
        file = destination / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(content)
    return True


def _listed(project: Project, digest: str) -> dict[str, str]:
    """The files of an output by their path below it (`.` of a file itself) with their hashes; none if that is unknown.

    The cache holds the list of a folder's files.
    """
    if not digest.endswith(dvc_lock.FOLDER_SUFFIX):
        return {".": digest}
    try:
        entries = json.loads(_cache_path(project, digest).read_text())
        return {entry["relpath"]: entry["md5"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _cache_path(project: Project, digest: str) -> Path:
    return project.cache / digest[:2] / digest[2:]


def _changed_parameters(stage: LockedStage, root: Path) -> Iterator[str]:
    for file, values in stage.parameters.items():
        content = YAML(typ="safe").load(root / file)
        for key, expected in values.items():
            value = content
            for part in key.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value != expected:
                yield f"{file}: {key}"


def _differences(project: Project, stage: LockedStage, clean: Path) -> Iterator[str]:
    """Each output that differs from dvc.lock; of a folder, its first file that does, if that can be known."""
    for path, expected in stage.outputs.items():
        made = clean / path
        if not made.exists():
            yield f"{path}: not written"
        elif (received := dvc_lock.hash_of(made)) != expected:
            yield f"{path}{_first_file(project, path, expected, made)}: {received}, expected {expected}"


def _first_file(project: Project, path: str, expected: str, made: Path) -> str:
    kept, listed = project.root / path, _listed(project, expected)
    if not listed and kept.is_dir() and dvc_lock.hash_of(kept) == expected:
        listed = dvc_lock.manifest(kept)
    if not listed or not made.is_dir():
        return ""
    return f" ({min(name for name, _ in listed.items() ^ dvc_lock.manifest(made).items())})"
