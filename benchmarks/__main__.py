"""`python -m benchmarks`: measure everything, and write benchmarks/results.md."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import comparing, growing, idle, operations, overhead, report, whole
from benchmarks.bench import Bench
from benchmarks.plans import FULL, QUICK, Plan
from benchmarks.workers import ROOT
from pipeline.config.load import load_params
from pipeline.io import storage

RESULTS = Path(__file__).with_name("results.md")
SECTIONS = {
    "training": comparing.training,
    "operations": operations.operations,
    "searches": comparing.searches,
    "transfer": comparing.transfer,
    "logging": overhead.logging,
    "growth": growing.growth,
    "idle": idle.idle,
    "stages": overhead.stages,
    "study": whole.study,
}
INTRODUCTION = """# Measurements

Plain Keras as the sources wrote it (`Model.fit` on TensorFlow, scaled arrays, Keras's defaults) against the project's
engine and, where it is installed, PyTorch. Written by `make bench`; `python -m benchmarks SECTION` measures one anew.

Every measurement is a process of its own, on as many cores as `compute.threads` says. In each of {rounds} rounds
(fewer for the slowest) every way has its turn with the same data and specification. Figures are medians, in brackets
the smallest to the largest. Machines are shared: trust the ratios, and those no more than their spread.
"""
QUICK_WARNING = "**A quick run on a few drawn images: it shows that everything runs, and its figures say nothing.**\n"
MEASURED = "\n\nSection `{name}`: {minutes:.0f} minutes. {machine}"
SECTION = "<!-- {name}:begin -->\n{text}\n<!-- {name}:end -->\n"


def run(
    sections: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(SECTIONS)}; all without")] = None,
    quick: Annotated[bool, typer.Option(help="a few drawn images, to see that everything runs")] = False,
    output: Annotated[Path | None, typer.Option(help="where to write; without, results.md in this folder")] = None,
) -> None:
    """Measure, and put each section into the document when it is done; a quick run is printed unless told where to."""
    unknown = [name for name in sections or () if name not in SECTIONS]
    if unknown:
        raise typer.BadParameter(f"expected some of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    plan = QUICK if quick else FULL
    bench = Bench(plan, load_params(ROOT))
    path = output or RESULTS
    is_written = output is not None or not quick
    # Never quick figures beside those of a full run.
    found = read(path) if path.is_file() and not quick else {}
    for name in sections or list(SECTIONS):
        found[name] = measured(name, bench)
        if is_written:
            storage.write_bytes(path, document(plan, found).encode())
    if not is_written:
        Console().print(document(plan, found), markup=False, soft_wrap=True)


def measured(name: str, bench: Bench) -> str:
    """A section, and on what machine and for how long it was measured."""
    machine, start = report.machine(), time.monotonic()
    text = SECTIONS[name](bench)
    return text + MEASURED.format(name=name, minutes=(time.monotonic() - start) / 60, machine=machine)


def read(path: Path) -> dict[str, str]:
    """The sections of a document by name; none of a quick run's."""
    text = path.read_text()
    if QUICK_WARNING in text:
        return {}
    parts = re.findall(r"<!-- (\w+):begin -->\n(.*?)\n<!-- \1:end -->", text, flags=re.DOTALL)
    return {name: text for name, text in parts if name in SECTIONS}


def document(plan: Plan, sections: Mapping[str, str]) -> str:
    """What was measured, in the order of SECTIONS."""
    parts = [INTRODUCTION.format(rounds=plan.rounds), *([QUICK_WARNING] if plan.is_drawn else [])]
    parts += [SECTION.format(name=name, text=sections[name]) for name in SECTIONS if name in sections]
    return "\n".join(parts)


if __name__ == "__main__":
    typer.run(run)
