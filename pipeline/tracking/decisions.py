"""Decisions about champions: which version was promoted, refused or rolled back, when, by whom and why.

Only MLflow holds them: they are made by people, and are no outputs of stages. Each is a tag of the version that it is
about, and an artifact of that version's run. They are numbered per registered model.
"""

import datetime
import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from pipeline.errors import PipelineError

Action = Literal["registered", "promoted", "refused", "rolled back"]

TAG_PREFIX = "decision_"
FOLDER = "decisions"


@dataclass(frozen=True)
class Check:
    """One condition of a promotion; `measured` and `required` are for people."""

    name: str
    passed: bool
    measured: str
    required: str


@dataclass(frozen=True)
class Decision:
    """What was decided about one version; `number` counts the decisions about a registered model from 1.

    `why` begins with the reason of an override if `overridden`. `champion_before` and `champion_after` are version
    numbers, None without a champion. `when` is UTC in ISO 8601. A decision that is not recorded has neither `when` nor
    `who`, and the number 0.
    """

    action: Action
    task: str
    model: str
    version: int
    variant: str
    champion_before: int | None
    champion_after: int | None
    why: str
    overridden: bool = False
    checks: tuple[Check, ...] = ()
    gate: Mapping[str, float | None] | None = None
    git_commit: str | None = None
    when: str = ""
    who: str = ""
    number: int = 0

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]

    @property
    def was_champion(self) -> bool:
        return self.champion_before == self.version


def read(client: MlflowClient, model: str) -> list[Decision]:
    """Every decision about a registered model, the first one first."""
    versions = client.search_model_versions(f"name = '{model}'")
    found = [
        _parsed(model, version, name, text)
        for version in versions
        for name, text in version.tags.items()
        if name.startswith(TAG_PREFIX)
    ]
    return sorted(found, key=lambda decision: decision.number)


def write(client: MlflowClient, version: ModelVersion, decision: Decision) -> Decision:
    """Store a decision, completed by its number, the time and the user. The caller must hold the store's lock."""
    known = read(client, decision.model)
    complete = replace(
        decision,
        number=max((item.number for item in known), default=0) + 1,
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        who=getpass.getuser(),
    )
    content = asdict(complete)
    path = f"{FOLDER}/{decision.model}-{complete.number:04d}.json"
    # A version that was registered by hand may have no run.
    if version.run_id:
        client.log_text(version.run_id, json.dumps(content, indent=2) + "\n", path)
    tag = f"{TAG_PREFIX}{complete.number:04d}"
    client.set_model_version_tag(decision.model, version.version, tag, json.dumps(content))
    return complete


def champion_before(history: Sequence[Decision], champion: int) -> int | None:
    """The version that was champion before the present one according to the decisions; rollbacks lead back to it."""
    line: list[int] = []
    for decision in history:
        if decision.action in ("registered", "promoted"):
            # Somebody may have moved the alias by hand meanwhile.
            if decision.champion_before is not None and line[-1:] != [decision.champion_before]:
                line.append(decision.champion_before)
            line.append(decision.version)
        elif decision.action == "rolled back":
            if line[-1:] == [decision.version]:
                line.pop()
            if decision.champion_after is not None and line[-1:] != [decision.champion_after]:
                line.append(decision.champion_after)
    if line[-1:] == [champion]:
        line.pop()
    return line[-1] if line else None


def _parsed(model: str, version: ModelVersion, name: str, text: str) -> Decision:
    try:
        content = json.loads(text)
        return Decision(**{**content, "checks": tuple(Check(**check) for check in content["checks"])})
    except (ValueError, TypeError, KeyError) as error:
        raise PipelineError(
            f"{model}, version {version.version}: expected a decision in the tag {name!r}, "
            f"got {text[:80]!r} ({error}). Delete the tag; the artifact of the version's run still holds the decision."
        ) from None
