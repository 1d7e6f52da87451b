"""A user's files as the arrays that a model takes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data import embedded, idx
from pipeline.errors import PipelineError
from pipeline.inference import picture_files, pictures
from pipeline.inference.files import Expected, collect, read_inputs

DIGITS = Expected((28, 28), is_image=True, picture_kind="digits")
ARRAYS = Expected((28, 28), is_image=True)
WAVES = Expected((20,), is_image=False)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def drawing() -> np.ndarray:
    """A digit of 84x84 pixels, light on black."""
    digit = embedded.digits(20, 20, 1)[0][0]
    return np.asarray(Image.fromarray(digit).resize((84, 84), Image.Resampling.BICUBIC))


def converted(picture: np.ndarray) -> np.ndarray:
    (image,) = pictures.as_dataset(picture, "digits")
    return image


def read(path: Path, expected: Expected = DIGITS) -> np.ndarray:
    """The examples of one file."""
    (file,) = read_inputs([path], expected)
    assert file.path == path
    return np.asarray(file.examples)


def refusal(path: Path, expected: Expected = DIGITS) -> str:
    with pytest.raises(PipelineError) as caught:
        read_inputs([path], expected)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


def save(path: Path, content: Any) -> Path:
    """A file of an array or of bytes."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as file:
            np.save(file, content)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", ">f4"])
def test_arrays_are_taken_as_raw_pixels(tmp_path: Path, dtype: str) -> None:
    examples = read(save(tmp_path / "pixels.npy", PIXELS.astype(dtype)))
    np.testing.assert_array_equal(examples, PIXELS)


def test_one_array_is_a_batch_of_one(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(save(tmp_path / "pixels.npy", PIXELS[0])), PIXELS[:1])
    wave = np.linspace(-5, 5, 20)
    np.testing.assert_array_equal(read(save(tmp_path / "wave.npy", wave), WAVES), wave[np.newaxis])


def test_idx_files_are_read_with_and_without_gzip(tmp_path: Path) -> None:
    plain = save(tmp_path / "train-images-idx3-ubyte", idx.encode(PIXELS))
    zipped = save(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(idx.encode(PIXELS)))
    for path in (plain, zipped):
        np.testing.assert_array_equal(read(path), PIXELS)


MODES = {
    "L": lambda grey: Image.fromarray(grey),
    "RGB": lambda grey: Image.fromarray(grey).convert("RGB"),
    "RGBA": lambda grey: Image.fromarray(grey).convert("RGBA"),
    "palette": lambda grey: Image.fromarray(grey).convert("P"),
    "16 bits": lambda grey: Image.fromarray(grey.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_png_gives_the_same_image(tmp_path: Path, drawing: np.ndarray, mode: str) -> None:
    path = tmp_path / "digit.png"
    MODES[mode](drawing).save(path)
    np.testing.assert_allclose(read(path)[0].astype(int), converted(drawing), atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_are_read(tmp_path: Path, drawing: np.ndarray, mode: str) -> None:
    path = tmp_path / "digit.jpg"
    Image.fromarray(255 - drawing).convert(mode).save(path, quality=95)
    image = read(path)[0].astype(float)
    assert np.abs(image - converted(drawing)).mean() < 3


def test_black_and_white_is_read(tmp_path: Path, drawing: np.ndarray) -> None:
    Image.fromarray(drawing > 128).save(tmp_path / "digit.png")
    expected = converted((drawing > 128) * 255)
    np.testing.assert_array_equal(read(tmp_path / "digit.png")[0], expected)


def test_what_is_transparent_lies_on_white(tmp_path: Path, drawing: np.ndarray) -> None:
    black = np.zeros((*drawing.shape, 4), np.uint8)
    black[..., 3] = drawing
    Image.fromarray(black).save(tmp_path / "digit.png")
    image = read(tmp_path / "digit.png")[0].astype(int)
    np.testing.assert_allclose(image, converted(drawing), atol=1)


def test_a_camera_held_sideways_is_turned_upright(tmp_path: Path, drawing: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(drawing)).save(tmp_path / "digit.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "digit.png")[0], converted(drawing))


def test_a_large_photo_is_read(tmp_path: Path, drawing: np.ndarray) -> None:
    large = np.full((2500, 3500), 240, np.uint8)
    large[300:1980, 700:2380] = 240 - 200 * (np.kron(drawing, np.ones((20, 20))) / 255)
    Image.fromarray(large).save(tmp_path / "digit.png")
    image = read(tmp_path / "digit.png")[0].astype(float)
    assert np.abs(image - converted(drawing)).mean() < 6


def test_names_do_not_matter_for_a_file_that_is_named(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(save(tmp_path / "pixels.dat", PIXELS)), PIXELS)


def test_folders_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b/2.npy", "b/10.NPY", "a/c/1.npy", "b.npy"]
    hidden_or_other = ["a/.1.npy", "a/notes.txt", "labels-idx1-ubyte.gz"]
    for name in names + hidden_or_other:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / name, PIXELS)
    files = read_inputs([tmp_path / "b.npy", tmp_path], DIGITS)
    found = [str(file.path.relative_to(tmp_path)) for file in files]
    assert found == ["b.npy", "a/c/1.npy", "b/10.NPY", "b/2.npy", "b.npy"]


DAMAGED = f"expected a whole picture ({picture_files.NAMES}), but it is damaged"
REFUSED = {
    "flat": (PIXELS.reshape(3, 784), "expected shape (28, 28) or (n, 28, 28), values from 0 to 255, got (3, 784)."),
    "with channels": (PIXELS[..., np.newaxis], "got (3, 28, 28, 1)."),
    "none": (PIXELS[:0], "got (0, 28, 28)."),
    "a number": (np.array(3), "got ()."),
    "NaN": (PIXELS * np.nan, "got values from nan to nan."),
    "divided by 255": (
        PIXELS / np.float32(255),
        "got values from 0.0 to 1.0, as if divided by 255. Multiply them by 255; images that really are almost black "
        "are taken as whole numbers (uint8).",
    ),
    "too bright": (PIXELS + 1.0, "got values from 1.0 to 256.0."),
    "negative": (PIXELS - 1.0, "got values from -1.0 to 254.0."),
    "text": (np.array([["a"]]), "got values of type <U1."),
    "true and false": (PIXELS > 9, "got values of type bool."),
    "objects": (np.array([None]), "expected a whole .npy file of numbers, but it is damaged"),
    "cut short": (b"\x93NUMPY\x01\x00", "expected a whole .npy file of numbers, but it is damaged"),
    "a header without an end": (
        b"\x93NUMPY\x01\x00\x2e\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 28".ljust(45) + b"\n",
        "expected a whole .npy file of numbers, but it is damaged",
    ),
    "an empty file": (
        b"",
        f"expected a picture ({picture_files.NAMES}), .npy or IDX (gzipped or not), got a file that begins with b''.",
    ),
    "a page": (b"<html></html>", "got a file that begins with b'<html>'."),
    "a PNG cut short": (
        b"\x89PNG\r\n\x1a\n\x00",
        DAMAGED,
    ),
    "a JPEG cut short": (
        b"\xff\xd8\xff\xe0",
        DAMAGED,
    ),
    "a broken archive": (b"\x1f\x8b\x08 nothing", "not a usable IDX file: expected a whole gzip archive"),
    "IDX cut short": (idx.encode(PIXELS)[:-1], "not a usable IDX file: expected 2,352 bytes of data"),
    "IDX of another size": (idx.encode(PIXELS[:, :27]), "got (3, 27, 28)."),
    "labels": (idx.encode(np.arange(3, dtype=np.uint8)), "got (3,)."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_named_with_what_was_expected(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    assert message in refusal(save(tmp_path / "file", content))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_waves_of_values_beyond_float32_are_refused(tmp_path: Path, value: float) -> None:
    message = refusal(save(tmp_path / "wave.npy", np.full((2, 20), value)), WAVES)
    assert "expected shape (20,) or (n, 20), got NaN, infinite values or some beyond" in message


def test_a_header_that_promises_more_than_there_is_costs_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "pixels.npy", PIXELS)
    path.write_bytes(path.read_bytes().replace(b"(3, 28, 28)", b"(9999999999999, 28, 28)"))
    assert "it is damaged" in refusal(path)


def test_a_blank_picture_is_refused(tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    message = refusal(tmp_path / "blank.png")
    assert "expected one digit or garment on a plain ground, got a blank picture." in message


def test_pictures_are_refused_where_only_arrays_are_taken(tmp_path: Path, drawing: np.ndarray) -> None:
    Image.fromarray(drawing).save(tmp_path / "digit.png")
    for expected, shape in ((ARRAYS, "(28, 28) or (n, 28, 28)"), (WAVES, "(20,) or (n, 20)")):
        assert f"expected an array of shape {shape}" in refusal(tmp_path / "digit.png", expected)


@pytest.mark.parametrize("factor", [0.6, 0.3], ids=["Pillow warns", "Pillow refuses"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(10_000 * factor))
    message = refusal(tmp_path / "bomb.png")
    assert f"expected a picture of at most {int(10_000 * factor):,} pixels, got more. Make it smaller." in message


def test_every_bad_file_among_good_ones_is_named(tmp_path: Path) -> None:
    for name, content in {"1": PIXELS, "2": PIXELS[:0], "3": PIXELS, "4": PIXELS[0, 0]}.items():
        save(tmp_path / f"{name}.npy", content)
    with pytest.raises(PipelineError) as caught:
        read_inputs([tmp_path], DIGITS)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == [str(tmp_path / "2.npy"), str(tmp_path / "4.npy")]
    assert lines[2:] == [
        "Nothing was predicted. Mend these files or leave them out (--skip-unusable predicts the others), then run the "
        "same command again."
    ]


def test_all_of_many_bad_files_and_missing_places_are_named(tmp_path: Path) -> None:
    for number in range(150):
        save(tmp_path / f"{number:03}.npy", PIXELS[:0])
    with pytest.raises(PipelineError) as caught:
        read_inputs([tmp_path, tmp_path / "nowhere"], DIGITS)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0][-7:] for line in lines[:150]] == [f"{number:03}.npy" for number in range(150)]
    assert lines[150] == f"{tmp_path / 'nowhere'}: no such file or folder."
    assert len(lines) == 152


def test_what_can_be_used_is_told_from_what_cannot(tmp_path: Path) -> None:
    for name, content in {"a.npy": PIXELS, "b.npy": PIXELS[:0], "c.txt": b"", "d.npy": PIXELS}.items():
        save(tmp_path / name, content)
    found = collect([tmp_path, tmp_path / "nowhere"], DIGITS)
    assert [file.path.name for file in found.usable] == ["a.npy", "d.npy"]
    assert {path.name: problem for path, problem in found.unusable.items()} == {
        "b.npy": "expected shape (28, 28) or (n, 28, 28), values from 0 to 255, got (0, 28, 28).",
        "nowhere": "no such file or folder.",
    }
    assert found.others == [tmp_path / "c.txt"]


def test_a_picture_of_another_kind_in_a_folder_is_refused_not_left_out(tmp_path: Path) -> None:
    save(tmp_path / "pixels.npy", PIXELS)
    (tmp_path / "notes.txt").write_text("neither a picture nor an array")
    save(tmp_path / "phone.HEIC", b"\0\0\0\x18ftypheic")
    with pytest.raises(PipelineError) as caught:
        read_inputs([tmp_path], DIGITS)
    first, last = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'phone.HEIC'}: expected a picture (PNG, JPEG,")
    assert last.startswith("Nothing was predicted.")


def test_missing_places_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"nowhere\.png: no such file or folder\."):
        read_inputs([tmp_path / "nowhere.png"], DIGITS)
    with pytest.raises(PipelineError, match=r"expected files named \*\.png, .* in the folder, got none\."):
        read_inputs([tmp_path], DIGITS)
