"""The base class of every section of the parameters, and the types of names and numbers that sections share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pipeline.errors import PipelineError

Item = TypeVar("Item")

# A YAML list. Strict validation would refuse it where a tuple is declared.
ListOf = Annotated[tuple[Item, ...], Field(strict=False)]

# DVC silently drops integer keys, reads dots as paths, and turns `yes` into a boolean.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]

# As published, or below a mirror: never a way out of the folder that it is fetched from or placed in.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
PathBelow = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class NameIn:
    """Marks a name, or a list of names, each of which has to be in one of these sections."""

    sections: tuple[str, ...]


class Section(BaseModel):
    """A part of the parameters: unknown keys and wrong types are refused, values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def require(mapping: Mapping[str, Item], name: str, what: str) -> Item:
    """Look up a name that a user gave. Raises PipelineError listing the known names."""
    if name not in mapping:
        raise PipelineError(f"unknown {what} {name!r}; expected one of: {', '.join(sorted(mapping)) or '(none)'}.")
    return mapping[name]
