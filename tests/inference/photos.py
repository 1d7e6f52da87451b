"""Photos of digits on paper, made of images as MNIST has them: with light from one side, noise, and a table around."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import morphology

Grey = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Grey levels from 0 to 255 of a photo, and by how much the light changes from one end of it to the other.

    `angle` is the largest rotation in degrees, to either side; where it is not 0, the `table` is seen beside the paper.
    `rim` is how much of the table is seen on all sides, as a fraction of the paper. `squares` is the distance between
    lines on the paper in pixels.
    """

    paper: tuple[int, int] = (185, 240)
    ink: tuple[int, int] = (25, 90)
    table: tuple[int, int] = (70, 150)
    slope: tuple[float, float] = (0.0, 0.3)
    falloff: float = 0.0
    noise: float = 4.0
    angle: float = 0.0
    rim: float = 0.0
    squares: int = 0
    is_thin: bool = False


BOARD: Mapping[str, tuple[int, int]] = {"paper": (30, 75), "ink": (190, 235), "table": (110, 170)}

SCENES: Mapping[str, Scene] = {
    "plain paper": Scene(),
    "strong light from one side": Scene(slope=(0.8, 1.2)),
    "a lamp above": Scene(falloff=0.5),
    "turned, a table at the edge": Scene(angle=8, slope=(0.2, 0.7)),
    "turned, a white table at the edge": Scene(paper=(150, 190), table=(225, 250), angle=8),
    "a table on all sides": Scene(angle=8, rim=0.15, slope=(0.0, 0.5)),
    "squared paper": Scene(squares=22),
    "squared paper, turned": Scene(squares=22, angle=8),
    "thin strokes": Scene(is_thin=True),
    "thin strokes, turned": Scene(is_thin=True, angle=8),
    "chalk on a board": Scene(**BOARD),  # type: ignore[arg-type]
    "chalk on a board, turned": Scene(**BOARD, angle=8),  # type: ignore[arg-type]
}


def photo(image: NDArray[np.uint8], scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photo of a digit that is given light on black in 28x28 pixels."""
    return developed(scene, rng, [strokes(image, int(rng.integers(7, 14)), is_thin=scene.is_thin)])


def photo_of_several(images: NDArray[np.uint8], scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photo of several digits in a row."""
    scale = int(rng.integers(7, 12))
    return developed(scene, rng, [strokes(image, scale, is_thin=scene.is_thin) for image in images])


def strokes(image: NDArray[np.uint8], scale: int, *, is_thin: bool = False) -> Grey:
    """How much ink each pixel of an enlarged digit has, from 0 to 1; thin strokes are those of a ballpoint pen."""
    size = (image.shape[1] * scale, image.shape[0] * scale)
    ink = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.float64) / 255
    if not is_thin:
        return ink
    lines = morphology.dilation(morphology.skeletonize(ink > 0.5), morphology.disk(max(1, scale // 5)))
    return ndimage.gaussian_filter(lines.astype(np.float64), 0.7)


def developed(scene: Scene, rng: np.random.Generator, drawn: list[Grey]) -> NDArray[np.uint8]:
    """The photo of a paper with drawings in a row, as JPEG."""
    ink = np.concatenate(drawn, axis=1)
    ink = np.pad(ink, [tuple(rng.integers(0, ink.shape[0] // 2, 2)) for _ in range(2)])
    paper, written, table = (float(rng.integers(*levels)) for levels in (scene.paper, scene.ink, scene.table))
    levels = np.full(ink.shape, paper)
    if scene.squares:
        towards = 0.25 * (written - paper)
        levels[:: scene.squares] += towards
        levels[:, :: scene.squares] = paper + towards
    levels += (written - levels) * ink
    levels = np.pad(levels, round(scene.rim * max(ink.shape)), constant_values=table)
    if scene.angle:
        sheet = Image.fromarray(levels.astype(np.float32))
        angle = rng.uniform(0.3, 1) * scene.angle * rng.choice([-1, 1])
        levels = np.asarray(sheet.rotate(angle, Image.Resampling.BICUBIC, fillcolor=table), np.float64)
    return _taken(levels * _light(levels.shape, scene, rng), scene.noise, rng)


def _light(shape: tuple[int, ...], scene: Scene, rng: np.random.Generator) -> Grey:
    direction, slope = rng.uniform(0, 2 * np.pi), rng.uniform(*scene.slope)
    y, x = np.mgrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    light: Grey = 1 + slope * (np.cos(direction) * x + np.sin(direction) * y) - 2 * scene.falloff * (x**2 + y**2)
    # The brightest place is not overexposed.
    return light / light.max()


def _taken(levels: Grey, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    blurred = ndimage.gaussian_filter(levels, 0.8) + rng.normal(0, noise, levels.shape)
    file = io.BytesIO()
    Image.fromarray(blurred.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))
