"""What is measured, how large and how often: in full, or quickly to see that everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Training:
    """A variant to train, for so many epochs of which the first is not counted, on all images or the first ones.

    `target` is what the ratio of plain Keras to the engine should be at least.
    """

    variant: str
    epochs: int
    target: float | None = None
    num_train: int | None = None
    num_validation: int | None = None
    rounds: int | None = None


@dataclass(frozen=True)
class GridPoint:
    """A configuration of a search to cross-validate, for so many epochs of which the first is not counted."""

    search: str
    units: tuple[int, ...]
    epochs: int
    target: float | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that is measured. `rounds` is how often each way has its turn; images are drawn if `is_drawn`."""

    rounds: int
    is_drawn: bool
    trainings: tuple[Training, ...]
    # Convolutional networks whose operations are profiled, and how many of these are named.
    profiled: tuple[Training, ...]
    num_operations: int
    grid_points: tuple[GridPoint, ...]
    num_grid_images: int | None
    # A whole small search.
    search_grid: tuple[tuple[int, ...], ...]
    search_epochs: int
    num_search_images: int
    # Of the images that a frozen network sees, and of the rows that its head is then trained on.
    transfer: str
    transfer_target: float
    num_transfer_images: int
    num_head_rows: int
    # Of the whole study: epochs that are measured, the training and validation images that a convolutional network
    # is measured on, and the trainings and searches that are measured; all if None.
    study_epochs: int
    num_convolutional: tuple[int, int]
    study_variants: tuple[str, ...] | None
    study_searches: tuple[str, ...] | None
    # How cost grows.
    growth_units: int
    growth_epochs: int
    growth_images: tuple[int, ...]
    growth_widths: tuple[int, ...]
    growth_width_images: int
    # Stages that are up to date, and how often DVC is asked.
    num_stages: Mapping[int, int] = field(default_factory=dict)
    # Epochs of demo variants that are trained with and without MLflow.
    logged: Mapping[str, int] = field(default_factory=dict)


SUBSET = {"num_train": 9_600, "num_validation": 2_400, "rounds": 2}
FULL = Plan(
    rounds=3,
    is_drawn=False,
    trainings=(
        Training("digits_512x512", epochs=4, target=2.0),
        Training("fashion_128", epochs=4, target=6.0),
        Training("fashion_512x256", epochs=3, target=3.5),
        Training("fashion_cnn_deep", epochs=3, target=1.3, **SUBSET),
        Training("fashion_cnn_batchnorm", epochs=3, target=1.8, **SUBSET),
        Training("fashion_cnn_basic", epochs=5, **SUBSET),
        Training("four_nine_baseline", epochs=150, target=15.0),
    ),
    profiled=(
        Training("fashion_cnn_deep", epochs=2, **SUBSET),
        Training("fashion_cnn_batchnorm", epochs=2, **SUBSET),
    ),
    num_operations=16,
    grid_points=(
        GridPoint("digits_grid_2_bn_dropout", (256, 32), epochs=3, target=3.0),
        GridPoint("digits_grid_2_bn_dropout", (512, 128), epochs=3, target=3.0),
        GridPoint("digits_grid_5_bn_dropout", (512, 256, 96, 32, 8), epochs=3, target=3.0),
    ),
    num_grid_images=None,
    search_grid=((64, 32), (32, 16)),
    search_epochs=4,
    num_search_images=12_000,
    transfer="fashion_mobilenet_v2",
    transfer_target=10.0,
    num_transfer_images=2_000,
    num_head_rows=48_000,
    study_epochs=3,
    num_convolutional=(9_600, 2_400),
    study_variants=None,
    study_searches=None,
    growth_units=256,
    growth_epochs=20,
    growth_images=(6_000, 12_000, 30_000, 60_000),
    growth_widths=(64, 128, 256, 512, 1024),
    growth_width_images=6_000,
    num_stages={50: 3, 200: 2, 800: 1},
    logged={"four_nine_baseline": 1000, "digits_64x64": 30},
)
TINY = {"num_train": 320, "num_validation": 64}
QUICK = Plan(
    rounds=1,
    is_drawn=True,
    trainings=(
        Training("fashion_128", epochs=2, target=6.0, **TINY),
        Training("fashion_cnn_batchnorm", epochs=2, target=1.8, **TINY),
    ),
    profiled=(Training("fashion_cnn_batchnorm", epochs=1, **TINY),),
    num_operations=4,
    grid_points=(GridPoint("digits_grid_2_bn_dropout", (16, 8), epochs=2, target=3.0),),
    num_grid_images=360,
    search_grid=((8, 4), (4,)),
    search_epochs=2,
    num_search_images=360,
    transfer="fashion_mobilenet_v2_32",
    transfer_target=10.0,
    num_transfer_images=64,
    num_head_rows=320,
    study_epochs=2,
    num_convolutional=(320, 64),
    study_variants=("four_nine_baseline", "digits_64x64_l2"),
    study_searches=("digits_grid_2_bn_dropout",),
    growth_units=16,
    growth_epochs=4,
    growth_images=(300, 600),
    growth_widths=(8, 16),
    growth_width_images=300,
    num_stages={5: 1, 10: 1},
    logged={"four_nine_baseline": 20},
)
