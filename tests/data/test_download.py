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
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.data import IdxFiles, PublishedWeights
from pipeline.data import download, idx
from pipeline.data.download import Limits
from pipeline.errors import PipelineError

NAME = "train-labels-idx1-ubyte.gz"
PLAIN = idx.encode(np.random.default_rng(0).integers(0, 10, 3_000, dtype=np.uint8))
# Another compressor than the pipeline's: what a publisher serves differs in bytes, not in content.
ARCHIVE = idx.compress(PLAIN)[:4] + b"\x01\x02\x03\x04" + idx.compress(PLAIN)[8:]
SHA256 = hashlib.sha256(PLAIN).hexdigest()
WRONG = idx.compress(idx.encode(np.zeros(3_000, np.uint8)))
IMPATIENT = Limits(
    connect_seconds=1, silence_seconds=0.3, patience_seconds=0.3, min_speed=4_000, max_size=len(PLAIN) + 1_000
)

PROJECT = Path(__file__).resolve().parents[2]


class Server(ThreadingHTTPServer):
    """Serves /<behaviour>/<name>; its handlers wait for `closing` where a real server would hang."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self.requested = threading.Event()
        self.paths: list[str] = []
        self.bomb = b""

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.requested.set()
        BEHAVIOURS[self.path.split("/")[1]](self)

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def head(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def whole(self, content: bytes) -> None:
        self.head(Content_Length=str(len(content)))
        self.wfile.write(content)


def chunked(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.head(Transfer_Encoding="chunked", Connection="close")
    for start in range(0, len(ARCHIVE), 500):
        chunk = ARCHIVE[start : start + 500]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    handler.wfile.write(b"0\r\n\r\n")


def stalls_in_body(handler: Handler) -> None:
    handler.head(Content_Length=str(len(ARCHIVE)))
    handler.wfile.write(ARCHIVE[:100])
    handler.wfile.flush()
    handler.server.closing.wait()


def trickles(handler: Handler) -> None:
    handler.head(Content_Length=str(len(ARCHIVE)))
    for index in range(len(ARCHIVE)):
        handler.wfile.write(ARCHIVE[index : index + 1])
        if handler.server.closing.wait(0.05):
            return


def truncates(handler: Handler) -> None:
    handler.head(Content_Length=str(len(ARCHIVE)))
    handler.wfile.write(ARCHIVE[:-100])


def floods(handler: Handler) -> None:
    handler.head()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(10_000))


def redirects(handler: Handler) -> None:
    handler.head(302, Location=handler.path.replace("redirects", "good"))


def puzzles(handler: Handler) -> None:
    handler.head(Content_Length="²")
    handler.wfile.write(ARCHIVE)


def labels_header(num_labels: int) -> bytes:
    """The beginning of an IDX file that claims to hold this many labels."""
    return PLAIN[:4] + num_labels.to_bytes(4, "big")


BEHAVIOURS: dict[str, Callable[[Handler], object]] = {
    "good": lambda handler: handler.whole(ARCHIVE),
    "chunked": chunked,
    "redirects": redirects,
    # A digit to Python, but no number.
    "puzzles": puzzles,
    "circles": lambda handler: handler.head(302, Location=handler.path),
    "escapes": lambda handler: handler.head(302, Location="file:///etc/passwd"),
    "missing": lambda handler: handler.head(404),
    "overloaded": lambda handler: handler.head(503),
    "hangs": lambda handler: handler.server.closing.wait(),
    "stalls": stalls_in_body,
    "trickles": trickles,
    "truncates": truncates,
    "shortens": lambda handler: handler.whole(ARCHIVE[:-100]),
    "corrupts": lambda handler: handler.whole(ARCHIVE[:1000] + b"\xff\x00\xff\x00" + ARCHIVE[1004:]),
    "page": lambda handler: handler.whole(b"<html>Please log in</html>"),
    "wrong": lambda handler: handler.whole(WRONG),
    "floods": floods,
    "announces": lambda handler: handler.head(Content_Length="1000000000000"),
    "bomb": lambda handler: handler.whole(idx.compress(bytes(1_000_000))),
    "disguised": lambda handler: handler.whole(idx.compress(labels_header(3) + bytes(1_000))),
    "great-bomb": lambda handler: handler.whole(handler.server.bomb),
    "boasts": lambda handler: handler.whole(idx.compress(labels_header(2**32 - 1))),
    "lies": lambda handler: handler.whole(idx.compress(labels_header(3_001) + PLAIN[8:])),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


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


WEIGHTS = "base.weights.h5"
# Other bytes of the same training, so with a hash of their own.
MIRRORED = b"weights as the mirror has them"


def published_weights(*urls: str) -> PublishedWeights:
    """A file of the mirror, and public ones whose content is ARCHIVE."""
    mirrored = {"url": f"imagenet/{WEIGHTS}", "sha256": hashlib.sha256(MIRRORED).hexdigest()}
    published = [{"url": url, "sha256": hashlib.sha256(ARCHIVE).hexdigest()} for url in urls]
    return PublishedWeights.model_validate(
        {"kind": "published", "architecture": "mobilenet_v2", "mirrored": mirrored, "published": published}
    )


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "mirror" / "imagenet").mkdir(parents=True)
    return tmp_path / "mirror"


def test_weights_of_the_mirror_come_first_and_as_they_are(server: Server, folder: Path, mirror: Path) -> None:
    (mirror / "imagenet" / WEIGHTS).write_bytes(MIRRORED)
    weights = published_weights(f"{server.url('good')}/public.h5")
    path = download.fetch_weights(weights, folder, mirror=f"{mirror}/", limits=IMPATIENT)
    assert path == folder / WEIGHTS
    assert path.read_bytes() == MIRRORED
    assert server.paths == []


@pytest.mark.parametrize("in_mirror", [None, b"", MIRRORED[:-1], ARCHIVE])
def test_public_weights_follow_under_their_own_name_and_hash(
    server: Server, folder: Path, mirror: Path, in_mirror: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The hash of one source does not excuse another: what is right in public is wrong in the mirror."""
    if in_mirror is not None:
        (mirror / "imagenet" / WEIGHTS).write_bytes(in_mirror)
    weights = published_weights(f"{server.url('truncates')}/public.h5", f"{server.url('good')}/public.h5")
    with caplog.at_level(logging.WARNING):
        path = download.fetch_weights(weights, folder, mirror=str(mirror), limits=IMPATIENT)
    assert path == folder / "public.h5"
    assert path.read_bytes() == ARCHIVE
    assert list(folder.iterdir()) == [path]
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{WEIGHTS} from {mirror}/imagenet: ")
    assert second.startswith(f"{WEIGHTS} from {server.url('truncates')}/public.h5: transfer failed")


def test_the_public_hash_does_not_admit_the_mirrors_bytes(server: Server, folder: Path) -> None:
    weights = published_weights(f"{server.url('wrong')}/public.h5")
    with pytest.raises(PipelineError, match=r"wrong/public\.h5: expected content with SHA-256 .*; discarded"):
        download.fetch_weights(weights, folder, mirror=None, limits=IMPATIENT)
    assert list(folder.iterdir()) == []


def test_when_no_weights_can_be_had_one_error_lists_the_reasons_and_the_way_out(
    server: Server, folder: Path, mirror: Path
) -> None:
    weights = published_weights(f"{server.url('missing')}/public.h5", "public.h5")
    with pytest.raises(PipelineError) as caught:
        download.fetch_weights(weights, folder, mirror=str(mirror), limits=IMPATIENT)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{WEIGHTS}: none of 3 sources serves it."
    assert lines[1] == f"  {mirror}/imagenet: no such file in this folder"
    assert lines[2] == f"  {server.url('missing')}/public.h5: HTTP status 404 Not Found"
    assert lines[3].startswith("  public.h5: ")
    assert lines[4] == (
        f"Check the network, or a damaged file, or work offline: set DATASET_MIRROR (it is '{mirror}' now) to a "
        f"folder, or the http(s) address of one, that holds imagenet/{WEIGHTS}. Then run the command again."
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "a?b.h5", ".hidden", ""])
def test_weights_with_path_tricks_in_their_name_are_refused(server: Server, folder: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="expected a plain file name to fetch"):
        download.fetch_weights(published_weights(f"{server.url('good')}/{name}"), folder, mirror=None)
    assert server.paths == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_shows_on_a_terminal_only(server: Server, folder: Path, stream: io.StringIO, shown: bool) -> None:
    with contextlib.redirect_stderr(stream):
        fetch([server.url("good")], folder)
    assert (NAME in stream.getvalue()) is shown
    assert bool(stream.getvalue()) is shown


# As published: SHA-256 of the decompressed content.
PUBLISHED = [
    ("mnist", idx.TRAIN_IMAGES, (60_000, 28, 28), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("mnist", idx.TRAIN_LABELS, (60_000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("mnist", idx.TEST_IMAGES, (10_000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("mnist", idx.TEST_LABELS, (10_000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    (
        "fashion-mnist",
        idx.TRAIN_IMAGES,
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    ("fashion-mnist", idx.TRAIN_LABELS, (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    (
        "fashion-mnist",
        idx.TEST_IMAGES,
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    ("fashion-mnist", idx.TEST_LABELS, (10_000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
]


@pytest.mark.parametrize(("dataset", "name", "shape", "sha256"), PUBLISHED)
def test_published_files_decode(
    dataset_mirror: Path, tmp_path: Path, dataset: str, name: str, shape: tuple[int, ...], sha256: str
) -> None:
    files = IdxFiles(kind="idx_files", folder=dataset, urls=(), sha256={name: sha256})
    download.fetch_files(files, tmp_path, mirror=str(dataset_mirror))
    array = idx.read(tmp_path / name, rank=len(shape))
    assert array.shape == shape
    if array.ndim == 1:
        assert np.unique(array).tolist() == list(range(10))
