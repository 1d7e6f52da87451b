"""Which commit is checked out, and what differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline.gates import WorkTree

TIMEOUT = 30.0


def read(root: Path) -> WorkTree:
    """The state of the repository around a folder; no commit outside one. What git ignores does not count."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return WorkTree(None)
    status = _git(root, "status", "--porcelain")
    if status is None:
        return WorkTree(commit.strip(), ("git status fails",))
    return WorkTree(commit.strip(), tuple(line[3:] for line in status.splitlines()))


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails, or is not there."""
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
