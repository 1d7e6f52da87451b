"""The sections that set plain Keras, the engine and PyTorch side by side: trainings, searches, a frozen network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks import floor, report
from benchmarks.bench import Bench, accuracies
from benchmarks.plans import GridPoint, Training
from benchmarks.report import Comparison
from benchmarks.transferring import VALIDATION_SHARE
from benchmarks.workers import measure
from pipeline.config.models import MlpVariant, MobileNetVariant, Search
from pipeline.io import storage

TRAINING = """## Training

Seconds per epoch, validation included. The first epoch of each training, which compiles, is left out of every way.
The accuracy is that of the validation images after all of these epochs.

{table}

{sizes}

The float32 floor: every multiplication and addition of the layers' matrix products, at {rate:.0f} GFLOP/s, the best
rate of products of {size} x {size} matrices measured in this run. Where the rest of a dense network's epoch goes, by
two measurements in scans of their own: its products as small as its batches make them, and its optimizer, which reads
and writes every weight and its moments at each step. What remains is all else: activations, dropout, normalization,
the gathering of batches, figures, validation.

{parts}"""
PARTS_HEADER = ("variant", "engine, s", "floor, s", "products at the batch's size, s", "optimizer, s", "rest, s")

SEARCHES = """## Searches

Seconds of the cross-validation of one configuration as a part of a whole search, with all its epochs: {epochs} epochs
are measured, and each further one costs what the median of those but the first did. Plainly one fold is fitted after
the other on {threads} cores; the project gives each core a configuration of its own, so that its share of the time
counts. The accuracy is the mean over the folds after the measured epochs. The last row is a whole small search
({grid}, {search_epochs} epochs, {num_images:,} images), from the start of its process to the end, and its accuracy
that of the best configuration.

{table}"""

TRANSFER = """## A frozen network

Seconds of the whole training of {epochs} epochs, as many as the study's early stopping left, on {num_images:,}
training and validation images: derived from measured costs. Plainly the frozen network is a part of the model and
sees every image in every epoch; measured is the second epoch on {subset:,} images, and a quarter as many for
validation. The project shows it every image once (measured on the same images), and trains the head on what comes out
(measured is the second epoch on {rows:,} rows). The accuracies are those after two epochs on the {subset:,} images.

{table}"""


def training(bench: Bench) -> str:
    """Seconds per epoch of trainings, and where they go."""
    rows = [_training(bench, row) for row in bench.plan.trainings]
    parts = [_parts(bench, row, done) for row, done in zip(bench.plan.trainings, rows, strict=True)]
    return TRAINING.format(
        table=report.comparisons(rows),
        sizes=_sizes(bench.plan.trainings),
        rate=bench.rate / 1e9,
        size=floor.SIZE,
        parts=report.table(PARTS_HEADER, [cells for cells in parts if cells]),
    )


def _sizes(rows: Sequence[Training]) -> str:
    subsets = [
        f"`{row.variant}` on the first {row.num_train:,} and {row.num_validation:,}" for row in rows if row.num_train
    ]
    return f"Of the training and validation images: {', '.join(subsets)}; the others on all."


def _training(bench: Bench, row: Training) -> Comparison:
    spec = bench.params.variants[row.variant]
    arguments = bench.training(spec, epochs=row.epochs, num_train=row.num_train, num_validation=row.num_validation)
    found = bench.in_turn("training.train", rounds=row.rounds, **arguments)
    num_train, num_validation = _numbers(bench, row)
    num_classes = len(bench.params.datasets[spec.dataset].classes)
    counted = floor.operations(spec, num_classes, num_train=num_train, num_validation=num_validation)
    return bench.say_row(
        Comparison(
            f"`{row.variant}`",
            seconds={
                way: [second for answer in answers for second in answer["seconds"][1:]]
                for way, answers in found.items()
            },
            accuracies=accuracies(found),
            target=row.target,
            floor=counted / bench.rate,
        )
    )


def _numbers(bench: Bench, row: Training) -> tuple[int, int]:
    """Of training and validation images."""
    if row.num_train is not None and row.num_validation is not None:
        return row.num_train, row.num_validation
    return bench.num_images(bench.params.variants[row.variant].dataset)


def _parts(bench: Bench, row: Training, done: Comparison) -> list[str]:
    """Where the epoch of a dense network goes; nothing for another."""
    spec = bench.params.variants[row.variant]
    if not isinstance(spec, MlpVariant) or done.floor is None:
        return []
    num_outputs = len(bench.params.datasets[spec.dataset].classes)
    parts = measure("floor.parts", variant=spec.model_dump(mode="json"), num_outputs=num_outputs, threads=bench.threads)
    num_steps = -(-_numbers(bench, row)[0] // spec.batch_size)
    whole = median(done.seconds["engine"])
    products, optimizer = num_steps * parts["products"], num_steps * parts["optimizer"]
    figures = (whole, done.floor, products, optimizer, whole - products - optimizer)
    return [f"`{row.variant}`", *map(report.digits, figures)]


def searches(bench: Bench) -> str:
    """Whole searches: single configurations scaled to all epochs, and a small one from start to end."""
    plan = bench.plan
    rows = [*(_grid_point(bench, point) for point in plan.grid_points), _whole_search(bench)]
    return SEARCHES.format(
        epochs=", ".join(sorted({str(point.epochs) for point in plan.grid_points})),
        threads=bench.threads,
        grid=" × ".join("{" + ", ".join(map(str, units)) + "}" for units in plan.search_grid),
        search_epochs=plan.search_epochs,
        num_images=plan.num_search_images,
        table=report.comparisons(rows),
    )


def _grid_point(bench: Bench, point: GridPoint) -> Comparison:
    spec = bench.params.searches[point.search]
    arguments = bench.cross_validation(spec, point.units, epochs=point.epochs)
    found = bench.in_turn("searching.configuration", rounds=2, **arguments)
    return bench.say_row(
        Comparison(
            f"{'-'.join(map(str, point.units))}, {spec.folds} folds of {spec.epochs} epochs",
            seconds={
                way: [answer["fixed"] + spec.epochs * answer["per_epoch"] for answer in answers]
                for way, answers in found.items()
            },
            accuracies=accuracies(found),
            target=point.target,
            floor=search_operations(bench, spec, point.units) / bench.rate,
        )
    )


def search_operations(bench: Bench, spec: Search, units: Sequence[int]) -> float:
    """Of the cross-validation of a configuration; plainly the held-out images are looked at in each epoch, too."""
    num_images = bench.plan.num_grid_images or sum(bench.num_images(spec.dataset))
    num_held_out = num_images // spec.folds
    network, num_classes = spec.variant(units), len(bench.params.datasets[spec.dataset].classes)
    fitted = floor.operations(network, num_classes, num_train=num_images - num_held_out, num_validation=0)
    scored = floor.operations(network, num_classes, num_train=0, num_validation=num_held_out)
    return spec.folds * (spec.epochs * fitted + scored)


def _whole_search(bench: Bench) -> Comparison:
    plan = bench.plan
    spec = next(iter(bench.params.searches.values()))
    small = spec.model_copy(update={"grid": plan.search_grid, "epochs": plan.search_epochs})
    found = bench.in_turn(
        "searching.whole",
        rounds=2,
        spec=small.model_dump(mode="json"),
        dataset=bench.dataset(spec.dataset),
        num_train=plan.num_search_images,
        **bench.common,
    )
    seconds = {way: [answer["wall"] for answer in answers] for way, answers in found.items()}
    return bench.say_row(Comparison("a whole small search", seconds, accuracies(found)))


def transfer(bench: Bench) -> str:
    """A frozen network in each epoch, or once."""
    plan = bench.plan
    spec = bench.params.transfers[plan.transfer]
    epochs, num_images = transfer_size(bench, plan.transfer, spec)
    seconds: dict[str, list[float]] = {"plain": [], "engine": []}
    found: dict[str, list[dict[str, Any]]] = {"plain": [], "engine": []}
    for _ in range(min(2, plan.rounds)):
        for way, trained in (("plain", _plain_transfer), ("engine", engine_transfer)):
            whole, answer = trained(bench, spec, epochs, num_images)
            seconds[way].append(whole)
            found[way].append(answer)
    done = Comparison(f"`{plan.transfer}`, {epochs} epochs", seconds, accuracies(found), target=plan.transfer_target)
    return TRANSFER.format(
        epochs=epochs,
        num_images=num_images,
        subset=plan.num_transfer_images,
        rows=plan.num_head_rows,
        table=report.comparisons([bench.say_row(done)]),
    )


def transfer_size(bench: Bench, name: str, spec: MobileNetVariant) -> tuple[int, int]:
    """Epochs that the study trained for, and the images of its training and validation."""
    metrics = bench.workspace.training_results(name, spec) / "metrics.json"
    epochs = storage.read_json(metrics)["epochs"] if metrics.is_file() else spec.epochs
    if bench.plan.is_drawn:
        return epochs, _num_shown(bench)
    return epochs, sum(bench.num_images(spec.dataset))


def _num_shown(bench: Bench) -> int:
    """Images that an epoch of a measurement takes, those for validation included."""
    return bench.plan.num_transfer_images + bench.plan.num_transfer_images // VALIDATION_SHARE


def _arguments(bench: Bench, spec: MobileNetVariant) -> tuple[dict[str, Any], dict[str, Any]]:
    """For the frozen network, and for what is trained on it."""
    features = bench.params.features[spec.features]
    short = spec.model_copy(update={"epochs": 2, "early_stopping": None, "reduce_on_plateau": None})
    shown = {
        "spec": features.model_dump(mode="json"),
        "dataset": bench.dataset(spec.dataset),
        "num_train": bench.plan.num_transfer_images,
        "threads": bench.threads,
    }
    return shown, {"variant": short.model_dump(mode="json"), "seed": bench.common["seed"]}


def _plain_transfer(bench: Bench, spec: MobileNetVariant, epochs: int, num_images: int) -> tuple[float, dict[str, Any]]:
    shown, trained = _arguments(bench, spec)
    answer = measure("transferring.plain", **shown, **trained)
    first, second = answer["seconds"]
    per_epoch = second * num_images / _num_shown(bench)
    return epochs * per_epoch + first - second, answer


def engine_transfer(bench: Bench, spec: MobileNetVariant, epochs: int, num_images: int) -> tuple[float, dict[str, Any]]:
    """Seconds of a training on frozen features by the project's way, and what its head answered."""
    shown, trained = _arguments(bench, spec)
    with tempfile.TemporaryDirectory() as folder:
        once = measure("transferring.extract", folder=folder, **shown)
        answer = measure(
            "transferring.head", folder=folder, num_train=bench.plan.num_head_rows, threads=bench.threads, **trained
        )
    first, second = answer["seconds"]
    return once["fixed"] + num_images * once["per_image"] + first + (epochs - 1) * second, answer
