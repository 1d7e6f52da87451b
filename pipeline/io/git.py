"""Ask git about the repository that a folder is in."""

import subprocess
from pathlib import Path

# Seconds. Searching a long history takes a while, but a hook or file system that hangs must not block for ever.
TIMEOUT = 60.0


def output(root: Path, *arguments: str) -> str | None:
    """What a git command prints in a folder; None if it fails, as outside a repository, or there is no git."""
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def commit(root: Path) -> str | None:
    """The full hash of the commit that is checked out, if there is one."""
    return (output(root, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
