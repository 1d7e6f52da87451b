"""Read a user's pictures, NumPy arrays and IDX files as arrays that a model takes, and check each."""

import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.config.data import PictureKind
from pipeline.data import idx
from pipeline.errors import PipelineError
from pipeline.inference import pictures

# The files of a folder that are read; IDX files of images, not of labels.
PATTERNS = ("*.png", "*.jpg", "*.jpeg", "*.npy", "*idx3-ubyte", "*idx3-ubyte.gz")
# Pictures of kinds that cannot be read: they are refused, and not left out silently.
REFUSED_PATTERNS = ("*.bmp", "*.gif", "*.heic", "*.tif", "*.tiff", "*.webp")
ACCEPTED = "PNG, JPEG, .npy or IDX (gzipped or not)"
# The first bytes of each kind of file.
PNG, JPEG, NPY, GZIP, IDX = b"\x89PNG", b"\xff\xd8\xff", b"\x93NUMPY", b"\x1f\x8b", b"\x00\x00\x08"
# Larger pictures are averaged down to this size, so that a camera's take no gigabytes; a digit needs 20 pixels.
LONGEST_SIDE = 1000
MAX_PIXEL = 255
SHOWN_PROBLEMS = 20


class UnusableError(ValueError):
    """A file that cannot be used; the message says why."""


@dataclass(frozen=True)
class Expected:
    """The examples that a model takes: their shape, (28, 28) for images, whose values lie between 0 and 255.

    Picture files are converted to images as a dataset of `picture_kind` has them; without it they are refused.
    """

    shape: tuple[int, ...]
    is_image: bool
    picture_kind: PictureKind | None = None

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        single = shape + "," * (len(self.shape) == 1)
        return f"shape ({single}) or (n, {shape}){f', values from 0 to {MAX_PIXEL}' * self.is_image}"


@dataclass(frozen=True)
class FileInputs:
    """The examples (n, *shape) of a file, n at least 1."""

    path: Path
    examples: NDArray[Any]


def read_inputs(places: Sequence[Path], expected: Expected) -> list[FileInputs]:
    """Read files, and all pictures and arrays in folders and their subfolders in the order of their paths.

    Raises PipelineError naming every file that cannot be used: predictions of the others might be mistaken for all.
    """
    found, problems = [], []
    for path in list(_files(places)):
        try:
            found.append(FileInputs(path, _read(path, expected)))
        except UnusableError as error:
            problems.append(f"{path}: {error}")
    if problems:
        further = len(problems) - SHOWN_PROBLEMS
        raise PipelineError(
            "\n".join(problems[:SHOWN_PROBLEMS])
            + (f"\n... and {further:,} more." if further > 0 else "")
            + "\nNothing was predicted. Mend these files or leave them out, then run the same command again."
        )
    return found


def _files(places: Sequence[Path]) -> Iterator[Path]:
    """The files, and those of folders with accepted or refused names, but for hidden ones, which are the system's."""
    for place in places:
        if place.is_dir():
            visible = [path for path in place.rglob("[!.]*") if not path.is_dir()]
            kinds = (*PATTERNS, *REFUSED_PATTERNS)
            paths = [path for path in visible if any(fnmatch(path.name.lower(), kind) for kind in kinds)]
            if not paths:
                raise PipelineError(f"{place}: expected files named {', '.join(PATTERNS)} in the folder, got none.")
            yield from sorted(paths)
        elif place.exists():
            yield place
        else:
            raise PipelineError(f"{place}: no such file or folder.")


def _read(path: Path, expected: Expected) -> NDArray[Any]:
    """Read a file by what its content is, because its name may be wrong."""
    try:
        with path.open("rb") as file:
            beginning = file.read(6)
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror or error}.") from None
    if beginning.startswith(NPY):
        return _checked(_read_npy(path), expected)
    if beginning.startswith((GZIP, IDX)):
        return _checked(_read_idx(path), expected)
    if not beginning.startswith((PNG, JPEG)):
        raise UnusableError(f"expected {ACCEPTED}, got a file that begins with {beginning!r}.")
    picture = _read_picture(path)
    if expected.picture_kind is None:
        raise UnusableError(f"expected an array of {expected}, got a picture.")
    try:
        return pictures.as_dataset(picture, expected.picture_kind)[np.newaxis]
    except pictures.BlankPictureError:
        raise UnusableError("expected one digit or garment on a plain ground, got a blank picture.") from None


def _read_picture(path: Path) -> NDArray[np.float32]:
    """Grey levels 0-255 (height, width), turned upright; transparent parts on white."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                image.load()
                # Colours of a palette cannot be averaged, nor, by Pillow, more than 8 bits.
                has_bands = image.mode in ("L", "LA", "RGB", "RGBA", "CMYK")
                reduced = image.reduce(max(1, max(image.size) // LONGEST_SIDE)) if has_bands else image
                return _grey(ImageOps.exif_transpose(reduced))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnusableError(
            f"expected a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels, got more. Make it smaller."
        ) from None
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error) as error:
        raise UnusableError(f"expected a whole PNG or JPEG picture, but it is damaged ({error}).") from None


def _grey(image: Any) -> NDArray[np.float32]:
    if image.mode.startswith("I"):
        # PNGs of 16 bits.
        return np.asarray(image, np.float32) / np.float32(257)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        image = Image.alpha_composite(white, coloured)
    return np.asarray(image.convert("L"), np.float32)


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        # Mapped into memory, so that a header which claims too large an array costs nothing.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    # The header is a Python literal: parsing it may raise Python's own errors.
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TokenError) as error:
        raise UnusableError(f"expected a whole .npy file of numbers, but it is damaged ({error}).") from None


def _read_idx(path: Path) -> NDArray[np.uint8]:
    try:
        content = path.read_bytes()
        return idx.decode(idx.decompress(content) if content.startswith(GZIP) else content)
    except (idx.IdxError, OSError) as error:
        raise UnusableError(f"not a usable IDX file: {error}.") from None


def _checked(array: NDArray[Any], expected: Expected) -> NDArray[Any]:
    """Check examples (n, *shape), or one example of the shape, and return them as (n, *shape)."""
    if array.dtype.kind not in "uif":
        raise UnusableError(f"expected numbers of {expected}, got values of type {array.dtype}.")
    examples = array[np.newaxis] if array.shape == expected.shape else array
    if examples.ndim == 0 or examples.shape[1:] != expected.shape or len(examples) == 0:
        raise UnusableError(f"expected {expected}, got {array.shape}.")
    if expected.is_image and not (examples.min() >= 0 and examples.max() <= MAX_PIXEL):
        raise UnusableError(f"expected {expected}, got values from {examples.min()} to {examples.max()}.")
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(examples.astype(np.float32)).all()
    if not is_finite:
        raise UnusableError(f"expected {expected}, got NaN, infinite values or some beyond the range of float32.")
    return examples
