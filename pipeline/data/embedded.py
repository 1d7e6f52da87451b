"""Demonstration data that needs no network: the digits in scikit-learn, and a sample of Fashion-MNIST."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# In MNIST a digit fills a box of 20x20 pixels in the middle of an image of 28x28.
IMAGE_SIZE = 28
DIGIT_SIZE = 20
DIGIT_MAXIMUM = 16.0
NUM_DIGITS = 1_797
# What it is, its licence and how it was drawn: fashion_mnist_sample.md.
FASHION_SAMPLE = Path(__file__).with_name("fashion_mnist_sample.npz")


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
    brightness = np.pad(large, ((0, 0), (margin, margin), (margin, margin))) / DIGIT_MAXIMUM
    images = np.rint(brightness.clip(0, 1) * 255).astype(np.uint8)
    labels = labels.astype(np.uint8)
    return images[train], labels[train], images[test], labels[test]


def fashion(train_size: int, test_size: int, seed: int) -> Images:
    """Images of Fashion-MNIST, from a sample of 1,500 for training and 500 for testing.

    Returns train images (n, 28, 28), train labels (n,), test images and test labels, all uint8; the classes are
    balanced to within one image. Raises PipelineError when more images are asked for than there are, or fewer than
    classes.
    """
    with np.load(FASHION_SAMPLE) as sample:
        return (
            *_drawn(sample["train_images"], sample["train_labels"], "train_size", train_size, seed),
            *_drawn(sample["test_images"], sample["test_labels"], "test_size", test_size, seed),
        )


def _drawn(images: np.ndarray, labels: np.ndarray, key: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many of the images in random order, each class as often as the others."""
    num_classes = len(np.unique(labels))
    if not num_classes <= size <= len(labels):
        raise PipelineError(
            f"source.{key}: expected {num_classes} to {len(labels):,} images (the sample of Fashion-MNIST), got "
            f"{size:,}. Correct it in params/data.yaml."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    # The first of every class, then the second of every class, and so on.
    rank = pd.Series(order).groupby(labels[order]).cumcount()
    taken = order[np.sort(np.argsort(rank, kind="stable")[:size])]
    return images[taken], labels[taken]
