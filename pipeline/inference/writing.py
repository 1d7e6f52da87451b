"""Find the digits in a picture: where its paper is, how that is lit, and what is written on it.

Pictures are grey levels from 0 (black) to 255 (white), written dark on light or light on dark.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import filters, measure, morphology

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

WHITE = 255.0
# Digits are looked for in pictures of at most this size, and their paper in those of at most that.
WORKING_SIZE, PAPER_SIZE = 600, 200
# Ink differs from the paper by a tenth of the range from black to white at least; less is a shadow or noise.
LEAST_CONTRAST = 0.1 * WHITE
# The gradient, in grey levels per pixel, where paper ends or ink begins. Light and shadow change more slowly.
EDGE = 3.0
# Lines thinner than this fraction of the picture do not divide the paper: squares may be printed on it.
THIN = 1 / 20
# Paper with a table on all sides is at least this fraction of the picture, and has so much of the smallest rectangle
# around it. An ellipse, as the inside of a 0, would have 0.785 of its own.
LEAST_PAPER, LEAST_RECTANGULAR = 0.2, 0.85
# Below this level the light of a dark ground is not told from the camera's noise.
DARKEST_GROUND = 40.0
# Pixels fainter than this fraction of the strongest ink are blur at the edge of a stroke, or a trace of compression.
# In pictures as small as a dataset's even faint pixels count.
FAINT, FAINT_IN_SMALL, SMALL_SIZE = 0.25, 0.01, 64
# Standard deviations of the paper's noise below which a pixel is not ink: of a million pixels of normal noise, at
# most one is beyond.
NOISE_DEVIATIONS = 5.0
# By so much of its size a photo is blurred against noise.
BLUR = 1 / 400
# A patch with less than this fraction of all ink is dust.
DUST = 0.01
# A patch that reaches so far across the paper is lines printed on it, unless nothing else is there.
SPANNING = 0.9
# A patch lower than this fraction of the tallest one is part of a digit, as the bar of a 5, and no digit of its own.
LEAST_HEIGHT = 0.5
# Two tall patches are parts of one digit if they share so much of the narrower one's columns, and are closer above each
# other than this fraction of the lower one's height.
PART_OVERLAP, PART_GAP = 0.3, 0.25


class BlankPictureError(ValueError):
    """A picture with nothing on its background."""


@dataclass(frozen=True)
class Paper:
    """The paper of a picture: where it is, its grey level at each pixel, by how much the picture differs from that, and
    the standard deviation of this difference where nothing is written.
    """

    extent: Mask
    level: Grey
    difference: Grey
    noise: float


def digits(picture: Grey) -> list[Grey]:
    """The ink of each digit in the smallest box around it: rows from above, each from left to right.

    Raises BlankPictureError if nothing stands out from the paper.
    """
    # Gradients need three pixels.
    reduced = np.pad(_reduced(picture, WORKING_SIZE), 1, mode="edge")
    paper = _paper(reduced)
    ink = _ink(paper)
    patches = _written(ink, paper.extent)
    found = []
    for group in _groups(measure.regionprops(patches)):
        inside = np.isin(patches, [patch.label for patch in group])
        found.append(cropped(np.where(inside, ink, np.float32(0)), inside))
    return found


def cropped(picture: Grey, shown: Mask) -> Grey:
    """The smallest box around the pixels that are shown."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _reduced(picture: Grey, size: int) -> Grey:
    """The picture with its longer side of at most a size, by means over squares."""
    factor = math.ceil(max(picture.shape) / size)
    return picture if factor == 1 else np.asarray(Image.fromarray(picture).reduce(factor))


def _resized(picture: NDArray[Any], shape: tuple[int, ...], resampling: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), resampling))


def _paper(picture: Grey) -> Paper:
    """Find the paper: the largest part without an edge in it, lines aside, and what it encloses.

    Below ink, and beyond the paper's own edge, its level is that of the nearest pixel.
    """
    small = _reduced(picture, PAPER_SIZE)
    radius = round(max(small.shape) * THIN / 2)
    smooth = filters.rank.median(np.rint(small).astype(np.uint8), morphology.disk(radius)).astype(np.float32)
    parts = measure.label(filters.sobel(smooth) <= EDGE, connectivity=1)
    if not parts.any():
        return _flat(picture, np.ones(picture.shape, np.bool_), np.median(picture))
    bare = _evenly_lit(smooth, parts == _paper_among(measure.regionprops(parts), parts.shape))
    extent = _resized(morphology.convex_hull_image(bare), picture.shape, Image.Resampling.NEAREST)
    is_bare = _resized(bare, picture.shape, Image.Resampling.NEAREST)
    median = np.median(picture[is_bare])
    if _deviation(picture[is_bare] - median) == 0:
        return _flat(picture, extent, median)
    nearest = ndimage.distance_transform_edt(~bare, return_distances=False, return_indices=True)
    level = ndimage.gaussian_filter(smooth[tuple(nearest)], max(small.shape) * THIN, mode="nearest")
    level = _resized(level, picture.shape, Image.Resampling.BILINEAR)
    difference = ndimage.gaussian_filter(picture - level, max(picture.shape) * BLUR)
    return Paper(extent, level, difference, _deviation(difference[is_bare]))


def _flat(picture: Grey, extent: Mask, level: np.floating[Any]) -> Paper:
    """Paper of exactly one colour, drawn on a screen or scanned."""
    return Paper(extent, np.full_like(picture, level), picture - level, 0.0)


def _evenly_lit(picture: Grey, part: Mask) -> Mask:
    """Leave out of a part what does not follow the light, such as faint or blurred ink without an edge."""
    y, x = (axis.ravel() / max(picture.shape) for axis in np.indices(picture.shape, np.float32))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    levels, inside = picture.ravel(), part.ravel()
    kept = inside
    for _ in range(3):
        light = np.linalg.lstsq(terms[kept], levels[kept], rcond=None)[0]
        rest = np.abs(levels - terms @ light)
        kept = inside & (rest <= max(EDGE, 3 * _deviation(rest[inside])))
    return kept.reshape(picture.shape)


def _deviation(values: NDArray[Any]) -> float:
    """The standard deviation of normal values, estimated from the median, which is robust against outliers."""
    return 1.4826 * float(np.median(np.abs(values)))


def _paper_among(parts: Sequence[Any], shape: tuple[int, ...]) -> int:
    """The label of the largest part, unless that is a table which surrounds a sheet."""
    largest_first = sorted(parts, key=lambda part: part.area, reverse=True)
    for part in largest_first[1:]:
        top, left, bottom, right = part.bbox
        is_within = top > 0 and left > 0 and bottom < shape[0] and right < shape[1]
        if is_within and part.area_filled >= LEAST_PAPER * shape[0] * shape[1] and _is_rectangular(part.image_filled):
            return int(part.label)
    return int(largest_first[0].label)


def _is_rectangular(shape: Mask) -> bool:
    """Whether a shape fills most of a rectangle, turned by any angle."""
    angles = np.deg2rad(np.arange(0, 90, 3))
    across = np.argwhere(shape) @ np.stack([np.cos(angles), np.sin(angles)])
    along = np.argwhere(shape) @ np.stack([-np.sin(angles), np.cos(angles)])
    rectangles = (np.ptp(across, axis=0) + 1) * (np.ptp(along, axis=0) + 1)
    return bool(shape.sum() >= LEAST_RECTANGULAR * rectangles.min())


def _ink(paper: Paper) -> Grey:
    """By how much each pixel is darker than the paper, or lighter, whichever more of it is, as a part of its level."""
    floor = NOISE_DEVIATIONS * paper.noise
    lighter, darker = (paper.difference - floor).clip(0), (-paper.difference - floor).clip(0)
    ink: Grey = lighter if lighter[paper.extent].sum() >= darker[paper.extent].sum() else darker
    if ink[paper.extent].max() < LEAST_CONTRAST:
        raise BlankPictureError
    return (ink / paper.level.clip(DARKEST_GROUND)).astype(np.float32)


def _written(ink: Grey, extent: Mask) -> Labels:
    """Label the connected patches of ink that are writing, and neither dust, nor lines on the paper, nor beyond it."""
    faint = FAINT if max(ink.shape) > SMALL_SIZE else FAINT_IN_SMALL
    shown = ink > faint * ink[extent].max()
    patches = _on_paper(measure.label(shown, connectivity=2), ink, extent)
    spanning = list(_spanning(patches, extent))
    if not spanning:
        return patches
    # Lines printed on the paper are fainter than ink, or no digit touches them.
    strong = ink > filters.threshold_otsu(ink[shown & extent])
    patches = _on_paper(measure.label(strong, connectivity=2), ink, extent)
    lines = np.isin(patches, list(_spanning(patches, extent)))
    if (ink * (patches > 0) * ~lines).sum() >= DUST * ink[strong].sum():
        patches = np.where(lines, 0, patches)
    return np.where(shown, morphology.dilation(patches, morphology.disk(2)), 0)


def _on_paper(patches: Labels, ink: Grey, extent: Mask) -> Labels:
    """The patches most of whose ink lies on the paper, or all if there is none; without dust."""
    amounts = np.bincount(patches.ravel(), ink.ravel())
    inside = np.bincount(patches.ravel(), (ink * extent).ravel())
    kept = inside >= 0.5 * amounts
    if not kept[1:].any():
        kept[:] = True
    kept[0] = False
    kept &= amounts >= DUST * amounts[kept].sum()
    return np.where(kept[patches], patches, 0)


def _spanning(patches: Labels, extent: Mask) -> Iterator[int]:
    """The labels of patches that reach from one side of the paper to the other."""
    height, width = (np.count_nonzero(extent.any(axis=axis)) for axis in (1, 0))
    for patch in measure.regionprops(patches):
        top, left, bottom, right = patch.bbox
        if bottom - top > SPANNING * height or right - left > SPANNING * width:
            yield patch.label


def _groups(patches: Sequence[Any]) -> list[list[Any]]:
    """Sort patches by the digit that they belong to: each tall one is a digit, or part of the one above or below it."""
    least = LEAST_HEIGHT * max(_height(patch) for patch in patches)
    groups: list[list[Any]] = []
    for patch in patches:
        if _height(patch) >= least:
            joined = [group for group in groups if any(_are_parts(patch, other) for other in group)]
            groups = [group for group in groups if group not in joined]
            groups.append([patch, *(other for group in joined for other in group)])
    tall = list(groups)
    for patch in patches:
        if _height(patch) < least:
            nearest = min(range(len(tall)), key=lambda number: min(_distance(patch, other) for other in tall[number]))
            groups[nearest] = [*groups[nearest], patch]
    return _in_reading_order(groups, least)


def _height(patch: Any) -> int:
    return int(patch.bbox[2] - patch.bbox[0])


def _gaps(one: Any, other: Any) -> tuple[int, int]:
    """How many rows and columns lie between the boxes around two patches; negative by how much they overlap."""
    starts = [max(one.bbox[axis], other.bbox[axis]) for axis in (0, 1)]
    ends = [min(one.bbox[axis + 2], other.bbox[axis + 2]) for axis in (0, 1)]
    return starts[0] - ends[0], starts[1] - ends[1]


def _distance(one: Any, other: Any) -> float:
    rows, columns = _gaps(one, other)
    return math.hypot(max(0, rows), max(0, columns))


def _are_parts(one: Any, other: Any) -> bool:
    """Whether two tall patches are parts of one digit."""
    rows, columns = _gaps(one, other)
    narrower = min(patch.bbox[3] - patch.bbox[1] for patch in (one, other))
    return -columns >= PART_OVERLAP * narrower and rows < PART_GAP * min(_height(one), _height(other))


def _in_reading_order(groups: list[list[Any]], line_height: float) -> list[list[Any]]:
    """Digits by rows from above, each from left to right."""
    centres = [float(np.mean([patch.bbox[0] + patch.bbox[2] for patch in group])) / 2 for group in groups]
    row, row_of, last = 0, {}, min(centres)
    for number in np.argsort(centres):
        row += centres[number] - last > line_height
        last = centres[number]
        row_of[number] = row
    order = sorted(row_of, key=lambda number: (row_of[number], min(patch.bbox[1] for patch in groups[number])))
    return [groups[number] for number in order]
