"""Reading what the stages wrote. What is missing, or not as its stage writes it, is an error that names the file."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.io import storage


class NotMadeYetError(PipelineError):
    """An output is missing because its stage has not run here."""


def existing(path: Path) -> Path:
    """The path of an output. Raises NotMadeYetError when it is missing."""
    if not path.exists():
        raise NotMadeYetError(f"{path}: missing, because its stage has not run here. Run `dvc repro` or `dvc pull`.")
    return path


def files_of(outputs: Iterable[Path]) -> list[Path]:
    """All files of the outputs in a fixed order, without temporary ones. Raises NotMadeYetError when one is missing."""
    files: list[Path] = []
    for output in outputs:
        below = sorted(existing(output).rglob("*")) if output.is_dir() else [existing(output)]
        files += [path for path in below if path.is_file() and not path.name.startswith(".")]
    return files


def content_key(root: Path, outputs: Iterable[Path]) -> str:
    """A hash over the names and contents of files and folders. Raises NotMadeYetError when one of them is missing."""
    digest = hashlib.sha256()
    for path in files_of(outputs):
        digest.update(f"{path.relative_to(root).as_posix()} {storage.sha256(path)}\n".encode())
    return digest.hexdigest()


def damaged(path: Path, expected: str, received: object) -> PipelineError:
    """The error about an output that can be read, but is not as its stage writes it."""
    return PipelineError(
        f"{path}: expected {expected}, got {received}. Delete the file, then run `dvc repro` to make it again."
    )


def values(path: Path, *keys: str, part: Mapping[str, Any] | None = None) -> list[Any]:
    """The values of keys of a JSON file, or of that `part` of it.

    Raises NotMadeYetError without the file, PipelineError without a key.
    """
    content = storage.read_json(existing(path)) if part is None else part
    _check_names("key", path, keys, content)
    return [content[key] for key in keys]


def table(path: Path, *columns: str) -> pd.DataFrame:
    """A CSV table. Raises NotMadeYetError without the file, PipelineError when it lacks one of the columns."""
    content = storage.read_table(existing(path))
    _check_names("column", path, columns, list(content))
    return content


def _check_names(what: str, path: Path, names: Iterable[str], known: Collection[Any]) -> None:
    for name in names:
        if name not in known:
            raise damaged(path, f"the {what} {name!r}", f"only {', '.join(map(str, known)) or '(none)'}")
