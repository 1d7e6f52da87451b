"""Read a user's pictures, NumPy arrays and IDX files as arrays that a model takes, and check each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.data import PictureKind
from pipeline.data import idx
from pipeline.errors import PipelineError
from pipeline.inference import picture_files, pictures, writing
from pipeline.inference.picture_files import UnusableError

# The files of a folder that are read; IDX files of images, not of labels.
PATTERNS = (*picture_files.PATTERNS, "*.npy", "*idx3-ubyte", "*idx3-ubyte.gz")
ACCEPTED = f"a picture ({picture_files.NAMES}), .npy or IDX (gzipped or not)"
# The first bytes of each kind of file.
NPY, GZIP, IDX = b"\x93NUMPY", b"\x1f\x8b", b"\x00\x00\x08"
MAX_PIXEL = 255
REMEDY = "Mend these files or leave them out (--skip-unusable predicts the others), then run the same command again."


@dataclass(frozen=True)
class Expected:
    """The examples that a model takes: their shape, (28, 28) for images, whose values lie between 0 and 255.

    Picture files are converted to images as a dataset of `picture_kind` has them; without it they are refused. Of a
    picture with several digits `each` one is an example; without it such a picture is refused. Images are `transposed`
    first if their files have columns for rows, as those of EMNIST.
    """

    shape: tuple[int, ...]
    is_image: bool
    picture_kind: PictureKind | None = None
    each: bool = False
    transposed: bool = False

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        single = shape + "," * (len(self.shape) == 1)
        return f"shape ({single}) or (n, {shape}){f', values from 0 to {MAX_PIXEL}' * self.is_image}"


@dataclass(frozen=True)
class FileInputs:
    """The examples (n, *shape) of a file, n at least 1."""

    path: Path
    examples: NDArray[Any]


@dataclass(frozen=True)
class Collected:
    """What was found: files that can be used, why each other one cannot, and files of folders that no model reads."""

    usable: list[FileInputs] = field(default_factory=list)
    unusable: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)


def read_inputs(places: Sequence[Path], expected: Expected) -> list[FileInputs]:
    """Read files, and all pictures and arrays in folders and their subfolders in the order of their paths.

    Raises PipelineError naming every file that cannot be used: predictions of the others might be mistaken for all.
    """
    return require_usable(collect(places, expected))


def require_usable(collected: Collected) -> list[FileInputs]:
    """The files, if all can be used. Raises PipelineError naming every one that cannot."""
    if collected.unusable:
        problems = [f"{path}: {problem}" for path, problem in collected.unusable.items()]
        raise PipelineError("\n".join([*problems, f"Nothing was predicted. {REMEDY}"]))
    return collected.usable


def collect(places: Sequence[Path], expected: Expected) -> Collected:
    """Read what can be used of files and folders, and tell the rest."""
    collected = Collected()
    for place in places:
        if place.is_dir():
            _collect_folder(collected, place, expected)
        elif place.exists():
            _collect_file(collected, place, expected)
        else:
            collected.unusable[place] = "no such file or folder."
    return collected


def _collect_folder(collected: Collected, folder: Path, expected: Expected) -> None:
    """Collect the files of a folder but for hidden ones, which are the system's."""
    visible = sorted(path for path in folder.rglob("[!.]*") if not path.is_dir())
    kinds = (*PATTERNS, *picture_files.REFUSED_PATTERNS)
    is_read = {path: any(fnmatch(path.name.lower(), kind) for kind in kinds) for path in visible}
    chosen = [path for path in visible if is_read[path]]
    collected.others.extend(path for path in visible if not is_read[path])
    if not chosen:
        collected.unusable[folder] = f"expected files named {', '.join(PATTERNS)} in the folder, got none."
    for path in chosen:
        _collect_file(collected, path, expected)


def _collect_file(collected: Collected, path: Path, expected: Expected) -> None:
    try:
        collected.usable.append(FileInputs(path, _read(path, expected)))
    except UnusableError as error:
        collected.unusable[path] = str(error)
    except OSError as error:
        collected.unusable[path] = f"cannot be read: {error.strerror or error}."


def _read(path: Path, expected: Expected) -> NDArray[Any]:
    """Read a file by what its content is, because its name may be wrong."""
    with path.open("rb") as file:
        beginning = file.read(6)
    if beginning.startswith((NPY, GZIP, IDX)):
        examples = _checked(_read_npy(path) if beginning.startswith(NPY) else _read_idx(path), expected)
        return examples.swapaxes(1, 2) if expected.transposed else examples
    try:
        picture = picture_files.read(path)
    except picture_files.NoPictureError:
        raise UnusableError(f"expected {ACCEPTED}, got a file that begins with {beginning!r}.") from None
    if expected.picture_kind is None:
        raise UnusableError(f"expected an array of {expected}, got a picture.")
    return _converted(picture.T if expected.transposed else picture, expected.picture_kind, each=expected.each)


def _converted(picture: NDArray[np.float32], kind: PictureKind, *, each: bool) -> NDArray[np.uint8]:
    """The images of a picture as the dataset would have them: one, or of several digits each."""
    try:
        images = pictures.as_dataset(picture, kind)
    except writing.BlankPictureError:
        raise UnusableError("expected one digit or garment on a plain ground, got a blank picture.") from None
    if len(images) > 1 and not each:
        raise UnusableError(
            f"expected one digit, got {len(images)} beside each other. Crop the picture, or use --each to read each."
        )
    return images


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
    if expected.is_image:
        _check_pixels(examples, expected)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(examples.astype(np.float32)).all()
    if not is_finite:
        raise UnusableError(f"expected {expected}, got NaN, infinite values or some beyond the range of float32.")
    return examples


def _check_pixels(examples: NDArray[Any], expected: Expected) -> None:
    """Raises UnusableError unless all are from 0 to 255, and not divided by 255.

    Whole numbers are never taken for divided ones, and an all black image is the same at any scale.
    """
    smallest, largest = examples.min(), examples.max()
    received = f"expected {expected}, got values from {smallest} to {largest}"
    if not (smallest >= 0 and largest <= MAX_PIXEL):
        raise UnusableError(f"{received}.")
    if examples.dtype.kind == "f" and 0 < largest <= 1:
        raise UnusableError(
            f"{received}, as if divided by {MAX_PIXEL}. Multiply them by {MAX_PIXEL}; images that really are almost "
            "black are taken as whole numbers (uint8)."
        )
