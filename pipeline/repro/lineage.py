"""Lineage: what a registered model was made from, and which runs and model versions a variant or an output led to.

MLflow's runs carry DVC's hashes of the outputs that they are about; dvc.lock, the present one and those in Git's
history, says what these outputs were made from.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from pipeline.errors import PipelineError
from pipeline.io import dvc_lock, git
from pipeline.io.dvc_lock import LockedStage
from pipeline.io.paths import Workspace
from pipeline.tracking import queries
from pipeline.tracking.queries import TrackedRun, TrackedVersion

MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?P<version>@[^/@]+|/[0-9]+)")
Lock = Mapping[str, LockedStage]

HASH = re.compile(r"[0-9a-f]{6,32}(\.dir)?")


@dataclass(frozen=True)
class Origin:
    """What a model version was made from, and how to make it again.

    `inputs` are the hashes of its stage's dependencies by path, empty if no known dvc.lock has the stage's outputs.
    `commit` is the first commit whose dvc.lock has them, `recorded_at` the one that was checked out when the run was
    recorded. `commands` reproduce the model; `note` says what may prevent that.
    """

    version: TrackedVersion
    run: TrackedRun
    commit: str | None
    recorded_at: str | None
    inputs: Mapping[str, str]
    commands: tuple[str, ...]
    note: str

    def as_text(self) -> Group:
        """For a terminal."""
        run, version = self.run, self.version
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        facts = {
            "model": f"models:/{version.model}/{version.version}{aliases}",
            "run": f"{run.run_id} ({run.experiment}: {run.name})",
            "variant": run.variant or "",
            "DVC stage": run.stage,
            "Git commit": self.commit or "(none has this dvc.lock)",
            "recorded at": self.recorded_at or "(outside Git)",
        }
        parts: list[Any] = [_grid(facts)]
        data = {path: digest for path, digest in self.inputs.items() if not path.startswith("pipeline/")}
        code = len(self.inputs) - len(data)
        for title, entries in (
            ("made by DVC, by MD5", run.outputs),
            (f"made from, by MD5 (and {code} files of code)", data),
            ("datasets, by SHA-256 of their arrays", run.datasets),
        ):
            if entries:
                parts += [Text(f"\n{title}", style="bold"), _grid(entries)]
        parts.append(Text("\nto make it again, and to compare the bytes", style="bold"))
        parts += [Text(f"  {command}", no_wrap=True, overflow="ignore") for command in self.commands]
        if self.note:
            parts.append(Text(f"\n{self.note}", style="yellow"))
        return Group(*parts)


@dataclass(frozen=True)
class Descent:
    """What a variant or an output led to: runs, oldest first, and versions of registered models.

    `asked` is the variant or the hash, `output` the path that has the hash. `stages` are those of the variant, or those
    that depend on the output. `current` are the ids of the runs whose outputs the workspace's dvc.lock has.
    """

    asked: str
    output: str | None
    stages: tuple[str, ...]
    runs: tuple[TrackedRun, ...]
    versions: tuple[TrackedVersion, ...]
    current: tuple[str, ...]

    def as_text(self) -> Group:
        """For a terminal."""
        what = f"{self.output} ({self.asked})" if self.output else self.asked
        states = {run.run_id: "now" if run.run_id in self.current else "before" for run in self.runs}
        runs = _table(
            f"Runs that came of {what}",
            ("experiment", "run", "id", "DVC stage", "in dvc.lock"),
            [(run.experiment, run.name, run.run_id, run.stage, states[run.run_id]) for run in self.runs],
        )
        versions = _table(
            "Model versions",
            ("version", "aliases", "variant", "run"),
            [
                (f"models:/{item.model}/{item.version}", ", ".join(item.aliases), item.variant or "", item.run_id)
                for item in self.versions
            ],
        )
        silent = [stage for stage in self.stages if stage not in {run.stage for run in self.runs}]
        note = [Text(f"Stages after it without a run of their own: {', '.join(silent)}")] if silent else []
        return Group(runs, versions if self.versions else Text("No model version."), *note)


def trace(workspace: Workspace, what: str) -> Origin | Descent:
    """The lineage of `models:/NAME@ALIAS` or `models:/NAME/VERSION`, of a variant, or of a DVC output by its hash.

    Six digits of a hash are enough. Raises PipelineError when it is unknown, or MLflow cannot be reached.
    """
    if what.startswith("models:"):
        return _origin(workspace, what)
    found = queries.all_runs(workspace)
    if runs := [run for run in found if run.variant == what]:
        stages = dict.fromkeys(run.stage for run in runs)
        return _descent(workspace, what, None, stages, runs)
    if HASH.fullmatch(what):
        return _descent_of_output(workspace, what, found)
    variants = sorted({run.variant for run in found if run.variant})
    raise PipelineError(
        f"{what!r}: expected models:/NAME@ALIAS, models:/NAME/VERSION, the hash of an output in dvc.lock (six "
        f"digits or more), or a variant with runs in MLflow: {', '.join(variants) or '(none)'}. "
        "`python -m pipeline sync` records what the workspace holds."
    )


def _origin(workspace: Workspace, what: str) -> Origin:
    match = MODEL.fullmatch(what)
    if match is None:
        raise PipelineError(f"{what!r}: expected models:/NAME@ALIAS or models:/NAME/VERSION.")
    version, run = queries.version_at(workspace, match["name"], match["version"])
    root = workspace.root.resolve()
    repro, again = f"dvc repro {run.stage}", f"python -m pipeline verify {run.stage}"
    digest = next(iter(run.outputs.values()), None)
    committed = _committed_locks(root, digest, "--reverse", f"-S{digest}") if digest else ()
    first = next((item for item in committed if _is_of(item[1], run)), None)
    commit, lock = first or (None, dvc_lock.read(root))
    if _is_of(lock, run):
        note = "No commit has these outputs in its dvc.lock yet: commit it, so that this state can be found again."
        if git.commit(root) is None:
            note = f"No commit is known: {git.refusal(root)}"
        commands = (f"git checkout {commit} && {repro}" if commit else repro, again)
        return Origin(version, run, commit, run.commit, lock[run.stage].dependencies, commands, "" if commit else note)
    note = (
        "No dvc.lock is known, here or in Git's history, that has these outputs: what was checked out when the run was "
        "recorded may have had other changes."
        if run.outputs
        else "The run does not say which outputs it is of. `python -m pipeline sync` adds that if they are still here."
    )
    command = f"git checkout {run.commit} && {repro}" if run.commit else repro
    return Origin(version, run, None, run.commit, {}, (command,), note)


def _is_of(lock: Lock, run: TrackedRun) -> bool:
    """Whether a run is about the outputs of its stage in a dvc.lock; it may list others too, made from them."""
    outputs = lock[run.stage].outputs if run.stage in lock else {}
    return bool(outputs) and outputs.items() <= run.outputs.items()


def _committed_locks(root: Path, text: str, *options: str) -> Iterator[tuple[str, Lock]]:
    """The commits that changed dvc.lock and in whose version, if undamaged, a text is found; with the stages there.

    None outside a Git repository.
    """
    for commit in (git.output(root, "log", "--format=%H", *options, "--", dvc_lock.NAME) or "").split():
        content = git.output(root, "show", f"{commit}:./{dvc_lock.NAME}") or ""
        # Parsing takes a second.
        if text in content:
            with contextlib.suppress(PipelineError):
                yield commit, dvc_lock.parse(content, f"{commit}:{dvc_lock.NAME}")


def _descent_of_output(workspace: Workspace, prefix: str, found: list[TrackedRun]) -> Descent:
    """The runs that an output led to: that of its stage, and those of all stages after it in the same dvc.lock."""
    root = workspace.root.resolve()
    # Later stages may have changed while the output did not, so every commit counts.
    locks = [dvc_lock.read(root), *(lock for _, lock in _committed_locks(root, prefix))]
    matches = {
        (digest, path): address
        for lock in locks
        for address, stage in lock.items()
        for path, digest in stage.outputs.items()
        if digest.startswith(prefix)
    }
    if not matches:
        raise PipelineError(
            f"{prefix}: expected the hash of an output in dvc.lock, or a variant with runs in MLflow; neither dvc.lock "
            "nor Git's history of it has an output with it."
        )
    if len({digest for digest, _ in matches}) > 1:
        listed = ", ".join(f"{digest} ({path})" for digest, path in sorted(matches))
        raise PipelineError(f"{prefix}: expected more digits, because several outputs begin so: {listed}.")
    after = [
        stages_after(lock, address)
        for lock in locks
        for (digest, path), address in matches.items()
        if address in lock and lock[address].outputs.get(path) == digest
    ]
    runs = [run for run in found if any(_is_of(lock, run) for lock in after)]
    ((digest, path), *_) = matches
    return _descent(workspace, digest, path, dict.fromkeys(address for lock in after for address in lock), runs)


def stages_after(lock: Lock, address: str) -> dict[str, LockedStage]:
    """A stage, and every stage that reads what it or another of them wrote, in the order of the lock file."""
    reached = {address}
    while True:
        outputs = [path for name in reached for path in lock[name].outputs]
        reading = {
            name
            for name, stage in lock.items()
            if any(dvc_lock.overlap(path, output) for path in stage.dependencies for output in outputs)
        }
        if reading <= reached:
            return {name: stage for name, stage in lock.items() if name in reached}
        reached |= reading


def _descent(
    workspace: Workspace, asked: str, output: str | None, stages: Iterable[str], runs: list[TrackedRun]
) -> Descent:
    lock, ids = dvc_lock.read(workspace.root), {run.run_id for run in runs}
    versions = [item for item in queries.all_versions(workspace) if item.variant == asked or item.run_id in ids]
    current = sorted(run.run_id for run in runs if _is_of(lock, run))
    return Descent(asked, output, tuple(stages), tuple(runs), tuple(versions), tuple(current))


def _grid(entries: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, value in entries.items():
        grid.add_row(Text(f"  {name}"), Text(value, overflow="fold"))
    return grid


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(*(Column(name, overflow="fold") for name in columns), title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
