"""Read a picture file of any kind that Pillow reads as grey levels."""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

# The endings of a folder's files that are read as pictures. Which kind a file is of its content says.
PATTERNS = ("*.png", "*.jpg", "*.jpeg", "*.jpe", "*.jfif", "*.webp", "*.avif", "*.gif", "*.bmp", "*.tif", "*.tiff")
# Pictures of kinds that Pillow cannot read: they are refused by name, and not left out silently.
REFUSED_PATTERNS = ("*.heic", "*.heif", "*.hif", "*.jxl", "*.dng", "*.raw", "*.svg")
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
NAMES = "PNG, JPEG, WebP, AVIF, GIF, BMP, TIFF"
# The first bytes of the most frequent kinds: such a file that cannot be read is damaged.
KNOWN_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff")
# Larger pictures are averaged down to this size, so that a camera's take no gigabytes; a digit needs 20 pixels.
LONGEST_SIDE = 1000
# Cameras and scanners use as many of a picture's 16 bits.
BIT_DEPTHS = (8, 10, 12, 14, 16, 32)
# What differs by less than this from white, in grey levels, is not seen on white.
LEAST_SEEN = 25.0


class UnusableError(ValueError):
    """A file that cannot be used; the message says why."""


class NoPictureError(ValueError):
    """The content of the file is of no kind that is read as a picture."""


def read(path: Path) -> NDArray[np.float32]:
    """Grey levels 0-255 (height, width), turned upright; on white where transparent, on black if white is drawn there.

    Raises UnusableError for a picture that is damaged, too large or one of several in its file, and NoPictureError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_single(image)
                image.load()
                # Colours of a palette cannot be averaged, nor, by Pillow, more than 8 bits.
                has_bands = image.mode in ("L", "LA", "RGB", "RGBA", "CMYK")
                reduced = image.reduce(max(1, max(image.size) // LONGEST_SIDE)) if has_bands else image
                return _grey(ImageOps.exif_transpose(reduced))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnusableError(
            f"expected a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels, got more. Make it smaller."
        ) from None
    except UnidentifiedImageError as error:
        if not _begins_as_picture(path):
            raise NoPictureError from None
        raise _damaged(error) from None
    except UnusableError:
        raise
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, struct.error) as error:
        raise _damaged(error) from None


def _damaged(error: BaseException) -> UnusableError:
    return UnusableError(f"expected a whole picture ({NAMES}), but it is damaged ({error}). Save it again.")


def _begins_as_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(KNOWN_BEGINNINGS)


def _check_single(image: Any) -> None:
    """Raises UnusableError for a film or several pages. In a phone's JPEG (MPO) further pictures are previews."""
    num_frames = getattr(image, "n_frames", 1)
    if num_frames > 1 and image.format != "MPO":
        raise UnusableError(f"expected one picture, got a file of {num_frames}. Save each as a file of its own.")


def _grey(image: Any) -> NDArray[np.float32]:
    if image.mode.startswith(("I", "F")):
        return _in_8_bits(np.asarray(image, np.float32))
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), np.float32)
    coloured = image.convert("RGBA")
    on_white, on_black = (
        np.asarray(Image.alpha_composite(Image.new("RGBA", coloured.size, ground), coloured).convert("L"), np.float32)
        for ground in ("white", "black")
    )
    return on_white if np.ptp(on_white) >= LEAST_SEEN else on_black


def _in_8_bits(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Levels of a picture with more than 8 bits, or with decimals, from 0 to 255: by the depth that it makes use of."""
    largest = float(levels.max())
    if largest <= 1:
        return levels * np.float32(255)
    depth = next(bits for bits in BIT_DEPTHS if largest < 2**bits or bits == BIT_DEPTHS[-1])
    return levels * np.float32(255 / (2**depth - 1))
