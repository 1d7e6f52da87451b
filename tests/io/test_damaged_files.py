"""Missing and damaged files are named, with what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.runtime import backend
from tests.io.small_outputs import small_model

AGAIN = "Delete it, then run `dvc repro` to make it again."
READERS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], None], str]] = {
    "file.npz": (
        lambda path: storage.read_arrays(path, "images", "labels"),
        lambda path: storage.write_arrays(path, images=np.zeros((2, 3, 3), np.uint8), labels=np.zeros(2, np.uint8)),
        "a NumPy archive with images, labels",
    ),
    "file.json": (storage.read_json, lambda path: storage.write_json(path, {"a": [1, 2]}), "a JSON object"),
    "file.csv": (storage.read_table, lambda path: storage.write_table(path, pd.DataFrame({"a": [1]})), "a CSV table"),
    "file.keras": (storage.read_model, lambda path: storage.write_model(path, small_model()), "a Keras model"),
}


@pytest.fixture(autouse=True)
def keras_on_jax() -> None:
    """Reading a model imports Keras, also where there is none to read."""
    backend.configure("jax", threads=1)


def damaged(path: Path, expected: str) -> str:
    return f"{path}: expected {expected}, but the file is damaged ("


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    read, _, expected = READERS[name]
    with pytest.raises(PipelineError) as raised:
        read(tmp_path / name)
    assert str(raised.value) == (
        f"{tmp_path / name}: expected {expected}, but the file is missing. Run `dvc repro` to make it."
    )


@pytest.mark.parametrize("content", [b"", b"\x80\xff junk \x00"], ids=["empty", "junk"])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes) -> None:
    read, _, expected = READERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PipelineError) as raised:
        read(tmp_path / name)
    assert str(raised.value).startswith(damaged(tmp_path / name, expected))
    assert str(raised.value).endswith(AGAIN)


@pytest.mark.parametrize("name", ["file.npz", "file.json", "file.keras"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    """A CSV table that ends early at the end of a line is a shorter table, which nobody can tell."""
    read, write, expected = READERS[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for size in {*range(1, len(whole) - 1, max(1, len(whole) // 40)), len(whole) - 2}:
        path.write_bytes(whole[:size])
        with pytest.raises(PipelineError) as raised:
            read(path)
        assert str(raised.value).startswith(damaged(path, expected))


def test_damaged_headers_of_an_archive_are_named_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    storage.write_arrays(path, images=np.zeros(3), labels=np.ones(3))
    whole = path.read_bytes()
    num_named = 0
    for position in range(whole.rfind(b"PK\x01\x02"), len(whole)):
        for flip in (0x01, 0x80):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
            with contextlib.suppress(PipelineError):
                assert storage.read_arrays(path, "labels")[0].tolist() == [1, 1, 1]
                continue
            num_named += 1
    assert num_named > 20


def test_a_column_may_hold_any_name(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    storage.write_table(path, pd.DataFrame({"variant": ["nan", "null", "NA"], "figure": [1.5, None, 2.5]}))
    table = storage.read_table(path)
    assert list(table["variant"]) == ["nan", "null", "NA"]
    assert list(table["figure"].isna()) == [False, True, False]


def test_a_text_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"README\.md: expected a text of the project, but the file is missing"):
        storage.read_text(tmp_path / "README.md")


@pytest.mark.parametrize("content", [b"[1, 2]", b"3", b'"text"', b"null"])
def test_json_that_is_no_object(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"expected a JSON object, but the file is damaged \(got \w+\)"):
        storage.read_json(path)


def test_a_pickle_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, images=np.array([{}], dtype=object))
    with pytest.raises(PipelineError, match="Object arrays cannot be loaded"):
        storage.read_arrays(path, "images")


def test_an_array_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    storage.write_arrays(path, images=np.zeros(3))
    with pytest.raises(PipelineError) as raised:
        storage.read_arrays(path, "images", "labels")
    assert str(raised.value).startswith(damaged(path, "a NumPy archive with images, labels"))
    assert "labels is not a file in the archive" in str(raised.value)
