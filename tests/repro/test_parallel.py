"""Stages side by side: what depends on what is kept, a failure stops what has not begun, DVC knows what was done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.errors import PipelineError
from pipeline.repro import parallel
from pipeline.runtime import process, progress

DVC_YAML = """
stages:
  first: {cmd: python meet.py first second, outs: [first.txt]}
  second: {cmd: python meet.py second first, outs: [second.txt]}
  both: {cmd: cat first.txt second.txt > both.txt, deps: [first.txt, second.txt], outs: [both.txt]}
"""
# Each waits for the other to have begun: one after the other they would wait in vain.
MEET = """
import sys, time
from pathlib import Path
own, other = sys.argv[1:]
Path(f"{own}.begun").touch()
for _ in range(600):
    if Path(f"{other}.begun").exists():
        break
    time.sleep(0.1)
else:
    sys.exit(f"{own} was alone")
Path(f"{own}.txt").write_text(own)
"""
ENVIRONMENT = process.environment_of_stages(
    {
        **{name: value for name, value in os.environ.items() if not name.startswith("DVC_")},
        "DVC_NO_ANALYTICS": "true",
    }
)


@pytest.fixture
def workspace(tmp_path: Path, make_dvc_folder: Callable[[Path], None]) -> Path:
    make_dvc_folder(tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "meet.py").write_text(MEET)
    return tmp_path


def run(root: Path, *, num_workers: int = 2) -> tuple[list[parallel.Finished], list[str]]:
    """The failures, and the stages in the order in which they were done."""
    failures, done = run_and_listen(root, num_workers=num_workers)
    return failures, [finished.stage for finished in done]


def run_and_listen(
    root: Path, *, num_workers: int = 1, needs: dict[str, set[str]] | None = None
) -> tuple[list[parallel.Finished], list[parallel.Finished]]:
    """The failures, and what was told of each stage."""
    done: list[parallel.Finished] = []
    failures = parallel.run(
        root,
        parallel.stale_stages(root) if needs is None else needs,
        num_workers=num_workers,
        keep_going=False,
        environment=ENVIRONMENT | {"GREETING": "hello"},
        on_finished=done.append,
        on_running=lambda files: None,
    )
    return failures, done


def test_independent_stages_run_at_once_and_dependents_after_them(workspace: Path) -> None:
    failures, order = run(workspace)
    assert failures == []
    assert (workspace / "both.txt").read_text() == "firstsecond"
    assert set(order[:2]) == {"first", "second"}
    assert order[2:] == ["both"]


def test_dvc_finds_everything_up_to_date_afterwards(workspace: Path) -> None:
    run(workspace)
    assert parallel.stale_stages(workspace) == {}
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status"],
        cwd=workspace,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "up to date" in status.stdout


def test_what_depends_on_a_stale_stage_is_stale(workspace: Path) -> None:
    run(workspace)
    (workspace / "first.txt").unlink()
    assert parallel.stale_stages(workspace) == {"first": set(), "both": {"first"}}


def test_files_that_dvc_tracks_are_no_stages(workspace: Path) -> None:
    (workspace / "notes.txt").write_text("notes")
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "notes.txt"], cwd=workspace, env=ENVIRONMENT, check=True)
    assert set(parallel.stale_stages(workspace)) == {"first", "second", "both"}
    (workspace / "notes.txt").write_text("changed")
    run(workspace)
    assert parallel.stale_stages(workspace) == {}


def test_after_a_failure_nothing_else_begins(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(DVC_YAML.replace("python meet.py second first", "echo broken >&2; exit 3"))
    (workspace / "second.begun").touch()
    failures, order = run(workspace)
    (failure,) = failures
    assert (failure.stage, failure.failed) == ("second", True)
    assert "broken" in failure.printed
    assert "both" not in order
    assert not (workspace / "both.txt").exists()


def test_one_worker_begins_with_what_most_stages_wait_for(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(
        "stages:\n"
        "  alone: {cmd: touch alone.txt, outs: [alone.txt]}\n"
        "  root: {cmd: touch root.txt, outs: [root.txt]}\n"
        "  leaf: {cmd: touch leaf.txt, deps: [root.txt], outs: [leaf.txt]}\n"
    )
    _, order = run(workspace, num_workers=1)
    assert order[0] == "root"


def test_how_far_a_stage_is_can_be_read_while_it_runs(workspace: Path, repository: Path) -> None:
    (workspace / "slow.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from pipeline.runtime import progress\n"
        "with progress.steps('slow', 3) as tell:\n"
        "    tell('one')\n"
        "    while not Path('seen').exists():\n"
        "        time.sleep(0.05)\n"
    )
    (workspace / "dvc.yaml").write_text("stages:\n  slow: {cmd: python slow.py, deps: [slow.py]}\n")
    seen = []

    def on_running(files: Mapping[str, Path]) -> None:
        told = progress.read(files["slow"])
        if told and told.completed:
            seen.append(told)
            (workspace / "seen").touch()

    failures = parallel.run(
        workspace,
        {"slow": set()},
        num_workers=1,
        keep_going=False,
        environment=ENVIRONMENT | {"PYTHONPATH": str(repository)},
        on_finished=lambda finished: None,
        on_running=on_running,
    )
    assert failures == []
    assert {(told.description, told.completed, told.total) for told in seen} == {("slow: one", 1, 3)}


def test_each_stage_is_told_what_it_alone_printed(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(
        "stages:\n"
        "  first: {cmd: echo one $GREETING; touch first.txt, outs: [first.txt]}\n"
        "  second: {cmd: echo two >&2; touch second.txt, deps: [first.txt], outs: [second.txt]}\n"
    )
    failures, (first, second) = run_and_listen(workspace)
    assert failures == []
    assert "one hello" in first.printed
    assert "two" in second.printed
    assert "hello" not in second.printed


def test_a_worker_that_dies_ends_in_one_message(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text("stages:\n  first: {cmd: kill -9 $PPID; sleep 60, outs: [first.txt]}\n")
    with pytest.raises(PipelineError, match="a process that runs DVC died"):
        run(workspace)


def test_a_stage_waits_for_the_lock_of_another_dvc(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text("stages:\n  first: {cmd: touch first.txt, outs: [first.txt]}\n")
    is_held = threading.Event()

    def hold() -> None:
        with Repo(str(workspace)) as repo, repo.lock:
            is_held.set()
            # DVC itself gives up after three.
            time.sleep(8)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait()
    failures, told = run_and_listen(workspace, needs={"first": set()})
    holder.join()
    assert failures == []
    assert told[0].seconds > 3
    assert (workspace / "first.txt").exists()
