"""Measurements as a Markdown document."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

NAMES = {"plain": "plain Keras", "engine": "engine", "torch": "PyTorch"}
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "torch", "dvc", "mlflow")
NOT_MEASURED = "–"


@dataclass(frozen=True)
class Comparison:
    """One piece of work done by several ways: the seconds of each time, and the accuracies that came of it, by way.

    `floor` are the seconds that its arithmetic takes at least.
    """

    name: str
    seconds: Mapping[str, Sequence[float]]
    accuracies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    target: float | None = None
    floor: float | None = None

    @property
    def ratio(self) -> float:
        """How many times longer plain Keras takes than the engine, by the medians."""
        return self._ratio_of("plain")

    def _ratio_of(self, way: str) -> float:
        return median(self.seconds[way]) / median(self.seconds["engine"])

    def cells(self, ways: Sequence[str]) -> list[str]:
        """Its row in a table for those ways, of which plain and engine are measured in any case."""
        others = [way for way in ways if way not in ("plain", "engine")]
        verdict = NOT_MEASURED if self.target is None else "met" if self.ratio >= self.target else "**not met**"
        return [
            self.name,
            *(spread(self.seconds.get(way, ())) for way in ways),
            f"{self.ratio:.2f}",
            *(f"{self._ratio_of(way):.2f}" if self.seconds.get(way) else NOT_MEASURED for way in others),
            NOT_MEASURED if self.target is None else f"≥ {self.target:g}",
            verdict,
            *(self._accuracy(way) for way in ways),
            NOT_MEASURED if self.floor is None else digits(self.floor),
            NOT_MEASURED if self.floor is None else f"{median(self.seconds['engine']) / self.floor:.1f}",
        ]

    def _accuracy(self, way: str) -> str:
        values = self.accuracies.get(way)
        return f"{100 * median(values):.2f} %" if values else NOT_MEASURED


def comparisons(rows: Iterable[Comparison]) -> str:
    """A table of comparisons."""
    rows = list(rows)
    ways = [way for way in NAMES if any(row.seconds.get(way) for row in rows)]
    others = [way for way in ways if way not in ("plain", "engine")]
    header = [
        "work",
        *(f"{NAMES[way]}, s" for way in ways),
        "plain / engine",
        *(f"{NAMES[way]} / engine" for way in others),
        "target",
        "",
        *(f"accuracy, {NAMES[way]}" for way in ways),
        "float32 floor, s",
        "engine / floor",
    ]
    return table(header, [row.cells(ways) for row in rows])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(seconds: Sequence[float]) -> str:
    """The median, and the smallest to the largest."""
    if not seconds:
        return NOT_MEASURED
    if len(seconds) == 1:
        return digits(seconds[0])
    return f"{digits(median(seconds))} ({digits(min(seconds))}–{digits(max(seconds))})"


def digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value <= 0:
        return f"{value:.2f}"
    decimals = (
        max(0, 2 - len(str(int(value))) + 1)
        if value >= 1
        else 2 + next(place for place in range(1, 20) if value * 10**place >= 1)
    )
    return f"{value:.{decimals}f}"


def machine() -> str:
    """The machine and the versions, in a sentence each."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    load = f"; load average at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{load}. "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
