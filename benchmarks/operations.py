"""The section on where an epoch of convolutional networks goes, by TensorFlow's own profiler."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import data, report, training
from benchmarks.bench import Bench
from benchmarks.plans import Training
from benchmarks.workers import measure

OPERATIONS = """## Operations of convolutional networks

Seconds of an epoch that each operation of TensorFlow's runs, by TensorFlow's profiler. Operations that run at the same
time count each, so that together they can be more than the epoch. Operations that oneDNN does, or several in one, are
counted with those that do the same plainly. Profiling costs time, too, and not of both ways the same: below is the last
epoch with it and, of a training of its own, without.

{networks}"""
NETWORK = """`{variant}`, {epochs} epochs on the first {num_train:,} training and {num_validation:,} validation images:

{table}"""
HEADER = ("operation", "plain Keras, s", "engine, s")
WAYS = ("plain", "engine")
HOST = "/host:CPU"
# The profiler calls an operation `<name>:<type>`; oneDNN's types and fused ones have a mark before the plain type.
OPERATION = re.compile(r"(?:.*/)?\w+:(?:_MklNative|_Mkl|_)?(?:Fused(?=Conv|MatMul))?(?P<type>\w+?)(?:WithBias)?")


def operations(bench: Bench) -> str:
    """The most expensive operations of plain Keras's epoch and of the engine's, network by network."""
    return OPERATIONS.format(networks="\n\n".join(_network(bench, row) for row in bench.plan.profiled))


def _network(bench: Bench, row: Training) -> str:
    arguments = bench.training(
        bench.params.variants[row.variant],
        epochs=row.epochs,
        num_train=row.num_train,
        num_validation=row.num_validation,
    )
    found = {way: measure("operations.profiled", way=way, **arguments) for way in WAYS}
    alone = {way: measure("training.train", way=way, **arguments)["seconds"][-1] for way in WAYS}
    return NETWORK.format(
        variant=row.variant,
        epochs=row.epochs,
        num_train=row.num_train,
        num_validation=row.num_validation,
        table=report.table(HEADER, rows(found, alone, bench.plan.num_operations)),
    )


def rows(found: dict[str, dict[str, Any]], alone: dict[str, float], number: int) -> list[list[str]]:
    """So many of the operations, those first that take longest by either way; the others; all; and the epoch.

    Of the epoch, `alone` has the seconds by way where nothing was profiled.
    """
    seconds = {way: Counter(found[way]["operations"]) for way in WAYS}
    longest = [name for name, _ in (seconds["plain"] | seconds["engine"]).most_common()]
    named, others = longest[:number], longest[number:]
    lines: dict[str, list[float]] = {f"`{name}`": [seconds[way][name] for way in WAYS] for name in named}
    lines[f"{len(others)} others"] = [sum(seconds[way][name] for name in others) for way in WAYS]
    lines["all operations"] = [seconds[way].total() for way in WAYS]
    lines["the epoch, profiled"] = [found[way]["epoch"] for way in WAYS]
    lines["the epoch, not profiled"] = [alone[way] for way in WAYS]
    return [[name, *map(report.digits, values)] for name, values in lines.items()]


def profiled(
    way: str,
    variant: dict[str, Any],
    dataset: str | None,
    num_train: int,
    num_validation: int,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """Train under the profiler: seconds per epoch by type of operation, and those of the last epoch."""
    spec = training.variant_of(variant)
    examples = data.load(dataset, num_train, num_validation)
    train = training.prepared(way, spec.engine, threads)
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            moments, _ = train(spec, *examples, num_classes=int(examples[0].targets.max()) + 1, seed=seed)
        (trace,) = Path(folder).rglob("*.xplane.pb")
        total = seconds_by_type(trace.read_bytes())
    return {
        "operations": {name: seconds / spec.epochs for name, seconds in total.items()},
        "epoch": moments[-1] - moments[-2],
    }


def seconds_by_type(trace: bytes) -> Counter[str]:
    """Seconds that operations ran on the processor, by their type, from a trace in the profiler's format (XSpace)."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(trace)
    seconds: Counter[str] = Counter()
    for plane in space.planes:
        if plane.name != HOST:
            continue
        for line in plane.lines:
            for event in line.events:
                found = OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
                if found:
                    seconds[found["type"]] += event.duration_ps / 1e12
    return seconds
