"""Files appear whole or not at all, and an error of the disk is named."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.runtime import backend
from tests.io.small_outputs import files_in, noise_figure, small_model

NOT_HALF = "Nothing was left half-written; free space or permissions, then run the same command again."
# More than the small disk below holds.
MANY_BYTES = 200_000
WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: storage.write_bytes(path, bytes(MANY_BYTES)),
    "json": lambda path: storage.write_json(path, {"text": "x" * MANY_BYTES}),
    "table": lambda path: storage.write_table(path, pd.DataFrame({"number": range(MANY_BYTES // 4)})),
    "arrays": lambda path: storage.write_arrays(path, images=np.zeros(MANY_BYTES, np.uint8)),
    "figure": lambda path: storage.write_figure(path, noise_figure()),
    "model": lambda path: storage.write_model(path, small_model(units=64)),
}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    storage.write_bytes(tmp_path / "a" / "b" / "file.bin", b"content")
    assert files_in(tmp_path) == {"a/b/file.bin": b"content"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_said_by_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        storage.write_bytes(tmp_path / "file.bin", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == mode


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    storage.write_bytes(path, b"old")
    with storage.atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == {"file.bin": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("before", [{}, {"file.bin": b"old"}], ids=["new", "existing"])
def test_an_exception_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: dict[str, bytes]
) -> None:
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)

    def interrupted() -> None:
        with storage.atomic_write(tmp_path / "file.bin") as file:
            file.write(b"half of the new cont")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    assert files_in(tmp_path) == before


def test_an_error_of_the_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file.bin"
    storage.write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value) == f"{path}: cannot be written: No space left on device. {NOT_HALF}"
    assert files_in(tmp_path) == {"file.bin": b"old"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True, check=False
        )
    except OSError as error:
        pytest.skip(f"full disk: mount cannot be run: {error}")
    if mounted.returncode:
        pytest.skip(f"full disk: mounting a small one is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@writers
def test_a_full_disk_leaves_nothing_half_written(small_disk: Path, write: Callable[[Path], None]) -> None:
    path = small_disk / "results" / "output"
    with pytest.raises(PipelineError) as raised:
        write(path)
    assert str(raised.value) == f"{path}: cannot be written: No space left on device. {NOT_HALF}"
    assert files_in(small_disk) == {}
    storage.write_bytes(path, bytes(30_000))


def test_a_full_folder_for_temporary_files_is_named(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.configure("jax", threads=1)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    path = tmp_path / "model.keras"
    with pytest.raises(PipelineError) as raised:
        storage.write_model(path, small_model(units=200))
    assert str(raised.value).startswith(f"{path}: cannot be written: ")
    assert f"in {small_disk}. Free space there or set TMPDIR" in str(raised.value)
    assert not path.exists()


@writers
def test_a_full_disk_keeps_the_old_file(small_disk: Path, write: Callable[[Path], None]) -> None:
    path = small_disk / "output"
    path.write_bytes(b"old")
    with pytest.raises(PipelineError, match="No space left on device"):
        write(path)
    assert files_in(small_disk) == {"output": b"old"}


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    path = small_disk / "file.bin"
    path.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value) == f"{path}: cannot be written: Read-only file system. {NOT_HALF}"
    assert files_in(small_disk) == {"file.bin": b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    path = tmp_path / "file.bin"
    with pytest.raises(PipelineError, match=f"{path}: cannot be written: Permission denied"):
        storage.write_bytes(path, b"new")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_bytes(b"a file")
    path = tmp_path / "results" / "file.bin"
    with pytest.raises(PipelineError) as raised:
        storage.write_bytes(path, b"new")
    assert str(raised.value).startswith(f"{path}: cannot be written: ")
    assert files_in(tmp_path) == {"results": b"a file"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "file.json", {"loss": value})
    assert files_in(tmp_path) == {}


def test_arrays_of_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        storage.write_arrays(tmp_path / "file.npz", labels=np.array([{}], dtype=object))
    assert files_in(tmp_path) == {}
