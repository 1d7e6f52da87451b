"""Promotions, refusals and rollbacks against a real store: aliases, decisions, two processes at once, and sync."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.promotion import commands, evidence
from pipeline.tracking import loading, publish, queries, store
from pipeline.tracking.decisions import Decision
from tests.tracking import command_line, promotable, store_copies
from tests.tracking.promotable import GATE, TASK, git

PREDICT = """
import os
os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
import keras
import numpy as np
images, labels = (np.load(workspace.prepared("mnist", "test"))[name] for name in ("images", "labels"))
for name in ("small", "large"):
    model = keras.saving.load_model(workspace.model(name, params.all_variants[name]))
    probabilities = keras.ops.convert_to_numpy(model(images.astype("float32")))
    np.savez(workspace.predictions("digits") / f"{name}.npz", probabilities=probabilities, labels=labels)
"""


@pytest.fixture(scope="module")
def all_ready(make_stages_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Version 1 (small) is champion, version 2 (large) challenger, all is evaluated and committed."""
    with store_copies.without_settings():
        return promotable.make_ready(make_stages_in(tmp_path_factory.mktemp("ready")))


@pytest.fixture
def ready(all_ready: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same for one test alone."""
    return store_copies.copy(all_ready, tmp_path / "project", monkeypatch)


@pytest.fixture
def served(ready: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, but logged models are not loaded: they give what is stored, or what a test sets in `outputs`."""
    stored = np.load(ready.workspace.predictions("digits") / "small.npz")["probabilities"]
    fake = SimpleNamespace(outputs={1: stored, 2: stored})

    @contextlib.contextmanager
    def open_version(workspace: Any, version: Any) -> Iterator[Any]:
        outputs = fake.outputs[version.version]
        if outputs is None:
            raise loading.UnusableModelError("it cannot be loaded: OSError: gone", "")
        yield SimpleNamespace(
            path=ready.keras_file,
            signature=loading.expected_signature(ready.params, TASK),
            predict=lambda inputs: outputs[: len(inputs)],
        )

    monkeypatch.setattr(loading, "open_version", open_version)
    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    return fake


def promote(stages: Any, **options: Any) -> Decision:
    return commands.promote(stages.workspace, stages.params, TASK, **options)


def rollback(stages: Any, reason: str | None = None) -> Any:
    return commands.rollback(stages.workspace, stages.params, TASK, reason)


def decided(stages: Any) -> tuple[Decision, ...]:
    return queries.model_state(stages.workspace, stages.params, TASK).history


def history(stages: Any) -> list[tuple[str, int, int | None, int | None]]:
    found = decided(stages)
    assert [item.number for item in found] == list(range(1, len(found) + 1))
    return [(item.action, item.version, item.champion_before, item.champion_after) for item in found]


def aliases(stages: Any) -> dict[str, int]:
    registered = stages.view.client.get_registered_model(TASK).aliases
    return {alias: int(version) for alias, version in registered.items()}


FIRST = ("registered", 1, None, 1)


def test_a_challenger_that_passes_becomes_champion(ready: Any, served: Any) -> None:
    assert aliases(ready) == {"champion": 1, "challenger": 2}
    verdict = promote(ready)
    assert (verdict.action, verdict.failed) == ("promoted", [])
    assert aliases(ready) == {"champion": 2}
    assert history(ready) == [FIRST, ("promoted", 2, 1, 2)]


def test_a_decision_is_a_tag_of_the_version_and_an_artifact_of_its_run(ready: Any, served: Any) -> None:
    promote(ready)
    client = ready.view.client
    version = client.get_model_version(TASK, "2")
    path = client.download_artifacts(version.run_id, f"decisions/{TASK}-0002.json")
    stored = json.loads(Path(path).read_text())
    assert json.loads(version.tags["decision_0002"]) == stored
    assert [check["name"] for check in stored["checks"]][:2] == ["not worse than the champion", "accuracy"]
    assert all(check["passed"] and check["measured"] and check["required"] for check in stored["checks"])
    assert stored["gate"] == GATE
    assert len(stored["git_commit"]) == 40
    assert stored["why"] == "It passed every check."
    assert stored["who"]
    assert stored["when"].endswith("+00:00")


def test_promoting_again_changes_and_records_nothing(ready: Any, served: Any) -> None:
    promote(ready)
    for options in ({}, {"version": "2"}, {"override": "again"}):
        assert promote(ready, **options).was_champion
    assert history(ready) == [FIRST, ("promoted", 2, 1, 2)]


def test_a_refusal_is_recorded_and_changes_nothing(ready: Any, served: Any) -> None:
    served.outputs[2] = served.outputs[2][::-1]
    verdict = promote(ready)
    assert verdict.action == "refused"
    assert [check.name for check in verdict.failed] == ["reloaded model"]
    assert aliases(ready) == {"champion": 1, "challenger": 2}
    assert history(ready) == [FIRST, ("refused", 2, 1, 1)]
    assert decided(ready)[-1].why == "Failed: reloaded model."


def test_a_dry_run_checks_but_records_nothing(ready: Any, served: Any) -> None:
    assert promote(ready, dry_run=True).action == "promoted"
    served.outputs[2] = None
    assert promote(ready, dry_run=True).action == "refused"
    champion = promote(ready, version="1", dry_run=True)
    assert (champion.was_champion, champion.failed) == (True, [])
    assert aliases(ready) == {"champion": 1, "challenger": 2}
    assert history(ready) == [FIRST]


def test_an_override_is_recorded_with_its_reason(ready: Any, served: Any) -> None:
    (ready.workspace.root / ".gitignore").unlink()
    assert promote(ready, override="We must ship today").action == "promoted"
    decision = decided(ready)[-1]
    assert (decision.action, decision.overridden) == ("promoted", True)
    assert decision.why == "We must ship today (Failed: git commit.)"
    assert aliases(ready) == {"champion": 2}


@pytest.mark.parametrize(
    ("spoil", "failed"),
    [
        (lambda ready: (ready.workspace.root / ".gitignore").unlink(), "git commit"),
        (lambda ready: (ready.workspace.predictions("digits") / "large.npz").unlink(), "reloaded model"),
        (
            lambda ready: np.savez(
                ready.workspace.prepared("mnist", "train"),
                images=np.zeros((5, 28, 28), np.uint8),
                labels=np.zeros(5, np.uint8),
            ),
            "data digests",
        ),
    ],
)
def test_what_lies_here_must_be_what_the_version_was_made_of(
    ready: Any, served: Any, spoil: Callable[[Any], object], failed: str
) -> None:
    spoil(ready)
    assert [check.name for check in promote(ready).failed] == [failed]


def test_a_champion_that_was_trained_again_is_compared_by_its_own_model(ready: Any, served: Any) -> None:
    path = ready.workspace.evaluation("digits") / "metrics.json"
    scores = json.loads(path.read_text())
    scores["small"]["model_sha256"] = "0" * 64
    path.write_text(json.dumps(scores))
    served.outputs[1] = np.eye(3, dtype=np.float32)[np.arange(10) % 3]
    (check,) = [check for check in promote(ready).checks if check.name == "not worse than the champion"]
    # It gets all ten right, of which the stored predictions miss one.
    assert check.measured.startswith("-10.00 points")


def test_a_champion_that_cannot_be_loaded_is_no_reason_to_pass(ready: Any, served: Any) -> None:
    served.outputs[1] = None
    assert [check.name for check in promote(ready).failed] == ["not worse than the champion"]


def test_rollbacks_lead_back_along_the_line_of_champions(ready: Any, served: Any) -> None:
    promote(ready)
    assert rollback(ready, "It fails on sevens").champion_after == 1
    assert aliases(ready) == {"champion": 1}
    assert history(ready)[-1] == ("rolled back", 2, 2, 1)
    assert decided(ready)[-1].why == "It fails on sevens"
    with pytest.raises(PipelineError, match=r"expected a champion before the present one \(version 1\)"):
        rollback(ready)
    assert promote(ready, version="2").action == "promoted"
    assert aliases(ready) == {"champion": 2}
    assert rollback(ready).champion_after == 1


def test_a_champion_that_was_set_by_hand_can_be_rolled_back(ready: Any) -> None:
    ready.view.client.set_registered_model_alias(TASK, "champion", "2")
    assert rollback(ready).champion_after == 1


def test_sync_undoes_neither_a_promotion_nor_a_rollback(ready: Any, served: Any) -> None:
    promote(ready)
    publish.synchronize(ready.workspace, ready.params)
    assert aliases(ready) == {"champion": 2}
    rollback(ready)
    publish.synchronize(ready.workspace, ready.params)
    # The selected version was rolled back: it is not proposed again by itself.
    assert aliases(ready) == {"champion": 1}
    before = history(ready)
    assert publish.synchronize(ready.workspace, ready.params).num_changes == 0
    assert history(ready) == before


def test_a_decision_on_a_champion_that_has_changed_is_judged_again(
    ready: Any, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    gather = evidence.gather

    def slow(*arguments: Any) -> Any:
        seen.append(arguments[3].champion)
        found = gather(*arguments)
        if len(seen) == 1:
            ready.view.client.delete_registered_model_alias(TASK, "champion")
        return found

    monkeypatch.setattr(evidence, "gather", slow)
    assert promote(ready).champion_before is None
    assert seen == [1, None]
    assert history(ready) == [FIRST, ("promoted", 2, None, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "7"}, r"--version: expected 'challenger' or a version of mnist-classifier \(1, 2\), got '7'"),
        ({"version": "2; rm -rf ."}, r"got '2; rm -rf .'"),
        ({"version": "²"}, "got '²'"),
        ({"override": "  "}, "--override: expected a reason, got none"),
    ],
)
def test_mistakes_are_told(ready: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        promote(ready, **options)


def test_unknown_tasks_and_missing_gates_and_models_are_told(stages: Any) -> None:
    with pytest.raises(PipelineError, match="unknown task 'nothing'; expected one of: mnist-classifier"):
        commands.promote(stages.workspace, stages.params, "nothing")
    with pytest.raises(PipelineError, match=r"gates\.mnist-classifier: required to promote, but missing"):
        promote(stages)
    with pytest.raises(PipelineError, match="mnist-classifier: expected a registered model, but MLflow has none"):
        rollback(stages)


def command(stages: Any, *arguments: str) -> subprocess.Popen[str]:
    repository = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=stages.workspace.root,
        env={**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "200", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int | None, str]:
    output, errors = process.communicate(timeout=200)
    assert errors == ""
    return process.returncode, output


@pytest.mark.slow
def test_two_processes_that_promote_at_once_make_one_decision(ready: Any) -> None:
    """With the real logged model, loaded in processes of their own."""
    ready.python(PREDICT)
    both = [command(ready, "promote", TASK) for _ in range(2)]
    answers = [finished(process) for process in both]
    assert [status for status, _ in answers] == [0, 0]
    assert sum("is the champion now, in place of version 1. Decision 2." in text for _, text in answers) == 1
    assert sum("is the champion already; nothing was changed." in text for _, text in answers) == 1
    assert history(ready) == [FIRST, ("promoted", 2, 1, 2)]
    assert aliases(ready) == {"champion": 2}


def test_the_command_tells_a_refusal_by_status_3_and_lists_it(ready: Any) -> None:
    # What the fake evaluation stored is not what the model predicts.
    status, output = finished(command(ready, "promote", TASK))
    assert status == 3
    assert "version 2 (large) is refused. Failed: reloaded model. Decision 2." in output
    answer = command_line.call(ready.workspace.root, "decisions", TASK)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Failed: reloaded model." in answer.stdout
    answer = command_line.call(ready.workspace.root, "decisions", TASK, "--number", "2")
    assert (answer.stdout.count("pass"), answer.stderr) == (9, "")


def test_a_users_own_files_are_no_part_of_what_was_committed_but_those_of_the_study_are(
    ready: Any, served: Any
) -> None:
    root = ready.workspace.root
    (root / ".gitignore").unlink()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "With the files")
    (root / "answers.csv").write_text("file,class\n")
    assert promote(ready, dry_run=True).failed == []
    (root / "results" / "more.json").write_text("{}")
    (failed,) = promote(ready, dry_run=True).failed
    assert (failed.name, failed.measured.endswith("but uncommitted: results/more.json")) == ("git commit", True)


def test_a_store_that_dies_while_a_model_is_fetched_decides_nothing(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For the state of the model, for the model itself, to see what went wrong, and for the history below.
    connect, answers = store.connect, iter([True, True, False, True])

    def connect_once(workspace: Any) -> Any:
        if next(answers):
            return connect(workspace)
        raise OSError("no route to host")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    monkeypatch.setattr("pipeline.tracking.store.connect", connect_once)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(PipelineError, match=r"MLflow could not be reached or refused the request: .*no route to host"):
        promote(ready)
    assert history(ready) == [FIRST]


def test_a_model_whose_files_are_gone_is_refused(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    (ready.workspace.root / "mlartifacts").rename(ready.workspace.root / "elsewhere")
    verdict = promote(ready)
    assert "reloaded model" in {check.name for check in verdict.failed}
    assert history(ready) == [FIRST, ("refused", 2, 1, 1)]


def test_without_a_database_there_are_no_decisions_and_none_is_made(stages: Any) -> None:
    database = stages.workspace.root / "mlflow.db"
    database.unlink()
    with pytest.raises(PipelineError, match=r"mlflow\.db: expected MLflow's database, but there is none"):
        decided(stages)
    assert not database.exists()


def test_what_came_of_it_is_one_line_for_a_pipe(ready: Any, served: Any) -> None:
    arguments = ("promote", TASK, "--dry-run", "--override", "a reason " * 20)
    answer = command_line.call(ready.workspace.root, *arguments)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = "would become the champion, in place of version 1. A dry run: nothing was changed."
    assert answer.stdout.splitlines()[-1] == f"{TASK}: version 2 (large) {told}"
