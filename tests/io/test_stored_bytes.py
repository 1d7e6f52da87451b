"""Equal content gives equal bytes, which are read back as they were."""

from __future__ import annotations

import hashlib
import json
import string
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.runtime import backend
from tests.io.small_outputs import bytes_of_two, small_figure, small_model


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of one property share."""
    return tmp_path_factory.mktemp("scratch")


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
