"""Ask git about the repository that a folder is in."""

import os
import subprocess
from pathlib import Path

# Seconds. Searching a long history takes a while, but a hook or file system that hangs must not block for ever.
TIMEOUT = 60.0


def output(root: Path, *arguments: str) -> str | None:
    """What a git command prints in a folder; None if it fails, as outside a repository, or there is no git.

    File names are given as they are; bytes of theirs that are not UTF-8 as `\\xe9`.
    """
    result = _run(root, *arguments)
    return result.stdout if result is not None and result.returncode == 0 else None


def refusal(root: Path) -> str:
    """Why git tells no commit of a folder; with a remedy where there is one."""
    result = _run(root, "rev-parse", "--verify", "HEAD")
    if result is None:
        return "git is not installed, or does not answer"
    if "dubious ownership" in result.stderr:
        command = next(line.strip() for line in result.stderr.splitlines() if "safe.directory" in line)
        return f"the repository is another user's. If you trust it: {command}"
    if "not a git repository" in result.stderr:
        return "not in a git repository"
    return "nothing was committed yet"


def advice(error: Exception) -> str:
    """What to do after an error of DVC's, which wants a repository: a ZIP of the sources has none."""
    return "Run `git init` there" if "is not a git repository" in str(error) else "Run `dvc status` there"


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            ["git", "-C", str(root), "-c", "core.quotepath=off", *arguments],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def commit(root: Path) -> str | None:
    """The full hash of the commit that is checked out, if there is one."""
    return (output(root, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
