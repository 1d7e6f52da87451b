"""Numbers and tables as text, for Markdown and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "–"


def percent(fraction: float) -> str:
    """0.97624 as `97.62 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """A difference of fractions as `+0.38`, in percentage points."""
    return f"{100 * difference:+.2f}"


def unsigned_points(difference: float) -> str:
    """The same without a plus sign."""
    return f"{100 * difference:.2f}"


def nats(cross_entropy: float) -> str:
    """A cross-entropy with three decimals."""
    return f"{cross_entropy:.3f}"


def interval(row: Mapping[Any, Any]) -> str:
    """The 95 % interval of a row's test accuracy, in percent."""
    return f"{100 * row['test_accuracy_low']:.2f}–{100 * row['test_accuracy_high']:.2f}"


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_text: int = 1) -> list[str]:
    """The lines of a Markdown table; the first columns hold text, the others numbers."""
    marks = ["---"] * num_text + ["--:"] * (len(header) - num_text)
    return [line(header), line(marks), *map(line, rows)]
