"""Demonstration data that needs no network: the real digits in scikit-learn, and drawn garments."""

from collections.abc import Callable

import numpy as np

from pipeline.errors import PipelineError

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# A polygon's corners, shape (n, 2), x to the right and y downwards, both -1 to 1 over the image; and its brightness.
Part = tuple[np.ndarray, float]
Garment = Callable[[np.random.Generator], list[Part]]

IMAGE_SIZE = 28
# In MNIST a digit fills a box of this size in the middle of the image.
DIGIT_SIZE = 20
DIGIT_MAXIMUM = 16.0
NUM_DIGITS = 1_797
# Points per pixel along each axis; averaging them smooths the edges.
OVERSAMPLING = 3


def digits(train_size: int, test_size: int, seed: int) -> Images:
    """Handwritten digits of scikit-learn, 8x8 pixels, enlarged to 28x28.

    Returns train images (n, 28, 28), train labels (n,), test images and test labels, all uint8; no image is in both.
    Raises PipelineError when more images are asked for than there are, or too few for each digit to be in both.
    """
    from scipy import ndimage
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if train_size + test_size > NUM_DIGITS:
        raise PipelineError(
            f"source.train_size + source.test_size: expected at most {NUM_DIGITS:,} (scikit-learn's digits), "
            f"got {train_size + test_size:,}. Lower them in params/data.yaml."
        )
    small, labels = load_digits(return_X_y=True)
    try:
        train, test = train_test_split(
            np.arange(len(labels)), train_size=train_size, test_size=test_size, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise PipelineError(
            f"source.train_size, source.test_size: expected at least 10 images each, one of every digit, "
            f"got {train_size} and {test_size} ({error}). Raise them in params/data.yaml."
        ) from None
    zoom = (1, DIGIT_SIZE / 8, DIGIT_SIZE / 8)
    large = ndimage.zoom(small.reshape(-1, 8, 8), zoom, order=3, mode="grid-constant", grid_mode=True)
    margin = (IMAGE_SIZE - DIGIT_SIZE) // 2
    images = _to_bytes(np.pad(large, ((0, 0), (margin, margin), (margin, margin))) / DIGIT_MAXIMUM)
    labels = labels.astype(np.uint8)
    return images[train], labels[train], images[test], labels[test]


def garments(train_size: int, test_size: int, seed: int) -> Images:
    """Silhouettes of the ten kinds of Fashion-MNIST, in its order, with random shape, brightness and noise.

    Returns train images (n, 28, 28), train labels (n,), test images and test labels, all uint8. The classes are
    balanced to within one image.
    """
    train_seed, test_seed = np.random.SeedSequence(seed).spawn(2)
    return (*_draw_all(train_size, train_seed), *_draw_all(test_size, test_seed))


def _draw_all(size: int, seed: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(size) % len(GARMENTS)).astype(np.uint8)
    return np.stack([_draw(GARMENTS[label](rng), rng) for label in labels]), labels


def _draw(parts: list[Part], rng: np.random.Generator) -> np.ndarray:
    """Paint parts over each other, with a random distortion, shading and noise."""
    num_points = IMAGE_SIZE * OVERSAMPLING
    axis = (np.arange(num_points) + 0.5) * 2 / num_points - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    canvas = np.zeros_like(x)
    angle, shear = rng.normal(0, 0.05, 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, 0], [shear, 1]]) @ np.diag(rng.uniform(0.85, 1.05, 2))
    offset = rng.uniform(-0.07, 0.07, 2)
    for corners, brightness in parts:
        canvas[_inside(corners @ matrix + offset, x, y)] = brightness
    image = canvas.reshape(IMAGE_SIZE, OVERSAMPLING, IMAGE_SIZE, OVERSAMPLING).mean(axis=(1, 3))
    image *= rng.uniform(0.45, 1.0) * _random_shading(rng)
    # Published photographs have a black background: noise belongs to the cloth.
    image += (image > 0) * rng.normal(0, 0.06, image.shape)
    return _to_bytes(image)


def _random_shading(rng: np.random.Generator) -> np.ndarray:
    """Smooth light and shade over the image, around 1."""
    axis = np.linspace(0, 1, IMAGE_SIZE)
    across, down = rng.uniform(-8, 8, 2)
    waves: np.ndarray = np.sin(axis[:, np.newaxis] * down + axis * across + rng.uniform(0, 2 * np.pi))
    return 1 + waves * rng.uniform(0, 0.25)


def _inside(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie in a polygon: those with an odd number of edges to their right."""
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """Brightness 0 to 1 as uint8 0 to 255; what lies outside is clipped."""
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


def _mirrored(right_half: list[tuple[float, float]]) -> np.ndarray:
    """A symmetric outline from its right half, given from top to bottom."""
    right = np.array(right_half)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _top(rng: np.random.Generator, *, sleeve: float, length: float, flare: float, neck: float) -> list[Part]:
    """A garment for the upper body. `sleeve` is 0 (none) to 1 (to the wrist), the others are fractions of the image."""
    shoulder, waist = rng.uniform(0.38, 0.48), rng.uniform(0.34, 0.42)
    top, spread = -length / 2, rng.uniform(0.12, 0.3)
    armpit = top + rng.uniform(0.34, 0.42)
    bottom = top + length
    cuff_x, cuff_y = shoulder + 0.1 + spread * sleeve, top + 0.2 + 0.75 * length * sleeve
    cuff_width = 0.26 - 0.08 * sleeve
    outline = [
        (0.0, top + neck),
        (0.17, top),
        (shoulder, top + 0.08),
        (cuff_x + cuff_width / 2, cuff_y),
        (cuff_x - cuff_width / 2, cuff_y + 0.07),
        (waist, armpit),
        (waist + flare, bottom),
    ]
    return [(_mirrored(outline), 0.85)]


def _t_shirt(rng: np.random.Generator) -> list[Part]:
    sleeve, length, neck = rng.uniform(0.1, 0.3), rng.uniform(1.4, 1.65), rng.uniform(0.08, 0.22)
    return _top(rng, sleeve=sleeve, length=length, flare=0.02, neck=neck)


def _trouser(rng: np.random.Generator) -> list[Part]:
    waist, hip, gap = rng.uniform(0.24, 0.32), rng.uniform(0.3, 0.4), rng.uniform(0.03, 0.1)
    crotch, ankle = rng.uniform(-0.4, -0.2), rng.uniform(0.12, 0.2)
    outline = [(waist, -0.9), (hip, -0.5), (gap + ankle + rng.uniform(0, 0.15), 0.9), (gap, 0.9), (0.0, crotch)]
    return [(_mirrored(outline), 0.85), (_mirrored([(waist, -0.9), (waist, -0.82)]), 1.0)]


def _pullover(rng: np.random.Generator) -> list[Part]:
    length = rng.uniform(1.4, 1.65)
    body = _top(rng, sleeve=rng.uniform(0.85, 1.0), length=length, flare=-0.02, neck=rng.uniform(0.04, 0.1))
    hem = _mirrored([(0.36, length / 2 - 0.12), (0.36, length / 2)])
    return [*body, (hem, 0.75)] if rng.random() < 0.5 else body


def _dress(rng: np.random.Generator) -> list[Part]:
    shoulder, waist, hem = rng.uniform(0.18, 0.3), rng.uniform(0.16, 0.24), rng.uniform(0.3, 0.55)
    middle = rng.uniform(-0.3, -0.1)
    outline = [(0.0, -0.92 + rng.uniform(0.08, 0.3)), (0.12, -0.92), (shoulder, -0.85)]
    sleeves = [(shoulder + 0.14, -0.6), (shoulder + 0.02, -0.5)] if rng.random() < 0.3 else []
    return [(_mirrored([*outline, *sleeves, (waist + 0.04, -0.48), (waist, middle), (hem, 0.92)]), 0.85)]


def _coat(rng: np.random.Generator) -> list[Part]:
    sleeve, length = rng.uniform(0.75, 0.9), rng.uniform(1.6, 1.8)
    body = _top(rng, sleeve=sleeve, length=length, flare=rng.uniform(0, 0.1), neck=rng.uniform(0.15, 0.35))
    opening = _box(-0.02, -length / 2 + 0.1, 0.03, length / 2)
    return [*body, (opening, rng.uniform(0.3, 0.9))]


def _sandal(rng: np.random.Generator) -> list[Part]:
    heel, thickness = rng.uniform(0.1, 0.5), rng.uniform(0.07, 0.12)
    ground = 0.4
    sole = [(-0.85, ground), (-0.2, ground - 0.03), (0.5, ground - heel), (0.85, ground - heel)]
    under = [(x, y + thickness) for x, y in reversed(sole)]
    post = _box(0.65, ground - heel, 0.85, ground + thickness)
    instep = ground - rng.uniform(0.38, 0.5)
    vamp = np.array([(-0.7, ground), (-0.5, instep + 0.15), (-0.2, instep), (0.1, instep - 0.03), (0.15, ground)])
    toes = np.array([(-0.52, ground), (-0.42, instep + 0.2), (-0.28, instep + 0.13), (-0.32, ground)])
    gap = np.array([(-0.18, ground), (-0.14, instep + 0.1), (0.0, instep + 0.08), (0.02, ground)])
    back_top = ground - heel - 0.45
    back = np.array([(0.7, ground - heel), (0.6, back_top), (0.72, back_top - 0.05), (0.85, ground - heel)])
    ankle = np.array([(0.0, instep), (0.6, back_top - 0.05), (0.7, back_top + 0.05), (0.1, instep + 0.12)])
    holes: list[Part] = [(hole, 0.0) for hole in (toes, gap) if rng.random() < 0.8]
    straps: list[Part] = [(back, 0.7), (ankle, 0.8)] if rng.random() < 0.75 else []
    return [(vamp, rng.uniform(0.6, 0.9)), *holes, *straps, (post, 0.8), (np.array([*sole, *under]), 0.9)]


def _shirt(rng: np.random.Generator) -> list[Part]:
    sleeve = rng.uniform(0.15, 0.35) if rng.random() < 0.4 else rng.uniform(0.8, 1.0)
    length = rng.uniform(1.45, 1.75)
    body = _top(rng, sleeve=sleeve, length=length, flare=rng.uniform(-0.02, 0.06), neck=rng.uniform(0.1, 0.25))
    top = -length / 2
    placket = _box(-0.025, top + 0.15, 0.025, length / 2 - 0.05)
    collar = [np.array([(side * 0.18, top), (side * 0.22, top + 0.2), (0, top + 0.22)]) for side in (-1, 1)]
    details: list[Part] = [(corners, 1.0) for corners in collar] if rng.random() < 0.7 else []
    return [*body, *details, (placket, rng.uniform(0.65, 1.0))]


def _sneaker(rng: np.random.Generator) -> list[Part]:
    opening, tongue = rng.uniform(-0.2, -0.05), rng.uniform(0.05, 0.3)
    front = [(-0.88, 0.3), (-0.8, 0.1), (-0.5, 0.0), (tongue - 0.2, -0.3), (tongue, -0.3 + opening / 2)]
    upper = np.array([*front, (0.45, -0.1), (0.75, -0.3), (0.85, -0.25), (0.88, 0.3)])
    sole = _box(-0.9, 0.28, 0.9, 0.28 + rng.uniform(0.1, 0.2))
    return [(upper, rng.uniform(0.6, 0.9)), (sole, rng.uniform(0.5, 1.0))]


def _bag(rng: np.random.Generator) -> list[Part]:
    width, top, bottom = rng.uniform(0.6, 0.88), rng.uniform(-0.4, -0.1), rng.uniform(0.5, 0.85)
    taper, handle = rng.uniform(-0.12, 0.12), rng.uniform(0.25, 0.5)
    rise = rng.uniform(0.25, 0.5)
    angles = np.linspace(np.pi, 2 * np.pi, 13)
    arc = np.stack([np.cos(angles), np.sin(angles) * rise / handle], axis=1)
    strap = np.concatenate([arc * handle, arc[::-1] * (handle - 0.1)])
    strap[:, 1] += top
    parts: list[Part] = [(strap, 0.8), (_mirrored([(width + taper, top), (width, bottom)]), 0.8)]
    flap = _mirrored([(width + taper, top), (0.5 * width, top + 0.35)])
    return [*parts, (flap, rng.uniform(0.6, 1.0))] if rng.random() < 0.5 else parts


def _ankle_boot(rng: np.random.Generator) -> list[Part]:
    shaft, heel = rng.uniform(-0.85, -0.5), rng.uniform(0.05, 0.3)
    ankle, top = rng.uniform(0.05, 0.2), rng.uniform(0.0, 0.15)
    ground = 0.6
    front = [(-0.88, ground), (-0.85, ground - 0.25), (-0.5, ground - 0.4), (ankle - 0.1, 0.0), (top, shaft)]
    upper = np.array([*front, (0.8, shaft + rng.uniform(-0.08, 0.08)), (0.82, ground), (0.4, ground - heel / 2)])
    sole = _box(-0.9, ground, 0.3, ground + 0.1)
    block = _box(0.45, ground - heel / 2, 0.85, ground + 0.1)
    return [(upper, 0.85), (sole, rng.uniform(0.4, 1.0)), (block, rng.uniform(0.4, 1.0))]


# In the order of Fashion-MNIST's labels.
GARMENTS: tuple[Garment, ...]
GARMENTS = (_t_shirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _ankle_boot)
