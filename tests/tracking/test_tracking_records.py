"""What is read from the outputs before MLflow comes into it: keys, names, thinned curves, where the store lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.outputs import NotMadeYetError, content_key
from pipeline.tracking.records.variants import is_logged
from pipeline.tracking.store import find_location


def test_the_key_depends_on_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = content_key(tmp_path, [folder])
    assert content_key(tmp_path, [folder / "a"]) == first
    (folder / ".a.temporary").write_text("half-written")
    assert content_key(tmp_path, [folder]) == first
    (folder / "a").write_text("2")
    changed = content_key(tmp_path, [folder])
    (folder / "a").rename(folder / "b")
    assert len({first, changed, content_key(tmp_path, [folder])}) == 3


def test_the_key_does_not_depend_on_where_the_workspace_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_text("weights")
    keys = {content_key(tmp_path / name, [tmp_path / name / "model.keras"]) for name in ("here", "there")}
    assert len(keys) == 1


def test_a_missing_output_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotMadeYetError, match=r"model\.keras: missing"):
        content_key(tmp_path, [tmp_path / "model.keras"])


@pytest.mark.parametrize(
    ("num_epochs", "first", "num_points"),
    [(1, 1, 1), (30, 1, 30), (250, 1, 250), (251, 1, 126), (1000, 4, 250), (1001, 1, 201)],
)
def test_curves_have_at_most_250_points_and_the_last_epoch(num_epochs: int, first: int, num_points: int) -> None:
    epochs = [epoch for epoch in range(1, num_epochs + 1) if is_logged(epoch, num_epochs)]
    assert (epochs[0], epochs[-1], len(epochs)) == (first, num_epochs, num_points)


def test_numbers_are_named_by_their_path() -> None:
    content = {"counts": {"T-shirt/top": 3, "a+b": 4}, "list": [1.5, {"x": 2}], "flag": True, "text": "1", "none": None}
    assert flatten.numbers(content) == {"counts/T-shirt/top": 3, "counts/a_b": 4, "list/0": 1.5, "list/1/x": 2}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (None, "sqlite:///{root}/mlflow.db"),
        ("sqlite:///other/runs.db", "sqlite:///{root}/other/runs.db"),
        ("sqlite:////elsewhere/runs.db", "sqlite:////elsewhere/runs.db"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("https://me:secret@example.org/mlflow", "https://me:***@example.org/mlflow"),
    ],
)
def test_where_runs_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None, shown: str) -> None:
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert find_location(Workspace(tmp_path)).shown == shown.format(root=tmp_path)
