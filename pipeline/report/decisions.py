"""Decisions about promotion and the history of a model's champions, for a terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from pipeline.errors import PipelineError
from pipeline.tracking.decisions import Check, Decision


def promotion(decision: Decision, *, is_dry_run: bool) -> RenderableType:
    """Every check with what it measured, and the outcome."""
    subject = f"{decision.model}: version {decision.version} ({decision.variant})"
    if decision.was_champion and not is_dry_run:
        return Text(f"{subject} is the champion already; nothing was changed.")
    return Group(_checks(decision.checks), Text(_outcome(subject, decision, is_dry_run=is_dry_run)))


def summary(decision: Decision) -> RenderableType:
    """What a rollback did."""
    return Text(
        f"{decision.model}: version {decision.champion_after} is the champion again, in place of version "
        f"{decision.version} ({decision.variant}). Decision {decision.number}, by {decision.who}: {decision.why}"
    )


def table(history: Sequence[Decision]) -> RenderableType:
    """One line per decision."""
    if not history:
        return Text("No decision was recorded.")
    shown = _table("", "when (UTC)", "who", "version", "decision", "champion", "why")
    for item in history:
        before, after = (
            "none" if number is None else str(number) for number in (item.champion_before, item.champion_after)
        )
        shown.add_row(
            str(item.number),
            item.when.removesuffix("+00:00").replace("T", " "),
            item.who,
            f"{item.version} ({item.variant})",
            f"{item.action}{' by override' if item.overridden else ''}",
            after if before == after else f"{before} → {after}",
            # Brackets in a reason are no markup.
            Text(item.why),
        )
    return shown


def details(history: Sequence[Decision], number: int) -> RenderableType:
    """One decision with its checks. Raises PipelineError for an unknown number."""
    for item in history:
        if item.number == number:
            commit = f" Commit {item.git_commit[:8]}." if item.git_commit else ""
            head = f"{item.when}, {item.who}: version {item.version} ({item.variant}) {item.action}. {item.why}{commit}"
            return Group(Text(head), _checks(item.checks)) if item.checks else Text(head)
    known = ", ".join(str(item.number) for item in history) or "(none)"
    raise PipelineError(f"--number: expected one of {known}, got {number}.")


def _checks(checks: Iterable[Check]) -> Table:
    shown = _table("", "check", "measured", "required")
    for check in checks:
        mark = Text("pass", style="green") if check.passed else Text("FAIL", style="bold red")
        shown.add_row(mark, Text(check.name), Text(check.measured), Text(check.required))
    return shown


def _table(*columns: str) -> Table:
    return Table(*(Column(name, overflow="fold") for name in columns), box=SIMPLE, pad_edge=False)


def _outcome(subject: str, decision: Decision, *, is_dry_run: bool) -> str:
    failed, is_champion = ", ".join(check.name for check in decision.failed), decision.action == "promoted"
    before = "" if decision.champion_before is None else f", in place of version {decision.champion_before}"
    if is_dry_run and decision.was_champion:
        return f"{subject} is the champion already, and would {'pass' if is_champion else 'fail'} today."
    if is_dry_run:
        would = f"would become the champion{before}" if is_champion else f"would be refused. Failed: {failed}"
        return f"{subject} {would}. A dry run: nothing was changed."
    despite = f". Failed: {failed}" if failed else ""
    outcome = f"the champion now{before}" if is_champion else "refused"
    return f"{subject} is {outcome}{despite}. Decision {decision.number}."
