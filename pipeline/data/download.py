"""Fetch published files from the first source that has the right content.

`pooch` would not do: it hashes the compressed file, knows one address per file, and sets a slow server no limit.
"""

import hashlib
import io
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pipeline.config.data import IdxFiles, PublishedWeights
from pipeline.data import idx
from pipeline.errors import PipelineError
from pipeline.io import storage

MIRROR_VARIABLE = "DATASET_MIRROR"

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CHUNK_SIZE = 1 << 16

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """When a source is given up for the next one: seconds to connect, seconds without a byte, and size in bytes.

    A source is too slow when it sends less than `min_speed` bytes per second over `patience_seconds`.
    """

    connect_seconds: float = 5.0
    silence_seconds: float = 10.0
    patience_seconds: float = 20.0
    min_speed: float = 4_000.0
    max_size: int = idx.MAX_SIZE


DEFAULT_LIMITS = Limits()


class SourceError(Exception):
    """Why one source did not serve a file; the next one is tried."""


class Offer(NamedTuple):
    """A file as one source has it: its name in a folder or below an http(s) address, and the SHA-256 of its content."""

    source: str
    name: str
    sha256: str


def fetch_files(files: IdxFiles, folder: Path, *, mirror: str | None, limits: Limits = DEFAULT_LIMITS) -> None:
    """Place every IDX file of a dataset, gzipped, into a folder: from the mirror, or else the first source that has it.

    A source is a folder or an http(s) address that holds files; a mirror may hold them decompressed, with or without
    the ending .gz. Publishers compress the same content differently, so it
    is compressed anew, and the bytes in the folder are the same from every source. What fails the check is neither
    written to disk nor held decompressed in memory.
    Raises PipelineError when no source serves a file, with each source's reason and what to do.
    """
    mirrored = [f"{mirror.rstrip('/')}/{files.folder}"] if mirror else []
    for name, sha256 in files.sha256.items():
        plain = [Offer(source, name.removesuffix(".gz"), sha256) for source in mirrored if _is_http(source)]
        offers = [*(Offer(source, name, sha256) for source in mirrored), *plain]
        offers += [Offer(source, name, sha256) for source in files.urls]
        wanted = f"{files.folder}/{name} and the dataset's other files beside it"
        _, content = _first_served(name, offers, _hash_of_idx, limits, _advice(wanted, mirror))
        storage.write_bytes(folder / name, idx.compress(idx.decompress(content, max_size=limits.max_size)))


def fetch_weights(
    weights: PublishedWeights, folder: Path, *, mirror: str | None, limits: Limits = DEFAULT_LIMITS
) -> Path:
    """Place the first file of weights that has its SHA-256 into a folder, and return its path.

    It keeps its source's name, by which Keras knows the format. What fails the check is not written to disk.
    Raises PipelineError when no source serves its file, with each source's reason and what to do.
    """
    mirrored = [(f"{mirror.rstrip('/')}/{weights.mirrored.url}", weights.mirrored.sha256)] if mirror else []
    addresses = [*mirrored, *((file.url, file.sha256) for file in weights.published)]
    offers = [Offer(*url.rpartition("/")[::2], sha256) for url, sha256 in addresses]
    title, advice = weights.mirrored.url.rpartition("/")[2], _advice(weights.mirrored.url, mirror)
    offer, content = _first_served(title, offers, lambda whole, _: hashlib.sha256(whole).hexdigest(), limits, advice)
    storage.write_bytes(folder / offer.name, content)
    return folder / offer.name


def _first_served(
    title: str, offers: Sequence[Offer], digest: Callable[[bytes, Limits], str], limits: Limits, advice: str
) -> tuple[Offer, bytes]:
    """The first offer whose bytes have its SHA-256 by `digest`, and these bytes. Raises PipelineError if none has."""
    if unsafe := [offer.name for offer in offers if not SAFE_NAME.fullmatch(offer.name)]:
        expected = "expected a plain file name to fetch (letters, digits, '.', '_', '-')"
        raise PipelineError(f"{expected}, got {unsafe[0]!r}.")
    reasons = []
    for offer in offers:
        # The message has the file's name too where the source has it under another one.
        source = offer.source if offer.name == title else f"{offer.source}/{offer.name}".lstrip("/")
        try:
            content = _load(offer.source, offer.name, limits)
            received = digest(content, limits)
            if received != offer.sha256:
                raise SourceError(f"expected content with SHA-256 {offer.sha256}, got {received}; discarded")
        except SourceError as error:
            log.warning("%s from %s: %s", title, source, error)
            reasons.append(f"  {source}: {error}")
        else:
            return offer, content
    raise PipelineError("\n".join([f"{title}: none of {len(offers)} sources serves it.", *reasons, advice]))


def _advice(wanted: str, mirror: str | None) -> str:
    """What to do where no source serves the file that is `wanted`."""
    setting = f"it is {mirror!r} now" if mirror else "it is not set now"
    return (
        f"Check the network, or a damaged file, or work offline: set {MIRROR_VARIABLE} ({setting}) to a folder, or the "
        f"http(s) address of one, that holds {wanted}. Then run the command again."
    )


def _hash_of_idx(content: bytes, limits: Limits) -> str:
    try:
        return idx.fingerprint(content, max_size=limits.max_size)
    except idx.IdxError as error:
        raise SourceError(f"{error}; discarded") from None


def _is_http(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _load(source: str, name: str, limits: Limits) -> bytes:
    if _is_http(source):
        return _download(f"{source.rstrip('/')}/{name}", limits)
    if "://" in source:
        raise SourceError("expected a folder or an http:// or https:// address")
    path = Path(source).expanduser() / name
    if not path.parent.is_dir():
        raise SourceError("no such folder")
    if not path.is_file():
        path = path.with_name(name.removesuffix(".gz"))
    if not path.is_file():
        raise SourceError("no such file in this folder")
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_size + 1)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > limits.max_size:
        raise SourceError(f"expected at most {limits.max_size:,} bytes, got more; discarded")
    return content


def _download(url: str, limits: Limits) -> bytes:
    # A server might otherwise compress the archive once more for the transfer.
    headers = {"Accept-Encoding": "identity"}
    try:
        timeout = (limits.connect_seconds, limits.silence_seconds)
        with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
            if response.status_code != requests.codes.ok:
                raise SourceError(f"HTTP status {response.status_code} {response.reason}".rstrip())
            return _receive(response, limits)
    except requests.ConnectTimeout:
        raise SourceError(f"no connection within {limits.connect_seconds:g} s") from None
    except (requests.Timeout, ReadTimeoutError):
        raise SourceError(f"no answer for {limits.silence_seconds:g} s") from None
    except requests.TooManyRedirects:
        raise SourceError("redirected in circles") from None
    # What goes wrong in the body comes from urllib3, unwrapped.
    except (requests.RequestException, HTTPError, OSError) as error:
        raise SourceError(f"transfer failed: {_root_cause(error)}") from None


def _receive(response: requests.Response, limits: Limits) -> bytes:
    """The body of a response. Raises SourceError when it is too large or arrives too slowly."""
    content = io.BytesIO()
    watched_from, watched_size = time.monotonic(), 0
    length = response.headers.get("Content-Length", "")
    announced = int(length) if length.isdecimal() else None
    if announced and announced > limits.max_size:
        raise SourceError(f"expected at most {limits.max_size:,} bytes, {announced:,} are announced; not fetched")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(response.url.rpartition("/")[2], total=announced)
        # Unlike `iter_content`, `read1` returns whatever has arrived, so that a trickle is noticed.
        while chunk := response.raw.read1(CHUNK_SIZE, decode_content=False):
            content.write(chunk)
            progress.advance(task, len(chunk))
            if content.tell() > limits.max_size:
                raise SourceError(f"expected at most {limits.max_size:,} bytes, got more; discarded")
            seconds, size = time.monotonic() - watched_from, content.tell() - watched_size
            if seconds >= limits.patience_seconds:
                if size < limits.min_speed * seconds:
                    raise SourceError(f"too slow: {size / seconds:,.0f} bytes per second")
                watched_from, watched_size = time.monotonic(), content.tell()
    return content.getvalue()


def _root_cause(error: BaseException) -> BaseException:
    """The operating system's error, which requests and urllib3 wrap in errors of their own."""
    while error.__context__ is not None:
        error = error.__context__
    return error
