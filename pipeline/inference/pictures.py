"""Convert pictures of any size to the 28x28 images of MNIST or Fashion-MNIST.

Pictures are grey levels from 0 (black) to 255 (white), of one digit or garment on a plain background, light on dark or
dark on light.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.data import PictureKind

Grey = NDArray[np.float32]
Pixels = NDArray[np.uint8]

IMAGE_SIZE = 28
WHITE = 255.0
# MNIST has each digit in a box of this size, and its centre of mass in this row and column.
DIGIT_SIZE = 20
CENTRE = IMAGE_SIZE // 2
# Ink differs from the background by a tenth of the range from black to white at least; less is a shadow or noise.
LEAST_CONTRAST = 0.1 * WHITE
# Pixels fainter than this fraction of the darkest ink are blur at the edge of a stroke, or a trace of compression, and
# do not widen the box around a digit. In a picture as small as MNIST's own even the faintest pixel counts.
FAINT = 0.25
FAINT_IN_SMALL = 0.02
# Standard deviations of the background's noise below which a pixel is not ink: of a million pixels of normal noise, at
# most one is beyond.
NOISE_DEVIATIONS = 5.0
# A patch with less than this fraction of all ink is dust.
DUST = 0.01
# Fashion-MNIST trims edges within 5 % of the colour of the corners.
NEAR_GROUND = 0.05 * WHITE


class BlankPictureError(ValueError):
    """A picture with nothing on its background."""


def as_dataset(picture: NDArray[Any], kind: PictureKind) -> Pixels:
    """Convert a picture (height, width) to an image (28, 28) as the dataset of its kind has them."""
    return {"digits": as_mnist, "garments": as_fashion_mnist}[kind](picture.astype(np.float32))


def as_mnist(picture: Grey) -> Pixels:
    """Convert a digit to MNIST's format: light on black, in a 20x20 box, its centre of mass in the middle of 28x28.

    MNIST's digits were "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio", with grey
    levels from anti-aliasing, and "centered in a 28x28 image by computing the center of mass of the pixels"
    (http://yann.lecun.com/exdb/mnist/). Those were scans, black and white; a photograph's uneven light and noise are
    removed first, and the ink is stretched to full contrast.

    Raises BlankPictureError if nothing stands out from the background.
    """
    faint = FAINT_IN_SMALL if max(picture.shape) <= IMAGE_SIZE else FAINT
    ink = _without_dust(_ink(picture), faint)
    box = _resized(_cropped(ink, ink > faint * ink.max()), DIGIT_SIZE)
    box *= WHITE / box.max()
    offsets = (_centring_offset(box.sum(axis=1)), _centring_offset(box.sum(axis=0)))
    return _framed(box, offsets)


def as_fashion_mnist(picture: Grey) -> Pixels:
    """Convert a garment to Fashion-MNIST's format: light on black, its longer side 28 pixels, centred.

    Fashion-MNIST's photographs were trimmed of edges "within 5 % of the maximum possible intensity" of the corners'
    colour, resized so that the longest edge has 28 pixels, extended to a square, and negated (Xiao, Rasul and Vollgraf
    2017, arXiv:1708.07747). Here resizing averages over pixels instead of skipping some and sharpening the rest, and
    a garment mostly lighter than its background is not negated.

    Raises BlankPictureError if nothing stands out from the background.
    """
    ground = _corner_level(picture)
    differs = np.abs(picture - ground) > NEAR_GROUND
    if not differs.any():
        raise BlankPictureError
    # By the sign of most of the difference: a white shirt may lie on a grey background.
    is_dark_on_light = (ground - picture)[differs].sum() > 0
    contrast = WHITE / (ground if is_dark_on_light else WHITE - ground)
    garment = contrast * (ground - picture if is_dark_on_light else picture - ground)
    box = _resized(_cropped(garment, differs).clip(0, WHITE), IMAGE_SIZE)
    # Where a margin is odd, Fashion-MNIST has the wider half above and to the left.
    offsets = ((IMAGE_SIZE - box.shape[0] + 1) // 2, (IMAGE_SIZE - box.shape[1] + 1) // 2)
    return _framed(box, offsets)


def _ink(picture: Grey) -> Grey:
    """By how much each pixel is darker than the background, or lighter, whichever most of the picture is."""
    ground, noise = _background(picture)
    difference = picture - ground
    floor = NOISE_DEVIATIONS * noise
    lighter, darker = (difference - floor).clip(0), (-difference - floor).clip(0)
    ink: Grey = lighter if lighter.sum() >= darker.sum() else darker
    if ink.max() < LEAST_CONTRAST:
        raise BlankPictureError
    return ink


def _background(picture: Grey) -> tuple[Grey | np.float32, float]:
    """The grey level of the background, from the picture's border, and its noise as a standard deviation.

    Ink may touch up to half of the border. If the border is not of one colour, a plane is fitted to it: paper is seldom
    lit evenly.
    """
    is_border = np.ones(picture.shape, bool)
    is_border[1:-1, 1:-1] = False
    rows, columns = np.nonzero(is_border)
    levels = picture[rows, columns]
    level = np.median(levels)
    if np.median(np.abs(levels - level)) == 0:
        return np.float32(level), 0.0
    terms = np.stack([np.ones(len(rows)), rows, columns], axis=1)
    kept = np.abs(levels - level) <= 3 * _deviation(levels - level)
    for _ in range(3):
        plane = np.linalg.lstsq(terms[kept], levels[kept], rcond=None)[0]
        rest = levels - terms @ plane
        kept = np.abs(rest) <= 3 * _deviation(rest)
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    return (plane[0] + plane[1] * y + plane[2] * x).astype(np.float32), _deviation(rest)


def _deviation(values: NDArray[Any]) -> float:
    """The standard deviation of normal values, estimated from the median, which is robust against outliers."""
    return 1.4826 * float(np.median(np.abs(values)))


def _without_dust(ink: Grey, faint: float) -> Grey:
    """Ink without connected patches that hold almost none of it."""
    from scipy import ndimage

    patches, num_patches = ndimage.label(ink > faint * ink.max(), structure=np.ones((3, 3)))
    if num_patches == 1:
        return ink
    amounts = np.bincount(patches.ravel(), weights=ink.ravel())
    is_dust = amounts < DUST * ink.sum()
    is_dust[0] = False
    return np.where(is_dust[patches], np.float32(0), ink)


def _corner_level(picture: Grey) -> float:
    """The median grey level of the corners, each as large as a pixel of the resulting image."""
    size = max(1, max(picture.shape) // IMAGE_SIZE)
    ends = (slice(None, size), slice(-size, None))
    return float(np.median([picture[y, x] for y in ends for x in ends]))


def _cropped(picture: Grey, shown: NDArray[np.bool_]) -> Grey:
    """The smallest box around the pixels that are shown."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resized(box: Grey, size: int) -> Grey:
    """Scale a box so that its longer side has `size` pixels; each pixel is a mean over its area."""
    height, width = (max(1, round(side * size / max(box.shape))) for side in box.shape)
    image = Image.fromarray(np.ascontiguousarray(box, np.float32))
    return np.array(image.resize((width, height), Image.Resampling.HAMMING))


def _centring_offset(amounts: NDArray[Any]) -> int:
    """How many empty rows (or columns) put before these bring their centre of mass to the image's centre."""
    centre = float(amounts @ np.arange(len(amounts)) / amounts.sum())
    return min(max(CENTRE - int(centre + 0.5), 0), IMAGE_SIZE - len(amounts))


def _framed(box: Grey, offsets: tuple[int, int]) -> Pixels:
    """Place a box in an otherwise black image."""
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    rows, columns = (slice(offset, offset + side) for offset, side in zip(offsets, box.shape, strict=True))
    image[rows, columns] = np.rint(box.clip(0, WHITE))
    return image
