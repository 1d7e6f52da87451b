"""The sections on what runs beside the training: MLflow, DVC, imports."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import pipeline_costs, report
from benchmarks.bench import Bench
from benchmarks.workers import measure

LOGGING = """## MLflow logging

Seconds of a whole training stage in its process, from when its module is imported; that of MLflow counts. With MLflow
there is a live run, a point per epoch and figure, and at the end parameters, datasets, pictures and the model.

{table}"""
LOGGING_HEADER = ("variant of the demo", "epochs", "with MLflow, s", "without, s", "difference, s", "with / without")

STAGES = """## Start-up and the cost of a stage

{commands}

Stages of the demo with next to no work, trainings with one epoch. Their work is what they take in a process that has
imported everything, without MLflow: of a training, to build, compile, train, save and check its model and to draw its
curves. What a stage costs beside its work is Python, imports, MLflow, and DVC, its start of a second or two too:
the last two columns, whose target is less than {limit} s. `make repro` runs `dvc repro` of a stage, too, but the stage
is a fork of a process that has imported MLflow, pandas and the like.

{stages}"""
STAGES_HEADER = (
    "stage",
    "stage alone, s",
    "by `dvc repro`, s",
    "forked, s",
    "work, s",
    "beside by `dvc repro`, s",
    "beside if forked, s",
)
LIMIT = 8
# One of each kind with next to no work: its item in the demo.
ITEMS = (("fetch", "digits"), ("prepare", "digits"), ("train", "digits_64x64"), ("train", "fashion_cnn_batchnorm"))
ONE_EPOCH: dict[str, dict[str, Any]] = {
    "digits_64x64": {"epochs": 1},
    "fashion_cnn_batchnorm": {"epochs": 1, "schedule": []},
}


def logging(bench: Bench) -> str:
    """Training stages with MLflow and without."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        changes = {variant: {"epochs": epochs} for variant, epochs in bench.plan.logged.items()}
        pipeline_costs.make_demo(folder, changes)
        rows = [_logged(bench, folder, variant, epochs) for variant, epochs in bench.plan.logged.items()]
    return LOGGING.format(table=report.table(LOGGING_HEADER, rows))


def _logged(bench: Bench, folder: Path, variant: str, epochs: int) -> list[str]:
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(bench.plan.rounds):
        for tracked, taken in seconds.items():
            answer = measure(
                "pipeline_costs.train_stage", folder=str(folder), name=variant, tracked=tracked, threads=bench.threads
            )
            if answer["tracked"] != tracked:
                raise RuntimeError(f"{variant}: expected MLflow {tracked}, got {answer['tracked']}")
            taken.append(answer["seconds"])
    on, off = median(seconds[True]), median(seconds[False])
    bench.say(f"{variant}: with MLflow {on:.2f} s, without {off:.2f} s")
    spreads = [report.spread(seconds[tracked]) for tracked in (True, False)]
    return [f"`{variant}`", str(epochs), *spreads, report.digits(on - off), f"{on / off:.2f}"]


def stages(bench: Bench) -> str:
    """What a stage costs beside its work."""
    repetitions = bench.plan.rounds
    commands = pipeline_costs.start_up(repetitions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        pipeline_costs.make_demo(folder, ONE_EPOCH)
        rows = []
        for stage, item in ITEMS:
            cost = pipeline_costs.stage_cost(folder, stage, item, repetitions)
            work = [
                measure("pipeline_costs.stage_work", folder=str(folder), stage=stage, item=item, threads=bench.threads)
                for _ in range(repetitions)
            ]
            seconds = {**cost, "work": [answer["seconds"] for answer in work]}
            spreads = [report.spread(taken) for taken in seconds.values()]
            beside = [median(seconds[way]) - median(seconds["work"]) for way in ("by DVC", "forked")]
            rows.append([f"`{stage}@{item}`", *spreads, *map(report.digits, beside)])
            bench.say(" ".join(rows[-1]))
    return STAGES.format(
        commands=report.table(
            ["command", "seconds"],
            [[f"`{command}`", report.spread(seconds)] for command, seconds in commands.items()],
        ),
        limit=LIMIT,
        stages=report.table(STAGES_HEADER, rows),
    )


def training_seconds(bench: Bench, folder: Path, variant: str) -> list[float]:
    """Seconds of the training within the stage."""
    return [
        measure("pipeline_costs.train_stage", folder=str(folder), name=variant, tracked=True, threads=bench.threads)[
            "training"
        ]
        for _ in range(bench.plan.rounds)
    ]
