"""A damaged history is told by its name, whatever is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io import history as histories

TEXT = "epoch,loss,val_loss\n1,0.5,0.75\n2,0.25,1\n"


def test_a_history_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(TEXT)
    history = histories.read(path, ("loss", "val_loss"))
    assert history.to_dict("list") == {"epoch": [1, 2], "loss": [0.5, 0.25], "val_loss": [0.75, 1.0]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\0\0\0\0\0," + TEXT[6:], "expected the columns epoch"),
        (TEXT.replace("val_loss", "val"), "expected the columns val_loss, got ['epoch', 'loss', 'val']"),
        (TEXT.replace("0.25", "0.2\0"), "expected numbers in every column, got text in loss"),
        (TEXT.replace("2,", "3,", 1).replace("\n3,", "\n7,"), "expected a row per epoch, counted from 1"),
        (TEXT.splitlines()[0] + "\n", "damaged"),
        ("", "damaged"),
        ("\0" * 100, "damaged"),
    ],
)
def test_a_damaged_history_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(PipelineError) as raised:
        histories.read(path, ("loss", "val_loss"))
    told = str(raised.value)
    assert told.startswith(f"{path}: expected ")
    assert problem in told
    assert "Delete it, then run `dvc repro` to make it again." in told


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"history\.csv: expected a CSV table, but the file is missing"):
        histories.read(tmp_path / "history.csv")
