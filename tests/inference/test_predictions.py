"""What a model makes of a user's files, as rows for a terminal and for files; the model itself is a stand-in."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.inference import predictions
from pipeline.inference.predictions import FilePredictions, Reading
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.tracking import loading

VERSION = "mnist-classifier version 2 (champion): small"
Predict = Callable[..., FilePredictions]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(Path(__file__).parents[2])


def probabilities_by_brightness(images: np.ndarray) -> np.ndarray:
    """A tenth for each class, but half and more for the one that the first pixel names."""
    outputs = np.full((len(images), 10), 0.05, np.float32)
    outputs[np.arange(len(images)), images[:, 0, 0].astype(int)] = 0.55
    return outputs


@pytest.fixture
def predict(params: Params, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Predicts files with a stand-in for the registered model."""
    monkeypatch.setattr(backend, "configure", lambda name, threads: None)
    monkeypatch.setattr(loading, "registered_version", lambda *arguments: VERSION)

    def run(
        *places: Path,
        task: str = "mnist-classifier",
        model: Any = probabilities_by_brightness,
        reading: Reading = predictions.AS_THEY_ARE,
    ) -> FilePredictions:
        opened = contextlib.nullcontext(SimpleNamespace(predict=model))
        monkeypatch.setattr(loading, "open_version", lambda workspace, version: opened)
        return predictions.predict(Workspace(Path("/nowhere")), params, task, places, reading=reading)

    return run


def save(path: Path, *classes: int) -> Path:
    """Images whose first pixel names their class."""
    images = np.zeros((len(classes), 28, 28), np.uint8)
    images[:, 0, 0] = classes
    np.save(path, images)
    return path


def text_of(found: FilePredictions, output: Path | None = None) -> str:
    console = Console(width=300, no_color=True)
    with console.capture() as capture:
        console.print(predictions.shown(found, output))
    return capture.get()


def test_every_example_of_every_file_has_a_row(predict: Predict, tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.npy", 7, 2), save(tmp_path / "b.npy", 1)
    rows = predict(first, second).rows
    assert rows["file"].tolist() == [str(first), str(first), str(second)]
    assert rows["index"].tolist() == [0, 1, 0]
    assert rows["class"].tolist() == ["7", "2", "1"]
    np.testing.assert_allclose(rows["probability"], 0.55)
    np.testing.assert_allclose(rows["probability_2"], [0.05, 0.55, 0.05])
    assert len(rows.columns) == 4 + 10


def test_the_names_of_classes_are_those_of_the_dataset(predict: Predict, tmp_path: Path) -> None:
    rows = predict(save(tmp_path / "a.npy", 9), task="fashion-mnist-classifier").rows
    assert rows["class"].tolist() == ["Ankle boot"]
    assert "probability_T-shirt/top" in rows


def test_waves_give_their_parameters(predict: Predict, tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.zeros(1000))
    answer = np.array([[1, 2, 3, 4]], np.float32)
    rows = predict(tmp_path / "wave.npy", task="sine-wave-regressor", model=lambda waves: answer).rows
    assert rows.drop(columns="file").to_dict("records") == [{"index": 0, "a": 1, "b": 2, "c": 3, "d": 4}]


def test_a_model_of_other_classes_is_refused(predict: Predict, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"expected 2 outputs, as params/data\.yaml has it of four-vs-nine, got 10"):
        predict(save(tmp_path / "a.npy", 4), task="four-vs-nine-classifier")


def test_an_unknown_task_is_named_with_those_that_there_are(predict: Predict, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="unknown task 'digits'; expected one of: fashion-mnist-classifier, four"):
        predict(save(tmp_path / "a.npy", 4), task="digits")


def test_files_are_checked_before_a_model_is_loaded(predict: Predict, tmp_path: Path) -> None:
    def never(images: np.ndarray) -> np.ndarray:
        raise AssertionError

    with pytest.raises(PipelineError, match=r"nowhere\.npy: no such file"):
        predict(tmp_path / "nowhere.npy", model=never)


def test_the_terminal_shows_class_probability_and_timing(predict: Predict, tmp_path: Path) -> None:
    text = text_of(predict(save(tmp_path / "a.npy", 7, 2)))
    assert VERSION in text
    assert "0.5500" in text
    assert "2 in 0.00 s" in text
    assert "loading the model" in text
    assert "probability_7" not in text
    assert "more" not in text


def test_the_terminal_shows_the_first_of_many(predict: Predict, tmp_path: Path) -> None:
    found = predict(save(tmp_path / "a.npy", *[3] * 1234))
    text = text_of(found)
    assert text.count("0.5500") == predictions.SHOWN_ROWS
    assert "... and 1,214 more." in text
    assert "--output FILE.csv or FILE.json writes all." in text
    assert "All are in all.csv." in text_of(found, Path("all.csv"))


def test_brackets_in_a_name_are_no_markup(predict: Predict, tmp_path: Path) -> None:
    text = text_of(predict(save(tmp_path / "[red]a.npy", 7)))
    assert "[red]a.npy" in text


def test_csv_holds_every_row(predict: Predict, tmp_path: Path) -> None:
    path = save(tmp_path / "a, b.npy", *[3] * 100)
    predictions.write(tmp_path / "out" / "all.csv", predict(path))
    with (tmp_path / "out" / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    assert (rows[99]["file"], rows[99]["index"], rows[99]["class"]) == (str(path), "99", "3")
    assert float(rows[0]["probability_3"]) == pytest.approx(0.55)


def test_json_holds_every_row_and_the_model(predict: Predict, tmp_path: Path) -> None:
    predictions.write(tmp_path / "all.JSON", predict(save(tmp_path / "a.npy", 3, 4)))
    content = json.loads((tmp_path / "all.JSON").read_text())
    assert content["model"] == VERSION
    assert [(row["index"], row["class"]) for row in content["predictions"]] == [(0, "3"), (1, "4")]
    assert content["predictions"][1]["probability"] == pytest.approx(0.55)


SKIPPING = Reading(skip_unusable=True)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with a good file, two that cannot be used, and one that no model reads."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    save(folder / "b.npy", 7, 2)
    for name in ("a.png", "c.npy", "notes.txt"):
        (folder / name).write_bytes(b"?")
    return folder


def test_what_cannot_be_used_is_skipped_only_if_that_is_asked_for(predict: Predict, mixed: Path) -> None:
    with pytest.raises(PipelineError, match=r"a\.png: .*\n.*c\.npy: .*\nNothing was predicted"):
        predict(mixed)
    found = predict(mixed, reading=SKIPPING)
    assert found.rows["class"].tolist() == ["7", "2"]
    assert list(found.unusable) == [str(mixed / "a.png"), str(mixed / "c.npy")]
    text = text_of(found)
    assert f"Skipped: {mixed / 'a.png'}: expected a picture" in text
    assert f"Skipped: {mixed / 'c.npy'}: " in text
    assert "2 cannot be used and were skipped" in text
    assert f"Neither pictures nor arrays, and left out: {mixed / 'notes.txt'}." in text


def test_where_no_file_can_be_used_that_is_an_error(predict: Predict, mixed: Path) -> None:
    (mixed / "b.npy").unlink()
    with pytest.raises(PipelineError, match="Nothing was predicted"):
        predict(mixed, reading=SKIPPING)


def test_csv_and_json_list_what_was_skipped(predict: Predict, mixed: Path, tmp_path: Path) -> None:
    found = predict(mixed, reading=SKIPPING)
    predictions.write(tmp_path / "all.csv", found)
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["index"], row["class"], row["problem"][:18]) for row in rows] == [
        ("0", "7", ""),
        ("1", "2", ""),
        ("", "", "expected a picture"),
        ("", "", "expected a picture"),
    ]
    predictions.write(tmp_path / "all.json", found)
    skipped = json.loads((tmp_path / "all.json").read_text())["skipped"]
    assert [item["file"] for item in skipped] == list(found.unusable)


@pytest.mark.parametrize(
    ("task", "reading", "message"),
    [
        ("fashion-mnist-classifier", Reading(each=True), "of digits for --each, got garments"),
        ("sine-wave-regressor", Reading(each=True), "a task of images for --each and --transpose, got one of waves"),
        ("sine-wave-regressor", Reading(transposed=True), "a task of images for --each and --transpose"),
    ],
)
def test_an_option_without_meaning_for_the_task_is_refused(
    predict: Predict, tmp_path: Path, task: str, reading: Reading, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        predict(save(tmp_path / "a.npy", 3), task=task, reading=reading)


def test_a_name_of_any_bytes_can_be_written(predict: Predict, tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", 3)
    strange = path.rename(tmp_path / "\udcff.npy")
    predictions.write(tmp_path / "all.csv", predict(strange))
    assert "\\udcff.npy,0,3" in (tmp_path / "all.csv").read_text()


@pytest.mark.parametrize("name", ["all.txt", "all", "folder.csv"])
def test_an_output_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PipelineError, match=rf"--output .*{name}: expected a file named \*\.csv or \*\.json"):
        predictions.check_output(tmp_path / name)
