"""Which commit is checked out, and what differs from it."""

from __future__ import annotations

from pathlib import Path

from pipeline.io import git
from pipeline.promotion.checks import WorkTree

# What a model is made by, and the figures that it was chosen by.
STUDY = ("pipeline", "params.yaml", "params", "dvc.yaml", "dvc.lock", "results")


def read(root: Path) -> WorkTree:
    """The state of the repository around a folder; no commit outside one.

    Of files that git does not know only those of the study count, and none that it ignores: a user's own lie anywhere.
    """
    commit = git.commit(root)
    if commit is None:
        return WorkTree(None)
    status = git.output(root, "status", "--porcelain", "--untracked-files=no")
    unknown = git.output(root, "ls-files", "--others", "--exclude-standard", "--", *STUDY)
    if status is None or unknown is None:
        return WorkTree(commit, ("git status fails",))
    return WorkTree(commit, (*(line[3:] for line in status.splitlines()), *unknown.splitlines()))
