"""Convert pictures of any size to the 28x28 images of MNIST or Fashion-MNIST.

Pictures are grey levels from 0 (black) to 255 (white), of digits on paper or of one garment on a plain background,
light on dark or dark on light.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.data import PictureKind
from pipeline.inference import writing
from pipeline.inference.writing import WHITE, Grey, cropped

Pixels = NDArray[np.uint8]

IMAGE_SIZE = 28
# MNIST has each digit in a box of this size, and its centre of mass in this row and column.
DIGIT_SIZE = 20
CENTRE = IMAGE_SIZE // 2
# Fashion-MNIST trims edges within 5 % of the colour of the corners.
NEAR_GROUND = 0.05 * WHITE
# In the dataset's own images, also when compression has left traces: the margin is darker than this on average, and
# what is brighter than `SHOWN` has the size and the place of a digit or garment, up to some pixels.
DARK, SHOWN = 16.0, 64.0
SIZE_TOLERANCE, PLACE_TOLERANCE = 3, 1.5


def as_dataset(picture: NDArray[Any], kind: PictureKind) -> Pixels:
    """Convert a picture (height, width) to the images (n, 28, 28) of its digits, or to that of its garment.

    A picture that is such an image already, or the negative of one, passes through as it is: to crop and scale 28x28
    pixels once more costs detail. Raises BlankPictureError if nothing stands out from the background.
    """
    grey = picture.astype(np.float32)
    for candidate in (grey, WHITE - grey):
        if grey.shape == (IMAGE_SIZE, IMAGE_SIZE) and IS_LIKE_DATASET[kind](candidate):
            return np.rint(candidate).astype(np.uint8)[np.newaxis]
    return np.stack([as_mnist(ink) for ink in writing.digits(grey)] if kind == "digits" else [as_fashion_mnist(grey)])


def is_like_mnist(image: Grey) -> bool:
    """Whether an image (28, 28) is light on a dark margin, with a digit of MNIST's size, its mass in the middle."""
    is_margin = np.ones(image.shape, bool)
    is_margin[2:-2, 2:-2] = False
    shown = image > SHOWN
    if image[is_margin].mean() >= DARK or not shown.any():
        return False
    centre = [float(np.average(np.arange(IMAGE_SIZE), weights=(image * shown).sum(axis=axis))) for axis in (1, 0)]
    is_centred = all(abs(place - CENTRE) <= PLACE_TOLERANCE for place in centre)
    return is_centred and abs(max(cropped(image, shown).shape) - DIGIT_SIZE) <= SIZE_TOLERANCE


def is_like_fashion_mnist(image: Grey) -> bool:
    """Whether an image (28, 28) is light on dark corners, its longer side that of the image."""
    shown = image > SHOWN
    if _corner_level(image) >= DARK or not shown.any():
        return False
    return max(cropped(image, shown).shape) >= IMAGE_SIZE - SIZE_TOLERANCE


IS_LIKE_DATASET: Mapping[PictureKind, Callable[[Grey], bool]] = {
    "digits": is_like_mnist,
    "garments": is_like_fashion_mnist,
}


def as_mnist(ink: Grey) -> Pixels:
    """Convert the ink of a digit to MNIST's format: in a 20x20 box, its centre of mass in the middle of 28x28.

    MNIST's digits were "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio", with grey
    levels from anti-aliasing, and "centered in a 28x28 image by computing the center of mass of the pixels"
    (http://yann.lecun.com/exdb/mnist/). Those were scans, black and white: the ink is stretched to full contrast.
    """
    box = _resized(ink, DIGIT_SIZE)
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
        raise writing.BlankPictureError
    # By the sign of most of the difference: a white shirt may lie on a grey background.
    is_dark_on_light = (ground - picture)[differs].sum() > 0
    contrast = WHITE / (ground if is_dark_on_light else WHITE - ground)
    garment = contrast * (ground - picture if is_dark_on_light else picture - ground)
    box = _resized(cropped(garment, differs).clip(0, WHITE), IMAGE_SIZE)
    # Where a margin is odd, Fashion-MNIST has the wider half above and to the left.
    offsets = ((IMAGE_SIZE - box.shape[0] + 1) // 2, (IMAGE_SIZE - box.shape[1] + 1) // 2)
    return _framed(box, offsets)


def _corner_level(picture: Grey) -> float:
    """The median grey level of the corners, each as large as a pixel of the resulting image."""
    size = max(1, max(picture.shape) // IMAGE_SIZE)
    ends = (slice(None, size), slice(-size, None))
    return float(np.median([picture[y, x] for y in ends for x in ends]))


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
