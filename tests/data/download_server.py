"""A server that serves a file well, or badly in every way that a download has to see through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from pipeline.data import idx
from pipeline.data.download import Limits

NAME = "train-labels-idx1-ubyte.gz"
PLAIN = idx.encode(np.random.default_rng(0).integers(0, 10, 3_000, dtype=np.uint8))
# Another compressor than the pipeline's: what a publisher serves differs in bytes, not in content.
ARCHIVE = idx.compress(PLAIN)[:4] + b"\x01\x02\x03\x04" + idx.compress(PLAIN)[8:]
WRONG = idx.compress(idx.encode(np.zeros(3_000, np.uint8)))
# Of a client that gives up soon.
IMPATIENT = Limits(
    connect_seconds=1, silence_seconds=0.3, patience_seconds=0.3, min_speed=4_000, max_size=len(PLAIN) + 1_000
)


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
    "decompressed": lambda handler: handler.whole(PLAIN),
    "decompressed-renamed": lambda handler: handler.head(404) if ".gz" in handler.path else handler.whole(PLAIN),
    "lies": lambda handler: handler.whole(idx.compress(labels_header(3_001) + PLAIN[8:])),
}
