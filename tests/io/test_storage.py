"""Files appear whole or not at all, equal content gives equal bytes, and damage is named with what to do."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import string
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from matplotlib.figure import Figure
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.runtime import backend

if TYPE_CHECKING:
    import keras

AGAIN = "Delete it, then run `dvc repro` to make it again."
NOT_HALF = "Nothing was left half-written; free space or permissions, then run the same command again."
# More than the small disk below holds.
MANY_BYTES = 200_000


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1), layout="constrained")
    figure.subplots().plot([1, 2, 3])
    return figure


def noise_figure() -> Figure:
    """A picture that PNG cannot make smaller."""
    figure = Figure(figsize=(4, 4))
    figure.figimage(np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8))
    return figure


def small_model(*, seed: int = 0, units: int = 3) -> keras.Model:
    """Raw 28x28 images to `units` probabilities; two layers share one regularizer."""
    backend.configure("jax", threads=1)
    import keras

    keras.utils.set_random_seed(seed)
    shared = keras.regularizers.L2(0.01)
    pixels = keras.Input((28, 28), name="pixels")
    features = keras.layers.Flatten(name="flatten")(pixels)
    features = keras.layers.Dense(units, kernel_regularizer=shared, name="hidden")(features)
    outputs = keras.layers.Dense(3, activation="softmax", kernel_regularizer=shared, name="probabilities")(features)
    return keras.Model(pixels, outputs, name="small")


WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: storage.write_bytes(path, bytes(MANY_BYTES)),
    "json": lambda path: storage.write_json(path, {"text": "x" * MANY_BYTES}),
    "table": lambda path: storage.write_table(path, pd.DataFrame({"number": range(MANY_BYTES // 4)})),
    "arrays": lambda path: storage.write_arrays(path, images=np.zeros(MANY_BYTES, np.uint8)),
    "figure": lambda path: storage.write_figure(path, noise_figure()),
    "model": lambda path: storage.write_model(path, small_model(units=64)),
}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


# Whole or not at all


def test_a_file_is_written_with_its_folders_for_all_to_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    storage.write_bytes(path, b"content")
    assert files_in(tmp_path) == {"a/b/file.bin": b"content"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    storage.write_bytes(path, b"old")
    with storage.atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == {"file.bin": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("before", [{}, {"file.bin": b"old"}], ids=["new", "existing"])
def test_an_exception_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: dict[str, bytes]
) -> None:
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)

    def interrupted() -> None:
        with storage.atomic_write(tmp_path / "file.bin") as file:
            file.write(b"half of the new cont")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    assert files_in(tmp_path) == before


def test_an_error_of_the_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file.bin"
    storage.write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value) == f"{path}: cannot be written: No space left on device. {NOT_HALF}"
    assert files_in(tmp_path) == {"file.bin": b"old"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True, check=False
        )
    except OSError as error:
        pytest.skip(f"full disk: mount cannot be run: {error}")
    if mounted.returncode:
        pytest.skip(f"full disk: mounting a small one is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@writers
def test_a_full_disk_leaves_nothing_half_written(small_disk: Path, write: Callable[[Path], None]) -> None:
    path = small_disk / "results" / "output"
    with pytest.raises(PipelineError) as raised:
        write(path)
    assert str(raised.value) == f"{path}: cannot be written: No space left on device. {NOT_HALF}"
    assert files_in(small_disk) == {}
    storage.write_bytes(path, bytes(30_000))


def test_a_full_folder_for_temporary_files_is_named(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.configure("jax", threads=1)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    path = tmp_path / "model.keras"
    with pytest.raises(PipelineError) as raised:
        storage.write_model(path, small_model(units=200))
    assert str(raised.value).startswith(f"{path}: cannot be written: ")
    assert f"in {small_disk}. Free space there or set TMPDIR" in str(raised.value)
    assert not path.exists()


@writers
def test_a_full_disk_keeps_the_old_file(small_disk: Path, write: Callable[[Path], None]) -> None:
    path = small_disk / "output"
    path.write_bytes(b"old")
    with pytest.raises(PipelineError, match="No space left on device"):
        write(path)
    assert files_in(small_disk) == {"output": b"old"}


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    path = small_disk / "file.bin"
    path.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value) == f"{path}: cannot be written: Read-only file system. {NOT_HALF}"
    assert files_in(small_disk) == {"file.bin": b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    path = tmp_path / "file.bin"
    with pytest.raises(PipelineError, match=f"{path}: cannot be written: Permission denied"):
        storage.write_bytes(path, b"new")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_bytes(b"a file")
    path = tmp_path / "results" / "file.bin"
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value).startswith(f"{path}: cannot be written: ")
    assert files_in(tmp_path) == {"results": b"a file"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "file.json", {"loss": value})
    assert files_in(tmp_path) == {}


def test_arrays_of_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        storage.write_arrays(tmp_path / "file.npz", labels=np.array([{}], dtype=object))
    assert files_in(tmp_path) == {}


# Equal content, equal bytes, and back


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of one property share."""
    return tmp_path_factory.mktemp("scratch")


def bytes_of_two(scratch: Path, write: Callable[[Path], None]) -> tuple[bytes, bytes]:
    """What one writer writes under two names at two times."""
    first, second = scratch / "first", scratch / "second"
    write(first)
    os.utime(first, (0, 0))
    write(second)
    return first.read_bytes(), second.read_bytes()


plain_dtypes = st.one_of(
    st_numpy.integer_dtypes(), st_numpy.unsigned_integer_dtypes(), st_numpy.floating_dtypes(), st_numpy.boolean_dtypes()
)
plain_arrays = st_numpy.arrays(plain_dtypes, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


@given(images=plain_arrays, labels=plain_arrays)
def test_arrays_come_back(scratch: Path, images: np.ndarray, labels: np.ndarray) -> None:
    first, second = bytes_of_two(scratch, lambda path: storage.write_arrays(path, images=images, labels=labels))
    assert first == second
    read_labels, read_images = storage.read_arrays(scratch / "first", "labels", "images")
    for read, written in ((read_images, images), (read_labels, labels)):
        assert (read.dtype, read.shape, read.tobytes()) == (written.dtype, written.shape, written.tobytes())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(), json_values, max_size=4))
def test_json_comes_back_in_its_order(scratch: Path, content: dict[str, Any]) -> None:
    first, second = bytes_of_two(scratch, lambda path: storage.write_json(path, content))
    assert first == second
    read = storage.read_json(scratch / "first")
    assert read == content
    assert list(read) == list(content)


rows = st.lists(
    st.tuples(
        # Not a word that pandas takes for a missing value, nor a number.
        st.text(string.ascii_letters + string.digits + ' ,"\n', max_size=8).map(lambda text: f"x{text}x"),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_infinity=False),
    ),
    min_size=1,
    max_size=5,
)


@given(rows=rows)
def test_tables_come_back_to_the_last_bit(scratch: Path, rows: list[tuple[str, int, float]]) -> None:
    table = pd.DataFrame(rows, columns=["variant", "params", "val_loss"])
    first, second = bytes_of_two(scratch, lambda path: storage.write_table(path, table))
    assert first == second
    read = storage.read_table(scratch / "first")
    assert list(read["variant"]) == list(table["variant"])
    assert list(read["params"]) == list(table["params"])
    np.testing.assert_array_equal(read["val_loss"].to_numpy(float), table["val_loss"].to_numpy(float))


def test_a_table_has_no_index_and_short_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame({"epoch": [1, 2], "loss": [0.1, 1 / 3]}, index=[7, 8])
    storage.write_table(tmp_path / "history.csv", table)
    assert (tmp_path / "history.csv").read_bytes() == b"epoch,loss\n1,0.1\n2,0.3333333333333333\n"


def test_json_is_indented(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "metrics.json", {"loss": 0.5, "epochs": 3})
    assert (tmp_path / "metrics.json").read_bytes() == b'{\n  "loss": 0.5,\n  "epochs": 3\n}\n'


def test_a_picture_names_neither_date_nor_software(tmp_path: Path) -> None:
    first, second = bytes_of_two(tmp_path, lambda path: storage.write_figure(path, small_figure()))
    assert first == second
    with Image.open(tmp_path / "first") as picture:
        assert (picture.format, picture.size) == ("PNG", (240, 120))
        assert picture.info.keys() <= {"dpi"}


def test_sha256_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert storage.sha256(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


# Models


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = bytes_of_two(tmp_path, lambda path: storage.write_model(path, small_model()))
    assert first == second
    storage.write_model(tmp_path / "other", small_model(seed=1))
    assert (tmp_path / "other").read_bytes() != first


def test_a_model_names_no_date_and_no_address(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "plain.keras")
    storage.write_model(tmp_path / "model.keras", model)
    plain, ours = members(tmp_path / "plain.keras"), members(tmp_path / "model.keras")
    assert b"date_saved" in plain["metadata.json"]
    assert b"shared_object_id" in plain["config.json"]
    assert b"date_saved" not in ours["metadata.json"]
    assert b"shared_object_id" not in ours["config.json"]
    assert json.loads(ours["metadata.json"])["keras_version"]
    assert plain["model.weights.h5"] == ours["model.weights.h5"]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_model_comes_back(tmp_path: Path) -> None:
    model = small_model()
    storage.write_model(tmp_path / "model.keras", model)
    read = storage.read_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(read(images)), np.asarray(model(images)))
    assert float(read.losses[0]) == float(model.losses[0]) > 0
    assert read.compiled is False
    storage.write_model(tmp_path / "again.keras", read)
    assert (tmp_path / "again.keras").read_bytes() == (tmp_path / "model.keras").read_bytes()


def test_code_in_a_model_is_refused_and_not_run(tmp_path: Path) -> None:
    backend.configure("jax", threads=1)
    import keras

    marker, path = tmp_path / "was-run", tmp_path / "model.keras"
    # Marshalled with the model, and called when its graph is built again.
    code = eval(f"lambda inputs: __import__('pathlib').Path({str(marker)!r}).touch() or inputs")
    inputs = keras.Input((4,), name="inputs")
    storage.write_model(path, keras.Model(inputs, keras.layers.Lambda(code, name="code")(inputs), name="hostile"))
    marker.unlink()
    with pytest.raises(PipelineError) as raised:
        storage.read_model(path)
    assert str(raised.value).startswith(f"{path}: expected a Keras model, but the file is damaged (")
    assert "arbitrary code execution" in str(raised.value)
    assert not marker.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert marker.exists(), "the attack itself must work, or refusing it proves nothing"


# Missing and damaged files


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
