"""Downloads of dataset files: what is placed, what is refused and why, and which source comes first."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pipeline.config.data import IdxFiles
from pipeline.data import download, idx
from pipeline.errors import PipelineError
from tests.data.download_server import ARCHIVE, IMPATIENT, NAME, PLAIN, WRONG, Server, labels_header

SHA256 = hashlib.sha256(PLAIN).hexdigest()
PROJECT = Path(__file__).resolve().parents[2]


def idx_files(*sources: str) -> IdxFiles:
    return IdxFiles(kind="idx_files", folder="mnist", urls=sources, sha256={NAME: SHA256})


def fetch(sources: list[str], folder: Path) -> None:
    download.fetch_files(idx_files(*sources), folder, mirror=None, limits=IMPATIENT)


@pytest.mark.parametrize("behaviour", ["good", "chunked", "redirects", "puzzles"])
def test_a_good_answer_is_placed(server: Server, folder: Path, behaviour: str) -> None:
    fetch([server.url(behaviour)], folder)
    assert idx.decompress((folder / NAME).read_bytes()) == PLAIN
    assert list(folder.iterdir()) == [folder / NAME]


BAD_ANSWERS = [
    ("circles", "redirected in circles"),
    ("escapes", "transfer failed: No connection adapters were found"),
    ("missing", "HTTP status 404 Not Found"),
    ("overloaded", "HTTP status 503 Service Unavailable"),
    ("hangs", "no answer for 0.3 s"),
    ("stalls", "no answer for 0.3 s"),
    ("trickles", r"too slow: \d+ bytes per second"),
    ("truncates", r"transfer failed: .*100 more expected"),
    ("shortens", "expected a whole gzip archive, got .*; discarded"),
    ("corrupts", "discarded"),
    ("page", "expected a whole gzip archive, got 26 bytes that are not .*; discarded"),
    ("wrong", f"expected content with SHA-256 {SHA256}, got [0-9a-f]{{64}}; discarded"),
    ("floods", "expected at most 4,008 bytes, got more; discarded"),
    ("announces", "expected at most 4,008 bytes, 1,000,000,000,000 are announced; not fetched"),
    ("bomb", "expected at most 4,008 bytes after decompression, got more; discarded"),
    ("disguised", r"expected 3 bytes of data for the shape \(3,\) in the header, got more; discarded"),
    ("boasts", r"expected at most 4,008 bytes, the shape \(4294967295,\) in the header has more; discarded"),
    ("lies", r"expected 3,001 bytes of data for the shape \(3001,\) in the header, got 3,000; discarded"),
]


@pytest.mark.parametrize(("behaviour", "reason"), BAD_ANSWERS)
def test_a_bad_answer_is_named_and_the_next_source_tried(
    server: Server, folder: Path, caplog: pytest.LogCaptureFixture, behaviour: str, reason: str
) -> None:
    with caplog.at_level(logging.WARNING):
        fetch([server.url(behaviour), server.url("good")], folder)
    assert idx.decompress((folder / NAME).read_bytes()) == PLAIN
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{NAME} from {server.url(behaviour)}: ")
    assert re.search(reason, message)


@pytest.mark.parametrize("behaviour", [behaviour for behaviour, _ in BAD_ANSWERS])
def test_a_bad_answer_leaves_no_file(server: Server, folder: Path, behaviour: str) -> None:
    with pytest.raises(PipelineError, match="none of 1 sources serves it"):
        fetch([server.url(behaviour)], folder)
    assert list(folder.iterdir()) == []


def test_a_bomb_costs_neither_memory_nor_disk(server: Server, folder: Path) -> None:
    """An archive of 200 KB that unpacks to 199 MB, with the header of an IDX file of that size."""
    num_labels = 199_000_000
    server.bomb = idx.compress(labels_header(num_labels) + bytes(num_labels))
    assert len(server.bomb) < 250_000
    tracemalloc.start()
    try:
        with pytest.raises(PipelineError, match="expected content with SHA-256"):
            download.fetch_files(idx_files(server.url("great-bomb")), folder, mirror=None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert list(folder.iterdir()) == []


def test_unreachable_server_is_named_with_the_cause(folder: Path) -> None:
    with pytest.raises(PipelineError, match=r"transfer failed: \[Errno \d+\] Connection refused"):
        fetch(["http://127.0.0.1:1/mnist"], folder)


def test_sources_are_tried_in_order_until_one_serves(server: Server, folder: Path) -> None:
    fetch([server.url("wrong"), server.url("missing"), server.url("good"), server.url("hangs")], folder)
    assert server.paths == [f"/{behaviour}/{NAME}" for behaviour in ("wrong", "missing", "good")]


def test_stored_bytes_do_not_depend_on_the_source(server: Server, folder: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(idx.compress(PLAIN))
    fetch([str(tmp_path)], folder)
    from_folder = (folder / NAME).read_bytes()
    fetch([server.url("good")], folder)
    assert (folder / NAME).read_bytes() == from_folder != ARCHIVE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file in this folder"),
        (WRONG, "expected content with SHA-256"),
        (ARCHIVE[:-1], "expected a whole gzip archive"),
        (bytes(IMPATIENT.max_size + 1), "expected at most 4,008 bytes, got more"),
    ],
)
def test_a_bad_file_in_a_folder_is_named(
    server: Server, folder: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(PipelineError, match=reason):
        fetch([str(tmp_path)], folder)
    fetch([str(tmp_path), server.url("good")], folder)
    assert idx.decompress((folder / NAME).read_bytes()) == PLAIN


def test_a_folder_and_a_pipe_in_a_files_place_are_no_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / NAME).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / NAME)
    with pytest.raises(PipelineError) as caught:
        fetch([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")], folder)
    reasons = [line.rpartition(": ")[2] for line in str(caught.value).splitlines()[1:-1]]
    assert reasons == ["no such file in this folder", "no such file in this folder", "no such folder"]


@pytest.mark.parametrize("source", ["ftp://127.0.0.1/mnist", "file:///tmp"])
def test_other_kinds_of_address_are_refused(folder: Path, source: str) -> None:
    with pytest.raises(PipelineError, match="expected a folder or an http:// or https:// address"):
        fetch([source], folder)


@pytest.mark.parametrize("name", ["../evil.gz", "/etc/passwd", "a/b.gz", "..", ".hidden", "", "a\\b", "a\n", "a?b"])
def test_names_with_path_tricks_are_refused(server: Server, folder: Path, name: str) -> None:
    files = idx_files(server.url("good")).model_copy(update={"sha256": {name: SHA256}})
    with pytest.raises(PipelineError, match="expected a plain file name to fetch"):
        download.fetch_files(files, folder, mirror=None, limits=IMPATIENT)
    assert server.paths == []
    assert list(folder.iterdir()) == []


def test_the_mirror_comes_before_the_public_sources(server: Server, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror" / "mnist").mkdir(parents=True)
    (tmp_path / "mirror" / "mnist" / NAME).write_bytes(ARCHIVE)
    download.fetch_files(idx_files(server.url("good")), folder, mirror=str(tmp_path / "mirror"))
    assert (folder / NAME).is_file()
    assert server.paths == []


@pytest.mark.parametrize("name", [NAME, NAME.removesuffix(".gz")], ids=["with .gz", "without .gz"])
def test_a_mirror_may_hold_decompressed_files(folder: Path, tmp_path: Path, name: str) -> None:
    """A browser or 7-Zip has decompressed them."""
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / name).write_bytes(PLAIN)
    download.fetch_files(idx_files("ftp://a.example"), folder, mirror=str(tmp_path), limits=IMPATIENT)
    assert (folder / NAME).read_bytes() == idx.compress(PLAIN)


@pytest.mark.parametrize("behaviour", ["decompressed", "decompressed-renamed"])
def test_a_mirroring_server_may_hold_decompressed_files(server: Server, folder: Path, behaviour: str) -> None:
    download.fetch_files(idx_files("ftp://a.example"), folder, mirror=server.url(behaviour), limits=IMPATIENT)
    assert (folder / NAME).read_bytes() == idx.compress(PLAIN)


@pytest.mark.parametrize("content", [PLAIN[:-1], PLAIN + b"1", idx.decompress(WRONG), PLAIN[:3]])
def test_a_decompressed_file_of_other_content_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(PipelineError, match=r"expected .*; discarded"):
        fetch([str(tmp_path)], folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        (None, ["ftp://a.example/"]),
        ("", ["ftp://a.example/"]),
        ("../mirror/", ["../mirror/mnist", "ftp://a.example/"]),
        ("ftp://m.example/data", ["ftp://m.example/data/mnist", "ftp://a.example/"]),
    ],
)
def test_sources_in_order(folder: Path, mirror: str | None, expected: list[str]) -> None:
    """By the errors about addresses and a folder that nothing can be read from."""
    with pytest.raises(PipelineError) as caught:
        download.fetch_files(idx_files("ftp://a.example/"), folder, mirror=mirror)
    assert [line.split(": ")[0].strip() for line in str(caught.value).splitlines()[1:-1]] == expected


def test_when_all_fail_one_error_lists_the_reasons_and_the_way_out(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    files = idx_files(server.url("missing"), server.url("wrong"))
    with pytest.raises(PipelineError) as caught:
        download.fetch_files(files, folder, mirror=str(tmp_path / "mirror"), limits=IMPATIENT)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{NAME}: none of 3 sources serves it."
    assert lines[1] == f"  {tmp_path}/mirror/mnist: no such folder"
    assert lines[2] == f"  {server.url('missing')}: HTTP status 404 Not Found"
    assert lines[3].startswith(f"  {server.url('wrong')}: expected content with SHA-256 {SHA256}")
    assert f"set DATASET_MIRROR (it is '{tmp_path}/mirror' now) to a folder" in lines[4]
    assert f"holds mnist/{NAME}" in lines[4]
    assert len(lines) == 5


def test_a_full_disk_is_not_blamed_on_the_network(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PipelineError, match="No space left on device") as caught:
        download.fetch_files(idx_files(server.url("good")), folder, mirror=None)
    assert "DATASET_MIRROR" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_interrupt_while_placing_leaves_nothing(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch([server.url("good")], folder)
    assert list(folder.iterdir()) == []


def test_interrupt_while_transferring_leaves_nothing(server: Server, folder: Path) -> None:
    files = f"IdxFiles.model_validate_json({idx_files(server.url('stalls')).model_dump_json()!r})"
    call = f"download.fetch_files({files}, Path({str(folder)!r}), mirror=None)"
    # Whoever runs the tests in the background has Ctrl-C ignored, and so would what they start.
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    imports = "from pathlib import Path; from pipeline.config.data import IdxFiles; from pipeline.data import download"
    code = f"{hears}; {imports}; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stderr=subprocess.DEVNULL)
    try:
        assert server.requested.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
    finally:
        process.kill()
        process.wait()
    assert list(folder.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_shows_on_a_terminal_only(server: Server, folder: Path, stream: io.StringIO, shown: bool) -> None:
    with contextlib.redirect_stderr(stream):
        fetch([server.url("good")], folder)
    assert (NAME in stream.getvalue()) is shown
    assert bool(stream.getvalue()) is shown
