"""Nested values as the flat names, numbers and strings that MLflow shows side by side."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel


def numbers(content: Any, prefix: str = "") -> dict[str, float]:
    """Every number below a JSON value, named by its path with slashes; what is not a number is left out."""
    return {
        # Other characters than these, and longer names, are refused by MLflow.
        re.sub(r"[^\w\-. /:]", "_", name)[:250]: float(value)
        for name, value in _leaves(content, prefix, "/")
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def section_params(section: BaseModel, *, without: Sequence[str] = ()) -> dict[str, str]:
    """A section of the study's parameters as MLflow's: nested keys with dots, a list of layers as `64 dropout 0.2; 64`.

    Optional fields that were left out are left out here too.
    """
    shown = {field: value for field, value in section if field not in without}
    return {name: _text(value) for name, value in _leaves(shown, "", ".") if value is not None and value != ()}


def _text(value: Any) -> str:
    """A layer or step is one line: its first field bare, then each field that differs from its default."""
    if isinstance(value, tuple):
        return "; ".join(map(_text, value))
    if not isinstance(value, BaseModel):
        return str(value)
    (first, _), *others = type(value).model_fields.items()
    words = [_text(getattr(value, first))]
    for name, field in others:
        item = getattr(value, name)
        if item is True:
            words.append(name)
        elif item != field.default:
            words += [name, _text(item)]
    return " ".join(words)


def _leaves(content: Any, prefix: str, separator: str) -> Iterator[tuple[str, Any]]:
    """The values below a section, mapping or list, each with its path."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping | BaseModel):
        yield prefix, content
        return
    for key, value in dict(content).items():
        yield from _leaves(value, f"{prefix}{separator}{key}" if prefix else str(key), separator)
