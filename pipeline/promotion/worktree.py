"""Which commit is checked out, and what differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline.gates import WorkTree

TIMEOUT = 30.0
# What a model is made by, and the figures that it was chosen by.
STUDY = ("pipeline", "params.yaml", "dvc.yaml", "dvc.lock", "results")


def read(root: Path) -> WorkTree:
    """The state of the repository around a folder; no commit outside one.

    Of files that git does not know only those of the study count, and none that it ignores: a user's own lie anywhere.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return WorkTree(None)
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    unknown = _git(root, "ls-files", "--others", "--exclude-standard", "--", *STUDY)
    if status is None or unknown is None:
        return WorkTree(commit.strip(), ("git status fails",))
    return WorkTree(commit.strip(), (*(line[3:] for line in status.splitlines()), *unknown.splitlines()))


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails, or is not there."""
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
