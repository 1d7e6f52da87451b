"""Read and check history.csv of a trained variant: a row per epoch, numbers only."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.io import storage


def read(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The history of a training: the column `epoch`, which counts from 1, and at least the named ones.

    Raises PipelineError when the file is missing, or damaged so that it is no such table.
    """
    history = storage.read_table(path)
    missing = [name for name in ("epoch", *columns) if name not in history]
    others = [str(name) for name in history if history[name].dtype.kind not in "if"]
    problem = None
    if missing:
        problem = f"the columns {', '.join(missing)}, got {str(list(history))[:200]}"
    elif others:
        problem = f"numbers in every column, got text in {', '.join(others)}"
    elif list(history["epoch"]) != list(range(1, len(history) + 1)) or history.empty:
        problem = "a row per epoch, counted from 1, got others"
    if problem:
        raise PipelineError(
            f"{path}: expected {problem}: the file is damaged. Delete it, then run `dvc repro` to make it again."
        )
    return history
