"""Sections about data: sources, weights, datasets and their splits, signals, features of a frozen network."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.config.section import FileName, ListOf, Name, NameIn, PathBelow, Section, Sha256


class IdxFiles(Section):
    """Four published IDX files: their `folder` below a mirror or the `urls`, the hash of each one unpacked."""

    kind: Literal["idx_files"]
    folder: Name
    urls: ListOf[str]
    sha256: Mapping[FileName, Sha256]


class EmbeddedImages(Section):
    """Small images made without a network, for demonstration: bundled digits, or a sample of Fashion-MNIST."""

    kind: Literal["embedded"]
    images: Literal["digits", "fashion"]
    train_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt


Source = Annotated[IdxFiles | EmbeddedImages, Field(discriminator="kind")]


class WeightsFile(Section):
    """A published file: its address, and the hash of its content (which differs between publishers)."""

    url: str
    sha256: Sha256


class MirroredFile(WeightsFile):
    """A file of a mirror: its path below the mirror, and the hash of its content there."""

    url: PathBelow


class PublishedWeights(Section):
    """ImageNet weights of a Keras application, without its top: a mirror's file, else the first published one."""

    kind: Literal["published"]
    architecture: Literal["mobilenet_v2"]
    mirrored: MirroredFile
    published: ListOf[WeightsFile]


class RandomWeights(Section):
    """Untrained weights in place of published ones, for demonstration without a network."""

    kind: Literal["random"]
    architecture: Literal["mobilenet_v2"]
    seed: NonNegativeInt


Weights = Annotated[PublishedWeights | RandomWeights, Field(discriminator="kind")]


class Split(Section):
    """The stratified split of a dataset's training images; without `train_size`, all that remain are for training."""

    validation_size: PositiveInt
    train_size: PositiveInt | None = None
    seed: NonNegativeInt


class Dataset(Section):
    """Images with one label each; `example` is the index of the training image that example.png shows.

    Of `further_examples` statistics.json has the labels too. With `keep`, only images with these labels are in the
    dataset, and these become 0, 1, ... in the order of `keep`. `demonstration` marks data of which metrics must not mix
    with real ones: all that is embedded.
    """

    title: str
    source: Annotated[Name, NameIn(("sources",))]
    demonstration: bool = False
    keep: ListOf[NonNegativeInt] = ()
    classes: ListOf[str]
    split: Split
    example: NonNegativeInt
    further_examples: ListOf[NonNegativeInt] = ()

    @property
    def shown(self) -> tuple[int, ...]:
        """The indices of the training images, before the split, that are shown with their labels."""
        return (self.example, *self.further_examples)


Wave = Annotated[tuple[float, float, float, float], Field(strict=False)]

# How a picture file becomes an image of a dataset: as MNIST or as Fashion-MNIST was made.
PictureKind = Literal["digits", "garments"]


class Signal(Section):
    """Waves a sin(b x) + c cos(d x) and their (a, b, c, d).

    x are `num_points` equally spaced points from 0 to `length_in_pi` pi. The parameters of the training, validation and
    test rows are uniform in [0, 1]; those of the `extended` test rows are given. `example` is the wave that is plotted.
    `demonstration` marks sizes too small for metrics to mean anything. A signal is both a dataset and a study.
    """

    title: str
    num_points: PositiveInt
    length_in_pi: PositiveFloat
    train_size: PositiveInt
    validation_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt
    example: Wave
    extended: Annotated[ListOf[Wave], Field(min_length=1)]
    demonstration: bool = False


class Features(Section):
    """The output of a frozen network for a dataset's images, which several variants use.

    Images are brought to `size` x `size` by zero padding or bilinear interpolation, their pixels left `raw` (0-255) or
    scaled to [-1, 1] (`symmetric`), and the grey channel repeated to RGB.
    """

    dataset: Annotated[Name, NameIn(("datasets",))]
    weights: Annotated[Name, NameIn(("weights",))]
    # MobileNetV2 takes nothing smaller.
    size: Annotated[int, Field(ge=32)]
    resize: Literal["pad", "bilinear"]
    pixels: Literal["raw", "symmetric"]
