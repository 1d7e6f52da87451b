"""dvc.lock: which stages have run, by what command, from what and to what; and DVC's hashes of files and folders."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError

NAME = "dvc.lock"
# How DVC marks the hash of a folder.
FOLDER_SUFFIX = ".dir"


@dataclass(frozen=True)
class LockedStage:
    """A stage as it last ran: hashes by path, relative to the project's root, and parameters by file and key."""

    address: str
    command: str
    dependencies: Mapping[str, str]
    outputs: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Any]]


def read(root: Path) -> dict[str, LockedStage]:
    """The stages of the project's dvc.lock by address, none before the first run. Raises PipelineError if damaged."""
    path = root / NAME
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: expected DVC's lock file, but it cannot be read: {error}.") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, LockedStage]:
    """The stages of a dvc.lock by address. Raises PipelineError naming it when it is damaged."""
    try:
        content = YAML(typ="safe").load(text) or {}
        return {address: _stage(address, entry) for address, entry in (content.get("stages") or {}).items()}
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{name}: expected DVC's lock file, but it is damaged ({error}). Restore it from Git, or delete it and run "
            "`dvc repro`."
        ) from None


def hash_of(path: Path) -> str:
    """The hash by which DVC knows the content of a file or folder."""
    return folder_hash(manifest(path)) if path.is_dir() else _file_hash(path)


def manifest(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _file_hash(path) for path in files}


def folder_hash(files: Mapping[str, str]) -> str:
    """DVC's hash of a folder: that of the list of its files, written as DVC writes it (dvc_data.hashfile.tree)."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    listing = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listing, usedforsecurity=False).hexdigest() + FOLDER_SUFFIX


def overlap(left: str, right: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    one, other = PurePosixPath(left), PurePosixPath(right)
    return one.is_relative_to(other) or other.is_relative_to(one)


def _stage(address: str, entry: Mapping[str, Any]) -> LockedStage:
    inputs, outputs = ({item["path"]: item["md5"] for item in entry.get(kind, ())} for kind in ("deps", "outs"))
    parameters = {file: dict(values.items()) for file, values in entry.get("params", {}).items()}
    return LockedStage(address, entry["cmd"], inputs, outputs, parameters)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
