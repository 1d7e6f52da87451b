"""Numbers as text, for Markdown and the terminal, and what templates are filled with."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.io import storage

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


def rows(path: Path) -> list[dict[Hashable, Any]]:
    """The rows of a CSV table by column. Raises PipelineError when the file is missing or damaged."""
    return storage.read_table(path).to_dict("records")


def environment(*, autoescape: bool = False, **options: Any) -> Environment:
    """A Jinja environment with these words as filters, where it is an error to ask for what is not there."""
    made = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=autoescape, **options)
    made.filters.update(percent=percent, points=points, unsigned_points=unsigned_points, nats=nats, interval=interval)
    return made


def filled(template: str, **content: Any) -> str:
    """A template of this package, filled with content, without blank lines at its end."""
    text = storage.read_text(Path(__file__).with_name(template))
    return environment(trim_blocks=True, lstrip_blocks=True).from_string(text).render(**content).rstrip()
