"""`python -m benchmarks`: measure everything, and write benchmarks/results.md."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import comparing, growing, overhead, report
from benchmarks.bench import Bench
from benchmarks.plans import FULL, QUICK, Plan
from benchmarks.workers import ROOT
from pipeline import storage
from pipeline.params import load_params
from pipeline.paths import Workspace

RESULTS = Path(__file__).with_name("results.md")
SECTIONS = {
    "training": comparing.training,
    "searches": comparing.searches,
    "transfer": comparing.transfer,
    "logging": overhead.logging,
    "growth": growing.growth,
    "stages": overhead.stages,
}
DOCUMENT = """# Measurements

Plain Keras as the sources wrote it (`Model.fit` on TensorFlow, scaled arrays, Keras's defaults) against the project's
engine and, where it is installed, PyTorch. Written by `make bench`.

Every measurement is a process of its own, on as many cores as `compute.threads` says. In each of {rounds} rounds
(fewer for the slowest) every way has its turn with the same data and specification. Figures are medians, in brackets
the smallest to the largest. Machines are shared: trust the ratios, and those no more than their spread.

{machine} It took {minutes:.0f} minutes.
{warning}
{sections}
"""
QUICK_WARNING = "\n**A quick run on a few drawn images: it shows that everything runs, and its figures say nothing.**\n"


def run(
    sections: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(SECTIONS)}; all without")] = None,
    quick: Annotated[bool, typer.Option(help="a few drawn images, to see that everything runs")] = False,
    output: Annotated[Path | None, typer.Option(help="where to write; without, results.md in this folder")] = None,
) -> None:
    """Measure, and write a document; a quick run, or one of some sections, is printed unless told where to write."""
    unknown = [name for name in sections or () if name not in SECTIONS]
    if unknown:
        raise typer.BadParameter(f"expected some of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    plan = QUICK if quick else FULL
    text = document(plan, Bench(plan, load_params(Workspace(ROOT).params)), sections or list(SECTIONS))
    if output is None and (quick or sections):
        Console().print(text, markup=False, soft_wrap=True)
    else:
        storage.write_bytes(output or RESULTS, text.encode())


def document(plan: Plan, bench: Bench, sections: Sequence[str]) -> str:
    """Measure sections one after the other."""
    machine, start = report.machine(), time.monotonic()
    texts = [SECTIONS[name](bench) for name in sections]
    return DOCUMENT.format(
        rounds=plan.rounds,
        machine=machine,
        minutes=(time.monotonic() - start) / 60,
        warning=QUICK_WARNING if plan.is_drawn else "",
        sections="\n\n".join(texts),
    )


if __name__ == "__main__":
    typer.run(run)
