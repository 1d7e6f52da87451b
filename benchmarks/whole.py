"""The section on the whole study: how long it takes on this machine, by what its parts cost, and where it goes."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import comparing, floor, idle, overhead, pipeline_costs, report
from benchmarks.bench import Bench
from benchmarks.workers import measure
from pipeline.config.models import CnnVariant, MlpVariant, Search
from pipeline.io import outcomes

STUDY = """## The whole study

How long `make repro` takes with nothing done yet: derived from what its parts cost on this machine. Each training runs
for {epochs} epochs, or a tenth of its own if that is more, with both cores to itself, and each further epoch costs what
the median of those but the first did; convolutional networks on the first {subset} training images, and an epoch with
all of them costs as many times more. Of each search the configurations with the fewest and the most operations are
cross-validated for {epochs} epochs, two at once; between them, seconds grow with the operations. Frozen features and
what is trained on them are measured as in the section `transfer`. A stage costs beside its work what a training of the
demo does if forked, two at once. Left out: {left_out}.

The float32 floor is that of the matrix products and convolutions, as above; none of a frozen network is counted.

{table}

{verdict}"""
HEADER = ("part", "trainings or fits", "seconds", "of all", "float32 floor, s", "seconds / floor")
TARGET = 2 * 3600
VERDICT = "The target is at most {target:.0f} minutes on two cores: {minutes:.0f} minutes, **{met}**."
# The variant of the demo whose stage stands for all.
EXAMPLE = "digits_64x64"


@dataclass(frozen=True)
class Part:
    """Some of the study: how many trainings or fits of a network, their seconds, and floating-point operations."""

    name: str
    number: int
    seconds: float
    operations: float = 0.0


def study(bench: Bench) -> str:
    """The estimate for the whole study, part by part."""
    parts = [*_searches(bench), *_trainings(bench), *_transfers(bench), _stages(bench)]
    total = sum(part.seconds for part in parts)
    rows = [_row(bench, part, total) for part in parts]
    counted = Part("all", 0, total, sum(part.operations for part in parts))
    rows.append(_row(bench, counted, total))
    return STUDY.format(
        epochs=bench.plan.study_epochs,
        subset=f"{bench.plan.num_convolutional[0]:,}",
        left_out=", ".join(f"`{name}`" for name in bench.params.regressors),
        table=report.table(HEADER, rows),
        verdict=VERDICT.format(target=TARGET / 60, minutes=total / 60, met="met" if total <= TARGET else "not met"),
    )


def _row(bench: Bench, part: Part, total: float) -> list[str]:
    least = part.operations / bench.rate
    return [
        part.name,
        str(part.number) if part.number else report.NOT_MEASURED,
        f"{part.seconds:,.0f}",
        f"{100 * part.seconds / total:.0f} %",
        f"{least:,.0f}" if least else report.NOT_MEASURED,
        f"{part.seconds / least:.1f}" if least else report.NOT_MEASURED,
    ]


def _said(bench: Bench, part: Part) -> Part:
    bench.say(f"{part.name}: {part.seconds:,.0f} s")
    return part


def _searches(bench: Bench) -> Iterator[Part]:
    for name, spec in bench.params.searches.items():
        if bench.plan.study_searches is None or name in bench.plan.study_searches:
            counts = {units: comparing.search_operations(bench, spec, units) for units in spec.configurations}
            ends = [min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)]
            costs = [_configuration(bench, spec, units) for units in ends]
            seconds = interpolated(list(counts.values()), [counts[units] for units in ends], costs)
            yield _said(bench, Part(f"`search@{name}`", spec.folds * len(counts), seconds, sum(counts.values())))


def interpolated(counts: Sequence[float], ends: Sequence[float], costs: Sequence[float]) -> float:
    """The seconds of all of so many operations each, by what the fewest and the most of them cost."""
    (first, last), (least, most) = ends, costs
    slope = (most - least) / (last - first) if last > first else 0.0
    return sum(least + slope * (count - first) for count in counts)


def _configuration(bench: Bench, spec: Search, units: tuple[int, ...]) -> float:
    arguments = bench.cross_validation(spec, units, epochs=bench.plan.study_epochs)
    answer = measure("searching.configuration", way="engine", **arguments)
    return float(answer["fixed"] + spec.epochs * answer["per_epoch"])


def _trainings(bench: Bench) -> Iterator[Part]:
    """One part for each study and family, and one for the trainings that are repeated under other seeds."""
    variants = {
        name: spec
        for name, variant in bench.params.classifiers.items()
        if bench.plan.study_variants is None or name in bench.plan.study_variants
        # Not those on frozen features, nor regressors.
        if isinstance(spec := outcomes.of_variant(bench.workspace, variant), MlpVariant | CnnVariant)
    }
    costs = {name: _training(bench, name, variant) for name, variant in variants.items()}

    def group(name: str) -> tuple[str, str]:
        return variants[name].study, "convolutional" if isinstance(variants[name], CnnVariant) else "dense"

    for (home, kind), names in itertools.groupby(sorted(costs, key=group), key=group):
        yield _sum(f"{home}, {kind}", [costs[name] for name in names])
    for home in bench.params.repeats:
        # The first seed is that of the training itself.
        members = [name for name in bench.params.repeated_in(home) if name in costs]
        repeated = [costs[name] for name in members for _ in bench.params.seeds_of(name)[1:]]
        if repeated:
            yield _sum(f"{home}, under other seeds", repeated)


def _sum(name: str, parts: Sequence[Part]) -> Part:
    return Part(name, len(parts), sum(part.seconds for part in parts), sum(part.operations for part in parts))


def _training(bench: Bench, name: str, variant: MlpVariant | CnnVariant) -> Part:
    num_train, num_validation = all_images = bench.num_images(variant.dataset)
    if isinstance(variant, CnnVariant) or bench.plan.is_drawn:
        num_train, num_validation = bench.plan.num_convolutional
    epochs = measured_epochs(bench, variant)
    arguments = bench.training(variant, epochs=epochs, num_train=num_train, num_validation=num_validation)
    answer = measure("training.train", way="engine", **arguments)
    first, *others = answer["seconds"]
    epoch = median(others)
    scale = sum(all_images) / (num_train + num_validation)
    per_epoch = floor.operations(
        variant,
        len(bench.params.datasets[variant.dataset].classes),
        num_train=_num_seen(variant, all_images[0]),
        num_validation=all_images[1],
    )
    seconds = first - epoch + variant.epochs * scale * epoch
    return _said(bench, Part(f"`{name}`", 1, seconds, variant.epochs * per_epoch))


def measured_epochs(bench: Bench, variant: MlpVariant | CnnVariant) -> int:
    """As many as make thousands of short epochs more than the first few."""
    return max(bench.plan.study_epochs, variant.epochs // 10)


def _num_seen(variant: MlpVariant | CnnVariant, num_train: int) -> int:
    """The images that an epoch trains on."""
    steps = variant.steps_per_epoch if isinstance(variant, MlpVariant) else None
    return num_train if steps is None else steps * variant.batch_size


def _transfers(bench: Bench) -> Iterator[Part]:
    for name, spec in bench.params.transfers.items():
        if bench.plan.study_variants is None:
            epochs, num_images = comparing.transfer_size(bench, name, spec)
            seconds, _ = comparing.engine_transfer(bench, spec, epochs, num_images)
            yield _said(bench, Part(f"`{name}`, frozen features included", 1, seconds))


def _stages(bench: Bench) -> Part:
    """What all stages cost beside their work, by one that trains for an epoch."""
    number = idle.num_stages(bench.workspace.root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        pipeline_costs.make_demo(folder, {EXAMPLE: overhead.ONE_EPOCH[EXAMPLE]})
        cost = pipeline_costs.stage_cost(folder, "train", EXAMPLE, bench.plan.rounds)
        trained = overhead.training_seconds(bench, folder, EXAMPLE)
    beside = median(cost["forked"]) - median(trained)
    return _said(bench, Part(f"{number} stages, beside their work", 0, number * beside / bench.threads))
