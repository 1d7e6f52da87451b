"""Sections about data: sources, weights, datasets and their splits, signals, features of a frozen network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.config.section import FileName, Name, PathBelow, Section, Sha256, type_of_sequence


class IdxFiles(Section):
    """Four IDX files that are published on the web.

    `folder` is their place below a mirror, `urls` are the public folders that hold them, `sha256` maps each file name
    to the hash of its decompressed content.
    """

    kind: Literal["idx_files"]
    folder: Name
    urls: Annotated[tuple[str, ...], type_of_sequence]
    sha256: Mapping[FileName, Sha256]


class EmbeddedImages(Section):
    """Small images made without a network, for demonstration: real bundled digits or drawn garments."""

    kind: Literal["embedded"]
    images: Literal["digits", "garments"]
    train_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt


Source = Annotated[IdxFiles | EmbeddedImages, Field(discriminator="kind")]


class WeightsFile(Section):
    """One published file of a source: where it lies, and the hash of its content (which differs between publishers)."""

    url: str
    sha256: Sha256


class MirroredFile(Section):
    """The place of a file below a mirror, and the hash of its content there."""

    url: PathBelow
    sha256: Sha256


class PublishedWeights(Section):
    """ImageNet weights of a Keras application, without its top.

    `mirrored` is the file's place below a mirror, with the hash of that file; `published` are public files, tried in
    this order.
    """

    kind: Literal["published"]
    architecture: Literal["mobilenet_v2"]
    mirrored: MirroredFile
    published: Annotated[tuple[WeightsFile, ...], type_of_sequence]


class RandomWeights(Section):
    """Untrained weights in place of published ones, for demonstration without a network."""

    kind: Literal["random"]
    architecture: Literal["mobilenet_v2"]
    seed: NonNegativeInt


Weights = Annotated[PublishedWeights | RandomWeights, Field(discriminator="kind")]


class Split(Section):
    """The stratified split of the training images into training and validation.

    Without `train_size`, all that is not for validation is for training.
    """

    validation_size: PositiveInt
    train_size: PositiveInt | None = None
    seed: NonNegativeInt


class Dataset(Section):
    """Images with one label each; `example` is the training image that the study shows.

    `source` names the raw files. With `keep`, only images with these labels are in the dataset, and their labels become
    0, 1, ... in the order of `keep`.
    """

    title: str
    source: Name
    keep: Annotated[tuple[NonNegativeInt, ...], type_of_sequence] = ()
    classes: Annotated[tuple[str, ...], type_of_sequence]
    split: Split
    example: NonNegativeInt


Wave = Annotated[tuple[float, float, float, float], type_of_sequence]


# How a picture file becomes an image of a dataset: as MNIST or as Fashion-MNIST was made.
PictureKind = Literal["digits", "garments"]


class Signal(Section):
    """Waves a sin(b x) + c cos(d x) and their (a, b, c, d).

    x are `num_points` equally spaced points from 0 to `length_in_pi` pi. The parameters of the training, validation and
    test rows are uniform in [0, 1]; those of the `extended` test rows are given. `example` is a wave that is shown.
    `demonstration` marks sizes that are too small for figures to mean anything. A signal is at once a dataset and the
    study of what is learnt from it.
    """

    title: str
    num_points: PositiveInt
    length_in_pi: PositiveFloat
    train_size: PositiveInt
    validation_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt
    example: Wave
    extended: Annotated[tuple[Wave, ...], Field(strict=False, min_length=1)]
    demonstration: bool = False


class Features(Section):
    """What a frozen network makes of a dataset's images: computed once, trained on by many.

    Images are brought to `size` x `size` by zero padding or bilinear interpolation, their pixels left `raw` (0-255) or
    scaled to [-1, 1] (`symmetric`), and the grey channel repeated to RGB.
    """

    dataset: Name
    weights: Name
    # MobileNetV2 takes nothing smaller.
    size: Annotated[int, Field(ge=32)]
    resize: Literal["pad", "bilinear"]
    pixels: Literal["raw", "symmetric"]
