"""The section on how cost grows: with epochs, images and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks import floor, report
from benchmarks.bench import Bench
from pipeline.config.models import MlpVariant

# Epochs after which the cost of a training is told.
MOMENTS = (1, 2, 5, 10, 20)
BATCH_SIZE = 128
NUM_LAYERS = 2

GROWTH = """## How cost grows

A network with {layers} hidden layers, batches of {batch} drawn images; {units} units and {images:,} images where they
do not change.

Seconds of a training from the building of the network on, by epochs: what compiling costs, and when it has paid.

{by_epochs}

Seconds per epoch by training images, and a tenth as many for validation.

{by_images}

Seconds per epoch by units of each hidden layer.

{by_units}"""

# Seconds of each epoch by way, the first one included.
Seconds = Mapping[str, Sequence[float]]


def growth(bench: Bench) -> str:
    """How cost grows."""
    plan = bench.plan
    units, images = plan.growth_units, plan.growth_width_images
    return GROWTH.format(
        layers=NUM_LAYERS,
        batch=BATCH_SIZE,
        units=units,
        images=images,
        by_epochs=_by_epochs(_grown(bench, units=units, num_images=images, epochs=plan.growth_epochs)),
        by_images=_per_epoch(
            "images",
            {f"{number:,}": _grown(bench, units=units, num_images=number) for number in plan.growth_images},
        ),
        by_units=_per_epoch(
            "units", {str(number): _grown(bench, units=number, num_images=images) for number in plan.growth_widths}
        ),
    )


def _grown(bench: Bench, *, units: int, num_images: int, epochs: int = 3) -> Seconds:
    variants = (item for item in bench.params.variants.values() if isinstance(item, MlpVariant))
    spec = floor.with_layers(next(variants), [units] * NUM_LAYERS)
    found = bench.in_turn(
        "training.train",
        rounds=1,
        variant=spec.model_copy(update={"epochs": epochs, "batch_size": BATCH_SIZE}).model_dump(mode="json"),
        # Drawn: no dataset has 60,000 images for training beside those for validation.
        dataset=None,
        num_train=num_images,
        num_validation=num_images // 10,
        **bench.common,
    )
    seconds = {way: answers[0]["seconds"] for way, answers in found.items()}
    figures = ", ".join(f"{report.NAMES[way]} {median(values[1:]):.3f} s" for way, values in seconds.items())
    bench.say(f"{units} units, {num_images:,} images: {figures}")
    return seconds


def _by_epochs(grown: Seconds) -> str:
    num_epochs = len(grown["engine"])
    rows = [
        [str(number), *(report.digits(sum(seconds[:number])) for seconds in grown.values())]
        for number in MOMENTS
        if number <= num_epochs
    ]
    return report.table(["epochs", *(report.NAMES[way] for way in grown)], rows)


def _per_epoch(name: str, grown: Mapping[str, Seconds]) -> str:
    rows = []
    for value, seconds in grown.items():
        medians = {way: median(values[1:]) for way, values in seconds.items()}
        ratio = medians["plain"] / medians["engine"]
        rows.append([value, *(report.digits(figure) for figure in medians.values()), f"{ratio:.2f}"])
    ways = next(iter(grown.values()))
    return report.table([name, *(report.NAMES[way] for way in ways), "plain / engine"], rows)
