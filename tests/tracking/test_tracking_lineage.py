"""Lineage: from a version back to what it was made of, from a variant or an output on to what came of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.errors import PipelineError
from pipeline.io import dvc_lock
from pipeline.repro import lineage
from pipeline.repro.lineage import Descent, Origin
from pipeline.tracking import publish
from tests.tracking import command_line, store_copies

SPLITS = [f"data/prepared/mnist/{split}.npz" for split in ("train", "validation", "test")]
MODEL = "models/mnist/digits/{}.keras"
RESULTS = "results/train/mnist/digits/{}"


def stages_of(root: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Inputs and outputs of the stages that the tests run, as dvc.yaml would declare them."""
    trained = {
        f"train@{name}": (
            ["pipeline/code.py", *SPLITS[:2]],
            [MODEL.format(name), *(f"{RESULTS.format(name)}/{file}" for file in ("metrics.json", "history.csv"))],
        )
        for name in ("small", "large")
        if (root / MODEL.format(name)).is_file()
    }
    return {
        "fetch@digit-files": ([], ["data/raw/digit-files"]),
        "prepare@mnist": (["data/raw/digit-files"], [*SPLITS, "results/data/mnist/statistics.json"]),
        **trained,
        "register@mnist-classifier": (["results/train/mnist"], ["results/select/mnist-classifier.json"]),
    }


def write_lock(stages: Any) -> None:
    """What `dvc repro` would write once the stages have run."""
    root = stages.workspace.root
    (root / "pipeline").mkdir(exist_ok=True)
    (root / "pipeline" / "code.py").write_text("code")

    def entries(paths: list[str]) -> list[dict[str, str]]:
        return [{"path": path, "md5": dvc_lock.hash_of(root / path)} for path in paths]

    locked = {
        address: {"cmd": f"run {address}", "deps": entries(inputs), "outs": entries(outputs)}
        for address, (inputs, outputs) in stages_of(root).items()
    }
    YAML().dump({"schema": "2.0", "stages": locked}, root / "dvc.lock")


def git(root: Path, *arguments: str) -> str:
    identity = {f"GIT_{role}_{key}": "tests" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def commit(stages: Any) -> str:
    """Commit dvc.lock; returns the commit."""
    root = stages.workspace.root
    git(root, "add", "dvc.lock")
    git(root, "commit", "--quiet", "--message", "results")
    return git(root, "rev-parse", "HEAD")


def run_everything(stages: Any) -> None:
    """Of two variants; their runs, and the version of the one that was selected."""
    stages.fetch()
    stages.prepare()
    stages.train("small")
    # The same file would be the same model.
    stages.train("large", seed=1.0)
    stages.select("small")
    publish.synchronize(stages.workspace, stages.params)
    write_lock(stages)


def study_in_git(stages: Any) -> Any:
    root = stages.workspace.root
    git(root, "init", "--quiet")
    (root / "README.md").write_text("first")
    git(root, "add", "README.md")
    git(root, "commit", "--quiet", "--message", "first")
    run_everything(stages)
    return stages


@pytest.fixture(scope="module")
def seen(make_stages_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace in Git with its results and runs, nothing of it committed but a file, for tests that only look."""
    with store_copies.without_settings():
        return study_in_git(make_stages_in(tmp_path_factory.mktemp("seen")))


@pytest.fixture
def studied(seen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same for one test alone."""
    return store_copies.copy(seen, tmp_path / "project", monkeypatch)


def origin(stages: Any, what: str = "models:/mnist-classifier@champion") -> Origin:
    traced = lineage.trace(stages.workspace, what)
    assert isinstance(traced, Origin)
    return traced


def descent(stages: Any, what: str) -> Descent:
    traced = lineage.trace(stages.workspace, what)
    assert isinstance(traced, Descent)
    return traced


def digest(stages: Any, path: str) -> str:
    return dvc_lock.hash_of(stages.workspace.root / path)


def test_a_version_leads_to_its_run_its_commit_and_what_it_was_made_of(studied: Any) -> None:
    first = git(studied.workspace.root, "rev-parse", "HEAD")
    committed = commit(studied)
    git(studied.workspace.root, "commit", "--quiet", "--allow-empty", "--message", "later")
    traced = origin(studied)
    assert (traced.version.model, traced.version.version) == ("mnist-classifier", 1)
    assert traced.version.aliases == ("champion",)
    assert traced.run.run_id == studied.view.run("digits", "small").info.run_id
    assert (traced.run.variant, traced.run.stage) == ("small", "train@small")
    # The run was recorded before its outputs were committed.
    assert (traced.commit, traced.recorded_at) == (committed, first)
    assert traced.commands == (
        f"git checkout {committed} && dvc repro train@small",
        "python -m pipeline verify train@small",
    )
    assert traced.note == ""
    assert traced.run.outputs[MODEL.format("small")] == digest(studied, MODEL.format("small"))
    assert traced.inputs == {path: digest(studied, path) for path in ("pipeline/code.py", *SPLITS[:2])}
    assert traced.run.datasets == {"mnist-train": "1" * 64, "mnist-validation": "2" * 64}
    assert origin(studied, "models:/mnist-classifier/1") == traced


def test_the_command_makes_the_commit_current_again(studied: Any) -> None:
    commit(studied)
    content = (studied.workspace.root / "dvc.lock").read_text()
    before = origin(studied)
    studied.train("small", seed=3.0)
    write_lock(studied)
    commit(studied)
    # The version still is of the training before.
    traced = origin(studied)
    assert traced == before
    git(studied.workspace.root, *traced.commands[0].split(" && ")[0].split()[1:])
    assert (studied.workspace.root / "dvc.lock").read_text() == content


def test_outputs_that_are_not_committed_are_told(seen: Any) -> None:
    traced = origin(seen)
    assert (traced.commit, traced.commands[0]) == (None, "dvc repro train@small")
    assert "commit it" in traced.note
    assert traced.inputs.keys() == {"pipeline/code.py", *SPLITS[:2]}


def test_outputs_that_no_lock_file_has_are_told(studied: Any) -> None:
    (studied.workspace.root / "dvc.lock").unlink()
    head = git(studied.workspace.root, "rev-parse", "HEAD")
    traced = origin(studied)
    assert (traced.commit, traced.inputs) == (None, {})
    assert traced.commands == (f"git checkout {head} && dvc repro train@small",)
    assert traced.note.startswith("No dvc.lock is known")


def test_a_run_from_before_outputs_were_recorded_is_completed_by_sync(studied: Any) -> None:
    run = studied.view.run("digits", "small")
    studied.view.client.delete_tag(run.info.run_id, "dvc_outputs")
    assert "`python -m pipeline sync` adds that" in origin(studied).note
    publish.synchronize(studied.workspace, studied.params)
    assert origin(studied).run.outputs[MODEL.format("small")] == digest(studied, MODEL.format("small"))


def test_outside_git_the_command_is_dvcs_alone(stages: Any) -> None:
    run_everything(stages)
    traced = origin(stages)
    assert (traced.commit, traced.recorded_at, traced.commands[0]) == (None, None, "dvc repro train@small")


def test_a_model_beyond_the_first_page_is_found(stages: Any) -> None:
    """MLflow hands out a hundred registered models at a time."""
    run_everything(stages)
    for number in range(100):
        stages.view.client.create_registered_model(f"a-model-{number:03}")
    assert origin(stages).version.model == "mnist-classifier"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("models:/mnist", r"expected models:/NAME@ALIAS or models:/NAME/VERSION\."),
        ("models:/mnist@champion", "unknown registered model 'mnist'; expected one of: mnist-classifier"),
        ("models:/mnist-classifier/2", r"models:/mnist-classifier: expected one of /1, @champion, got /2"),
        ("models:/mnist-classifier@best", "expected one of /1, @champion, got @best"),
        ("medium", r"'medium': expected models:/NAME@ALIAS.* or a variant with runs in MLflow: large, small\."),
        ("abcdef", "abcdef: expected the hash of an output in dvc.lock, or a variant"),
        ("abcde", "six digits or more"),
    ],
)
def test_what_is_unknown_is_told_with_what_is_known(seen: Any, what: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        lineage.trace(seen.workspace, what)


def test_a_version_whose_run_was_deleted_for_good_is_told(studied: Any) -> None:
    database = studied.workspace.root / "mlflow.db"
    studied.python(f"""
import sqlite3
with sqlite3.connect({str(database)!r}) as connection:
    connection.execute("UPDATE model_versions SET run_id = 'gone'")
""")
    with pytest.raises(PipelineError, match=r"the run that trained it \(gone\) is gone from MLflow"):
        origin(studied)


def test_of_a_variant_came_its_runs_and_versions(seen: Any) -> None:
    traced = descent(seen, "small")
    assert [(run.experiment, run.name) for run in traced.runs] == [("digits", "small")]
    assert [(version.model, version.version) for version in traced.versions] == [("mnist-classifier", 1)]
    assert traced.current == (traced.runs[0].run_id,)
    assert descent(seen, "large").versions == ()


def test_a_variant_that_was_trained_anew_has_a_run_before_and_one_now(studied: Any) -> None:
    studied.train("small", seed=3.0)
    write_lock(studied)
    publish.synchronize(studied.workspace, studied.params)
    traced = descent(studied, "small")
    assert len(traced.runs) == 2
    (now,) = [run for run in traced.runs if run.run_id in traced.current]
    assert now.outputs[f"{RESULTS.format('small')}/metrics.json"] == digest(
        studied, f"{RESULTS.format('small')}/metrics.json"
    )


def test_of_an_output_came_the_runs_of_all_stages_after_it(seen: Any) -> None:
    prefix = digest(seen, SPLITS[0])[:6]
    traced = descent(seen, prefix)
    assert (traced.asked, traced.output) == (digest(seen, SPLITS[0]), SPLITS[0])
    assert {run.stage for run in traced.runs} == {
        "prepare@mnist",
        "train@small",
        "train@large",
        "register@mnist-classifier",
    }
    assert [version.variant for version in traced.versions] == ["small"]
    model = descent(seen, digest(seen, f"{RESULTS.format('large')}/metrics.json"))
    assert {run.stage for run in model.runs} == {"train@large", "register@mnist-classifier"}
    assert model.versions == ()
    raw = descent(seen, digest(seen, "data/raw/digit-files"))
    assert raw.output == "data/raw/digit-files"
    assert {run.stage for run in raw.runs} == {"fetch@digit-files", *(run.stage for run in traced.runs)}


def test_of_an_output_came_what_earlier_commits_made_of_it_too(studied: Any) -> None:
    commit(studied)
    studied.train("small", seed=3.0)
    write_lock(studied)
    commit(studied)
    publish.synchronize(studied.workspace, studied.params)
    traced = descent(studied, digest(studied, SPLITS[0]))
    small = [run.run_id for run in traced.runs if run.stage == "train@small"]
    assert len(small) == 2
    assert len(set(traced.current) & set(small)) == 1


def test_a_prefix_of_several_outputs_is_refused_with_all_of_them(studied: Any) -> None:
    path = studied.workspace.root / "dvc.lock"
    first, second = (digest(studied, split) for split in SPLITS[:2])
    similar = first[:8] + second[8:]
    path.write_text(path.read_text().replace(second, similar))
    with pytest.raises(PipelineError, match="more digits, because several outputs begin so") as refusal:
        lineage.trace(studied.workspace, first[:8])
    assert f"{first} ({SPLITS[0]})" in str(refusal.value)
    assert f"{similar} ({SPLITS[1]})" in str(refusal.value)


def test_the_command_prints_what_a_reader_and_a_program_need(studied: Any) -> None:
    commit(studied)
    # The workspace of the test has a package of that name too, with nothing in it.
    (studied.workspace.root / "pipeline" / "code.py").unlink()
    (studied.workspace.root / "pipeline").rmdir()
    traced = origin(studied)
    what = "models:/mnist-classifier@champion"
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "lineage", what],
        cwd=studied.workspace.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    # Not wrapped, so that it can be copied.
    assert traced.commands[0] in shown.stdout
    for text in (traced.run.run_id, "train@small", digest(studied, MODEL.format("small")), "1" * 64):
        assert text in re.sub(r"\s", "", shown.stdout)

    def command(*arguments: str) -> str:
        answer = command_line.call(studied.workspace.root, "lineage", *arguments)
        assert (answer.returncode, answer.stderr) == (0, "")
        return answer.stdout

    content = json.loads(command(what, "--json"))
    assert content["commit"] == traced.commit
    assert content["commands"] == list(traced.commands)
    assert content["run"]["outputs"] == traced.run.outputs
    assert json.loads(command("small", "--json"))["current"] == [traced.run.run_id]
    assert "models:/mnist-classifier/1" in command("small")
