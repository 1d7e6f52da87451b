"""Sections about what is compared: studies, contrasts, repeats, registered models and what they must meet."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from pipeline.config.models import Engine
from pipeline.config.section import Fraction, ListOf, Name, NameIn, Section


class Study(Section):
    """A group of variants that are compared; one MLflow experiment.

    `tolerance` is how far a test accuracy may lie from the reported one and still count as reproduced, as a fraction;
    without it nothing is judged. `variants` names its classifiers, in the order of tables and plots. Those that do not
    belong to the study itself belong to the one named in `shared_from` (the study itself if there are none); with
    `beside_all` it is compared with every variant of that study.
    """

    title: str
    dataset: Annotated[Name, NameIn(("datasets",))]
    tolerance: NonNegativeFloat | None = None
    shared_from: Annotated[Name, NameIn(("studies",))]
    beside_all: bool = False
    variants: Annotated[ListOf[Name], Field(min_length=1), NameIn(("classifiers",))]


class Conclusions(Section):
    """A study whose searches, and the networks trained after them, are checked against what its source concluded.

    These networks are compared over several seeds: the study is under repeats too.
    """

    dataset: Name


class Contrast(Section):
    """A study whose variants are each compared with one of them, the baseline."""

    dataset: Name
    baseline: Name


class Repeats(Section):
    """A study some of whose variants are trained under several seeds: compared with the baseline, or each with each."""

    dataset: Name
    baseline: Name | None = None


class RepeatedVariant(Section):
    """A variant that is trained under `seeds` seeds in all, the first that of its own training.

    `repeats` is the study that compares it. The rest is the variant's own, as far as it has it: DVC needs it here too.
    """

    repeats: Annotated[Name, NameIn(("repeats",))]
    seeds: Annotated[int, Field(ge=2)]
    study: Name
    dataset: Name
    family: Literal["mlp", "cnn", "mobilenet_v2"]
    engine: Engine
    sweep: Name | None = None
    layers_from: Name | None = None
    features: Name | None = None


class Task(Section):
    """A registered model, and the rule that selects its variant by validation metrics only.

    `candidates` is the folder below results/train of the variants that compete: a dataset, or one of its studies.
    """

    dataset: Annotated[Name, NameIn(("datasets", "signals"))]
    candidates: str
    metric: Literal["val_accuracy", "val_cross_entropy", "val_mean_absolute_error"]
    tolerance: NonNegativeFloat
    prefer_fewer_parameters: bool


class Gate(Section):
    """What a version must meet to become a task's champion; every metric is on the test set.

    With 95 % confidence it must be worse than the champion by less than `margin`, in accuracy (a fraction) or mean
    absolute error. A classifier needs `min_accuracy`, `min_recall` of every class and `max_calibration_error` (expected
    calibration error, a fraction), a regressor `max_mean_absolute_error`. `max_megabytes` (10^6 bytes) is the size of
    the saved model, `max_milliseconds` the median time of one prediction.
    """

    margin: NonNegativeFloat
    min_accuracy: Fraction | None = None
    min_recall: Fraction | None = None
    max_calibration_error: Fraction | None = None
    max_mean_absolute_error: PositiveFloat | None = None
    max_megabytes: PositiveFloat
    max_milliseconds: PositiveFloat
