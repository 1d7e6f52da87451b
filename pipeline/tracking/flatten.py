"""Nested values as the flat names, numbers and strings that MLflow shows side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel


def numbers(content: Any, prefix: str = "") -> dict[str, float]:
    """Every number below a JSON value, named by its path with slashes; what is not a number is left out."""
    return {clean_name(name): float(value) for name, value in _leaves(content, prefix) if _is_number(value)}


def clean_name(name: str) -> str:
    """A name that MLflow accepts for a metric or a parameter: other characters become underscores."""
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]


def section_params(
    section: BaseModel, *, only: Sequence[str] | None = None, without: Sequence[str] = ()
) -> dict[str, str]:
    """A section of the study's parameters as MLflow's: nested keys with dots, a list of layers as `64 dropout 0.2; 64`.

    Optional fields that were left out are left out here too, and with `only` all but the named ones.
    """
    return {
        name: _text(value)
        for field in (type(section).model_fields if only is None else only)
        if field not in without
        for name, value in _params_of(field, getattr(section, field))
    }


def _params_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _params_of(f"{name}.{field}", getattr(value, field))
    elif value is not None and value != ():
        yield name, value


def _text(value: Any) -> str:
    if isinstance(value, BaseModel):
        return _item_text(value)
    if isinstance(value, tuple):
        return "; ".join(_text(item) for item in value)
    return str(value)


def _item_text(item: BaseModel) -> str:
    """One layer or step on one line: its first field bare, then each field that differs from its default."""
    fields = type(item).model_fields
    words = []
    for position, (name, field) in enumerate(fields.items()):
        value = getattr(item, name)
        if position == 0:
            words.append(_text(value))
        elif value is True:
            words.append(name)
        elif value != field.default:
            words += [name, _text(value)]
    return " ".join(words)


def _leaves(content: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(content, list):
        for position, value in enumerate(content):
            yield from _leaves(value, f"{prefix}/{position}")
    else:
        yield prefix, content


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
