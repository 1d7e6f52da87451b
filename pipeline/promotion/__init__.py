"""Champions: promote a challenger if it meets its gate, restore the one before, list what was decided.

A promotion is judged without a lock, for that takes seconds, and settled under one; if another process changed the
champion meanwhile, it is judged again, against the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.config.studies import Gate
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.promotion import checks as gates
from pipeline.promotion import evidence, worktree
from pipeline.promotion.checks import Check
from pipeline.tracking import decisions
from pipeline.tracking import promotion as tracked
from pipeline.tracking.decisions import Decision
from pipeline.tracking.promotion import Standing

CHALLENGER = "challenger"
MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Verdict:
    """What came of a promotion, or would come of it: `decision` is None if nothing was recorded.

    `is_champion` says that the version is the champion, or would be after a dry run; `was_champion` that it was already
    and nothing was done; then there are checks after a dry run only.
    """

    model: str
    version: int
    variant: str
    champion_before: int | None
    checks: tuple[Check, ...]
    is_champion: bool
    was_champion: bool
    decision: Decision | None = None

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]


def promote(
    workspace: Workspace,
    params: Params,
    task: str,
    *,
    version: str = CHALLENGER,
    dry_run: bool = False,
    override: str | None = None,
) -> Verdict:
    """Make a version the champion of a task's model if it passes every check, or if `override` gives a reason.

    `version` is a number or `challenger`; where there is no challenger, that is the champion itself. Unless it is a dry
    run, the decision is recorded, a refusal too. A version that is the champion already stays it, and nothing is
    recorded; a dry run checks it all the same.

    Raises PipelineError when the task or version is unknown, its data are missing, or MLflow does not answer.
    """
    gate = _gate(params, task)
    if override is not None and not override.strip():
        raise PipelineError("--override: expected a reason, got none. Say why the checks do not count.")
    for _ in range(MAX_ATTEMPTS):
        standing = tracked.standing(workspace, params, task)
        number = _wanted(standing, version)
        variant = standing.versions[number].variant
        if number == standing.champion and not dry_run:
            return Verdict(standing.model, number, variant, number, (), is_champion=True, was_champion=True)
        checks = judge(workspace, params, task, gate, standing, number)
        verdict = Verdict(
            standing.model,
            number,
            variant,
            standing.champion,
            checks,
            is_champion=override is not None or all(check.passed for check in checks),
            was_champion=number == standing.champion,
        )
        if dry_run:
            return verdict
        settled = tracked.settle(workspace, standing, _decision(workspace, params, task, verdict, override))
        if settled is not None:
            return Verdict(**{**vars(verdict), "decision": settled})
    raise PipelineError(
        f"{task}: the champion was changed by others {MAX_ATTEMPTS} times while this version was judged. Try again."
    )


def judge(
    workspace: Workspace, params: Params, task: str, gate: Gate, standing: Standing, number: int
) -> tuple[Check, ...]:
    """The checks of a version against the present champion."""
    found = evidence.gather(workspace, params, task, standing, number)
    data = params.tasks[task].dataset
    if data in params.signals:
        return tuple(gates.checks_of_regressor(gate, found))
    return tuple(gates.checks_of_classifier(gate, found, params.datasets[data].classes))


def rollback(workspace: Workspace, params: Params, task: str, reason: str | None = None) -> Decision:
    """Give a task's model the champion that it had before the present one.

    The version that loses its place is not proposed as challenger again by itself; naming it to `promote` is possible.
    Raises PipelineError when there was none before, or another process is changing the champion.
    """
    require(params.tasks, task, "task")
    standing = tracked.standing(workspace, params, task)
    before = None if standing.champion is None else decisions.champion_before(standing.history, standing.champion)
    if standing.champion is None or before is None:
        raise PipelineError(
            f"{standing.model}: expected a champion before the present one "
            f"({_numbered(standing.champion)}), but no decision tells of one. Nothing was changed."
        )
    if before not in standing.versions:
        raise PipelineError(
            f"{standing.model}: version {before} was champion before, but has been deleted. Name another: "
            f"`python -m pipeline promote {task} --version N`."
        )
    settled = tracked.settle(
        workspace,
        standing,
        Decision(
            action="rolled back",
            task=task,
            model=standing.model,
            version=standing.champion,
            variant=standing.versions[standing.champion].variant if standing.champion in standing.versions else "",
            champion_before=standing.champion,
            champion_after=before,
            why=reason or "No reason was given.",
            git_commit=worktree.read(workspace.root).commit,
        ),
    )
    if settled is None:
        raise PipelineError(f"{standing.model}: another process changed the champion meanwhile. Nothing was changed.")
    return settled


def history(workspace: Workspace, params: Params, task: str) -> Sequence[Decision]:
    """Every decision about a task's model, the first one first. Raises PipelineError for an unknown task."""
    require(params.tasks, task, "task")
    return tracked.standing(workspace, params, task).history


def _gate(params: Params, task: str) -> Gate:
    require(params.tasks, task, "task")
    if task not in params.gates:
        raise PipelineError(f"params/studies.yaml: gates.{task}: required to promote, but missing. Add its thresholds.")
    return params.gates[task]


def _wanted(standing: Standing, version: str) -> int:
    known = ", ".join(map(str, standing.versions)) or "(none)"
    if version == CHALLENGER:
        found = standing.challenger or standing.champion
        if found is not None and found in standing.versions:
            return found
        raise PipelineError(
            f"{standing.model}: expected a challenger or a champion, but there is none. Name one of its versions "
            f"({known}) with --version."
        )
    if not (version.isascii() and version.isdigit() and int(version) in standing.versions):
        raise PipelineError(
            f"--version: expected 'challenger' or a version of {standing.model} ({known}), got {version!r}."
        )
    return int(version)


def _decision(workspace: Workspace, params: Params, task: str, verdict: Verdict, override: str | None) -> Decision:
    failed = ", ".join(check.name for check in verdict.failed)
    is_overridden = override is not None and bool(failed)
    why = f"Failed: {failed}." if failed else "It passed every check."
    return Decision(
        action="promoted" if verdict.is_champion else "refused",
        task=task,
        model=verdict.model,
        version=verdict.version,
        variant=verdict.variant,
        champion_before=verdict.champion_before,
        champion_after=verdict.version if verdict.is_champion else verdict.champion_before,
        why=f"{override} ({why})" if override is not None else why,
        overridden=is_overridden,
        checks=tuple(asdict(check) for check in verdict.checks),
        gate=params.gates[task].model_dump(exclude_none=True),
        git_commit=worktree.read(workspace.root).commit,
    )


def _numbered(champion: int | None) -> str:
    return "none" if champion is None else f"version {champion}"
