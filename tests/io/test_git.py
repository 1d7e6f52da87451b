"""What git prints, and what comes of a folder where it has nothing to say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.io import git


@pytest.fixture
def repository_with_a_commit(tmp_path: Path) -> Path:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (("init", "--quiet"), (*identity, "commit", "--quiet", "--allow-empty", "-m", "First")):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


def test_what_a_command_prints(repository_with_a_commit: Path) -> None:
    assert git.output(repository_with_a_commit, "log", "--format=%s") == "First\n"


def test_the_commit_is_the_one_checked_out(repository_with_a_commit: Path) -> None:
    commit = git.commit(repository_with_a_commit)
    assert commit == (git.output(repository_with_a_commit, "log", "--format=%H") or "").strip()
    assert commit is not None
    assert len(commit) == 40


def test_a_command_that_fails_says_nothing(repository_with_a_commit: Path) -> None:
    assert git.output(repository_with_a_commit, "show", "HEAD:missing") is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    subprocess.run(["git", "-C", str(tmp_path), "init", "--quiet"], check=True)
    assert git.commit(tmp_path) is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.commit(tmp_path) is None
    assert git.output(tmp_path, "--version") is None


def test_names_that_are_not_ascii_or_not_even_text_can_be_read(repository_with_a_commit: Path) -> None:
    (repository_with_a_commit / "ü").touch()
    (repository_with_a_commit / os.fsdecode(b"caf\xe9")).touch()
    assert git.output(repository_with_a_commit, "ls-files", "--others") == "caf\\xe9\nü\n"


def test_why_there_is_no_commit(
    repository_with_a_commit: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert git.refusal(elsewhere) == "not in a git repository"
    subprocess.run(["git", "-C", str(elsewhere), "init", "--quiet"], check=True)
    assert git.refusal(elsewhere) == "nothing was committed yet"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git.commit(repository_with_a_commit) is None
    remedy = f"git config --global --add safe.directory {repository_with_a_commit}"
    assert git.refusal(repository_with_a_commit) == f"the repository is another user's. If you trust it: {remedy}"
    monkeypatch.setenv("PATH", str(elsewhere))
    assert git.refusal(repository_with_a_commit) == "git is not installed, or does not answer"
