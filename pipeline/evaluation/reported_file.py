"""How reported_results.yaml is read: what the sources printed, by study and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError


def read(path: Path) -> dict[str, Any]:
    """The whole file, by study. Raises PipelineError naming it when it is missing or no mapping."""
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise PipelineError(
            f"{path}: expected the figures that the sources report, but the file is missing. Restore it from Git."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: expected YAML, but it cannot be parsed: {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: expected a mapping of studies, got {type(content).__name__}.")
    return content


def mapping(parent: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    """The mapping under a key, empty where there is none. Raises PipelineError naming the key of anything else."""
    child = parent.get(key) or {}
    if not isinstance(child, dict):
        raise PipelineError(f"{path}: {key}: expected a mapping, got {child!r}. Correct it.")
    return child


def fraction(row: dict[str, Any], name: str, key: str, path: Path) -> float | None:
    """A number from 0 to 1, None where there is none. Raises PipelineError naming `key`.`name` of anything else."""
    value = row.get(name)
    if value is None:
        return None
    if not is_number(value) or not 0 <= value <= 1:
        raise PipelineError(f"{path}: {key}.{name}: expected a fraction from 0 to 1, got {value!r}.")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether a value of the file is a number: to YAML, `yes` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
