"""Pictures of every kind that Pillow reads, as the arrays that a model takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import embedded, idx
from pipeline.errors import PipelineError
from pipeline.inference import pictures
from pipeline.inference.files import Expected, collect, read_inputs

DIGITS = Expected((28, 28), is_image=True, picture_kind="digits")


@pytest.fixture(scope="module")
def drawing() -> np.ndarray:
    """A digit of 84x84 pixels, light on black."""
    digit = embedded.digits(20, 20, 1)[0][0]
    return np.asarray(Image.fromarray(digit).resize((84, 84), Image.Resampling.BICUBIC))


def read(path: Path, expected: Expected = DIGITS) -> np.ndarray:
    (file,) = read_inputs([path], expected)
    return np.asarray(file.examples)


def image_of(picture: Image.Image, folder: Path) -> np.ndarray:
    """What is read of a picture that is saved as PNG."""
    picture.save(folder / "picture.png")
    (image,) = read(folder / "picture.png")
    return image.astype(float)


ENDINGS = {
    "a.png": "PNG",
    "b.JPG": "JPEG",
    "c.jfif": "JPEG",
    "d.jpe": "JPEG",
    "e.avif": "AVIF",
    "f.webp": "WEBP",
    "g.gif": "GIF",
    "h.bmp": "BMP",
    "i.tif": "TIFF",
}


def test_every_kind_of_picture_in_a_folder_is_read(tmp_path: Path, drawing: np.ndarray) -> None:
    for name, kind in ENDINGS.items():
        Image.fromarray(drawing).save(tmp_path / name, kind)
    found = read_inputs([tmp_path], DIGITS)
    assert [file.path.name for file in found] == list(ENDINGS)
    for file in found:
        assert np.abs(file.examples.astype(float) - found[0].examples).mean() < 8, file.path


@pytest.mark.parametrize("name", ["a.heic", "b.HEIF", "c.jxl"])
def test_a_kind_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(PipelineError, match=f"{name}: expected a picture .*, got a file that begins with"):
        read_inputs([tmp_path], DIGITS)


def test_films_and_pages_are_refused(tmp_path: Path, drawing: np.ndarray) -> None:
    page = Image.fromarray(drawing)
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    with pytest.raises(PipelineError, match="expected one picture, got a file of 3"):
        read_inputs([tmp_path], DIGITS)


@pytest.mark.parametrize("level", [0, 100, 255], ids=["black", "grey", "white"])
def test_what_is_drawn_on_a_transparent_ground_is_seen(tmp_path: Path, drawing: np.ndarray, level: int) -> None:
    strokes = np.dstack([np.full((*drawing.shape, 3), level, np.uint8), drawing])
    expected = image_of(Image.fromarray(drawing), tmp_path)
    np.testing.assert_allclose(image_of(Image.fromarray(strokes), tmp_path), expected, atol=4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_of_16_bits_a_part_may_be_in_use(tmp_path: Path, drawing: np.ndarray, bits: int) -> None:
    levels = np.rint((255 - drawing.astype(float)) / 255 * (2**bits - 1)).astype(np.uint16)
    expected = image_of(Image.fromarray(drawing), tmp_path)
    np.testing.assert_allclose(image_of(Image.fromarray(levels), tmp_path), expected, atol=2)


def test_several_digits_are_refused_by_count_or_read_each(tmp_path: Path, drawing: np.ndarray) -> None:
    seven = np.zeros_like(drawing)
    seven[12:18, 20:60], seven[12:70, 54:60] = 255, 255
    Image.fromarray(255 - np.hstack([drawing, seven, drawing])).save(tmp_path / "three.png")
    with pytest.raises(PipelineError, match=r"expected one digit, got 3 beside each other\. Crop .* use --each"):
        read_inputs([tmp_path], DIGITS)
    each = Expected((28, 28), is_image=True, picture_kind="digits", each=True)
    first, second, third = read(tmp_path / "three.png", each)
    np.testing.assert_array_equal(first, third)
    np.testing.assert_allclose(first.astype(int), image_of(Image.fromarray(drawing), tmp_path), atol=1)
    assert np.abs(first.astype(int) - second).mean() > 10


def test_transposed_images_are_turned_upright(tmp_path: Path, drawing: np.ndarray) -> None:
    """As the files of EMNIST have them."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    transposed = Expected((28, 28), is_image=True, picture_kind="digits", transposed=True)
    (tmp_path / "emnist-idx3-ubyte").write_bytes(idx.encode(pixels.swapaxes(1, 2).copy()))
    np.testing.assert_array_equal(read(tmp_path / "emnist-idx3-ubyte", transposed), pixels)
    Image.fromarray(drawing.T).save(tmp_path / "digit.png")
    Image.fromarray(drawing).save(tmp_path / "upright.png")
    np.testing.assert_array_equal(read(tmp_path / "digit.png", transposed), read(tmp_path / "upright.png"))


STRANGE = ["a b.png", "#1.png", "50%.png", "what?.png", 'it\'s "so".png', "sieben_\u00fc\u4e03.png", "caf\udce9.png"]


@pytest.mark.parametrize("folder", ["plain", "a b#%?'\u00fc", "caf\udce9"])
def test_names_of_any_bytes_are_read(tmp_path: Path, drawing: np.ndarray, folder: str) -> None:
    (tmp_path / folder).mkdir()
    for name in STRANGE:
        Image.fromarray(drawing).save(tmp_path / folder / name)
    found = collect([tmp_path / folder], DIGITS)
    assert {file.path.name for file in found.usable} == set(STRANGE)


def test_the_quality_of_a_small_jpeg_is_its_own(tmp_path: Path) -> None:
    """A picture that has the dataset's size and looks like its images is not cropped and scaled once more."""
    for drawn in embedded.digits(20, 20, 1)[0]:
        (digit,) = pictures.as_dataset(np.pad(drawn, 3), "digits")
        for name in ("PNG", "JPEG"):
            for picture in (digit, 255 - digit):
                Image.fromarray(picture).save(tmp_path / "digit", name, quality=50)
                with Image.open(tmp_path / "digit") as opened:
                    pixels = np.asarray(opened)
                expected = pixels if picture is digit else 255 - pixels
                np.testing.assert_array_equal(read(tmp_path / "digit")[0], expected)


def test_a_small_picture_that_does_not_look_like_the_dataset_is_converted(tmp_path: Path) -> None:
    corner = np.zeros((28, 28), np.uint8)
    corner[2:12, 4] = 255
    (image,) = pictures.as_dataset(corner, "digits")
    assert np.count_nonzero(image.any(axis=1)) == 20
