"""Read and write what the stages exchange: files appear whole or not at all, and equal content gives equal bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.io import initialization

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# Keys in the JSON of a saved model that have another value in each run.
CHANGING = ("date_saved", "shared_object_id")
# The first moment that a zip archive can state.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises PipelineError naming the file when the disk is full, read-only or not writable.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp, whose files are private: these are ordinary ones, as the user's umask says.
        unused = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with unused.open("xb") as file:
            temporary = unused
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise PipelineError(
            f"{path}: cannot be written: {error.strerror or error}. Nothing was left half-written; "
            "free space or permissions, then run the same command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole."""
    with atomic_write(path) as file:
        file.write(content)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """Read a text file of the project. Raises PipelineError when it is missing."""
    try:
        return path.read_text()
    except FileNotFoundError:
        raise PipelineError(
            f"{path}: expected a text of the project, but the file is missing. Restore it from Git."
        ) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON, keys in the order given. Raises ValueError for NaN and infinities, which JSON lacks."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises PipelineError when the file is missing or damaged."""
    with explained(path, "a JSON object"):
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"got {type(content).__name__}")
        return content


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write CSV without the index; floats in the shortest form that reads back the same."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_table(path: Path) -> pd.DataFrame:
    """Read CSV. Raises PipelineError when the file is missing or damaged."""
    with explained(path, "a CSV table"):
        # A variant may be named `nan`.
        return pd.read_csv(path, keep_default_na=False, na_values=[""])


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as .npz, uncompressed so that reading is instant."""
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Read named arrays of an .npz. Raises PipelineError when the file or a name is missing or damaged."""
    expected = f"a NumPy archive with {', '.join(names)}"
    with explained(path, expected), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return tuple(archive[name] for name in names)


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, with no software version or date in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def write_model(path: Path, model: keras.Model) -> None:
    """Write a `.keras` archive without what changes from run to run: dates, object addresses.

    The model is written as built and trained, without an optimizer: save an uncompiled one.
    """

    def lasting(content: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in content.items() if key not in CHANGING}

    members = _saved_members(path, model)
    for name in ("metadata.json", "config.json"):
        members[name] = json.dumps(json.loads(members[name], object_hook=lasting), sort_keys=True).encode()
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)


def _saved_members(path: Path, model: keras.Model) -> dict[str, bytes]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "model.keras"
            model.save(saved)
            with zipfile.ZipFile(saved) as archive:
                return {name: archive.read(name) for name in sorted(archive.namelist())}
    except OSError as error:
        raise PipelineError(
            f"{path}: cannot be written: {error.strerror or error} in {tempfile.gettempdir()}. "
            "Free space there or set TMPDIR, then run the same command again."
        ) from error


def read_model(path: Path) -> keras.Model:
    """Load a `.keras` archive in safe mode. Raises PipelineError when it is missing or damaged."""
    import keras

    with explained(path, "a Keras model"), initialization.skipped():
        return keras.saving.load_model(path, compile=False, safe_mode=True)


@contextlib.contextmanager
def explained(path: Path, expected: str) -> Iterator[None]:
    """Turn what the reading of a file raises into PipelineErrors: the file is missing or damaged, and what to do."""
    if not path.is_file():
        raise PipelineError(f"{path}: expected {expected}, but the file is missing. Run `dvc repro` to make it.")
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise PipelineError(
            f"{path}: expected {expected}, but the file is damaged ({error}). "
            "Delete it, then run `dvc repro` to make it again."
        ) from error
