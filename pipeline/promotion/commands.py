"""Promote a model version that passes the checks of its gate, restore the champion before, list the decisions.

A version is checked without a lock, because that takes seconds, and the decision is recorded under one; if another
process changed the champion meanwhile, the version is checked again, against the new one.
"""

from dataclasses import replace

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.io import git
from pipeline.io.paths import Workspace
from pipeline.promotion import checks, evidence
from pipeline.tracking import decisions, queries, registry
from pipeline.tracking.decisions import Check, Decision
from pipeline.tracking.queries import ModelState
from pipeline.tracking.registry import CHALLENGER

MAX_ATTEMPTS = 5


def promote(
    workspace: Workspace,
    params: Params,
    task: str,
    *,
    version: str = CHALLENGER,
    dry_run: bool = False,
    override: str | None = None,
) -> Decision:
    """Make a version the champion of a task's model if it passes every check, or if `override` gives a reason.

    `version` is a number or `challenger`; where there is no challenger, that is the champion itself. Unless it is a dry
    run, the decision is recorded, a refusal too. A version that is the champion already stays it, and nothing is
    checked or recorded; a dry run checks it all the same.

    Raises PipelineError when the task or version is unknown, its data are missing, or MLflow does not answer.
    """
    data = require(params.tasks, task, "task").dataset
    if task not in params.gates:
        raise PipelineError(f"params/studies.yaml: gates.{task}: required to promote, but missing. Add its thresholds.")
    gate, classes = params.gates[task], None if data in params.signals else params.datasets[data].classes
    if override is not None and not override.strip():
        raise PipelineError("--override: expected a reason, got none. Say why the checks do not count.")
    for _ in range(MAX_ATTEMPTS):
        state = queries.model_state(workspace, params, task)
        number = _wanted(state, version)
        found: list[Check] = []
        if dry_run or number != state.champion:
            found += checks.all_checks(gate, evidence.gather(workspace, params, task, state, number), classes)
        decision = _judged(task, state, number, found, override)
        if dry_run or decision.was_champion:
            return decision
        thresholds, commit = gate.model_dump(exclude_none=True), git.commit(workspace.root)
        recorded = registry.record(workspace, replace(decision, gate=thresholds, git_commit=commit))
        if recorded is not None:
            return recorded
    raise PipelineError(
        f"{task}: the champion was changed by others {MAX_ATTEMPTS} times while this version was judged. Try again."
    )


def rollback(workspace: Workspace, params: Params, task: str, reason: str | None = None) -> Decision:
    """Give a task's model the champion that it had before the present one.

    The version that loses its place is not proposed as challenger again by itself; naming it to `promote` is possible.
    Raises PipelineError when there was none before, or another process is changing the champion.
    """
    state = queries.model_state(workspace, params, task)
    before = None if state.champion is None else decisions.champion_before(state.history, state.champion)
    if state.champion is None or before is None:
        champion = "none" if state.champion is None else f"version {state.champion}"
        raise PipelineError(
            f"{state.model}: expected a champion before the present one ({champion}), but no decision tells of one. "
            "Nothing was changed."
        )
    if before not in state.versions:
        raise PipelineError(
            f"{state.model}: version {before} was champion before, but has been deleted. Name another: "
            f"`python -m pipeline promote {task} --version N`."
        )
    decision = Decision(
        action="rolled back",
        task=task,
        model=state.model,
        version=state.champion,
        variant=state.versions[state.champion].variant,
        champion_before=state.champion,
        champion_after=before,
        why=reason or "No reason was given.",
        git_commit=git.commit(workspace.root),
    )
    recorded = registry.record(workspace, decision)
    if recorded is None:
        raise PipelineError(f"{state.model}: another process changed the champion meanwhile. Nothing was changed.")
    return recorded


def _wanted(state: ModelState, version: str) -> int:
    known = ", ".join(map(str, state.versions)) or "(none)"
    if version == CHALLENGER:
        found = state.challenger or state.champion
        if found is not None:
            return found
        raise PipelineError(
            f"{state.model}: expected a challenger or a champion, but there is none. Name one of its versions "
            f"({known}) with --version."
        )
    if not (version.isascii() and version.isdigit() and int(version) in state.versions):
        raise PipelineError(
            f"--version: expected 'challenger' or a version of {state.model} ({known}), got {version!r}."
        )
    return int(version)


def _judged(task: str, state: ModelState, number: int, found: list[Check], override: str | None) -> Decision:
    failed = ", ".join(check.name for check in found if not check.passed)
    why = f"Failed: {failed}." if failed else "It passed every check."
    is_champion = override is not None or not failed
    return Decision(
        action="promoted" if is_champion else "refused",
        task=task,
        model=state.model,
        version=number,
        variant=state.versions[number].variant,
        champion_before=state.champion,
        champion_after=number if is_champion else state.champion,
        why=f"{override} ({why})" if override is not None else why,
        overridden=override is not None and bool(failed),
        checks=tuple(found),
    )
