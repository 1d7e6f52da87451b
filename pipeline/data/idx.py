"""The IDX format of MNIST and its relatives: bytes in one dimension (labels) or three (images), gzipped on disk."""

import gzip
import hashlib
import io
import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.errors import PipelineError
from pipeline.io import storage

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
FILE_NAMES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

# Two zero bytes, 8 for "unsigned byte", the number of dimensions.
MAGIC_OF_RANK = {1: 0x00000801, 3: 0x00000803}
RANK_OF_MAGIC = {magic: rank for rank, magic in MAGIC_OF_RANK.items()}

# The first bytes of such a file; those of a gzip archive are others.
MAGIC_BEGINNING = b"\x00\x00\x08"

# Four times the largest file of the MNIST family; a gzip archive can promise a thousand times its own size.
MAX_SIZE = 200_000_000
# On 60,000 images level 9 takes ten times as long as level 6 and saves 1 %.
GZIP_LEVEL = 6
CHUNK_SIZE = 1 << 16

_REMEDY = "Run `dvc repro` to fetch it again."


class IdxError(ValueError):
    """Bytes that do not follow the format; the text has what was expected and what was received."""


def decode(content: bytes) -> np.ndarray:
    """Turn an IDX file's bytes into a read-only uint8 array of shape (n,) or (n, height, width).

    Raises IdxError when the magic number is unknown or the sizes in the header are not those of the data.
    """
    shape, header_size = _header(content)
    _check_size(shape, f"{len(content) - header_size:,}", fits=len(content) - header_size == math.prod(shape))
    try:
        return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)
    except ValueError:
        raise IdxError(f"expected a shape that an array can have, got {shape} in the header") from None


def _header(content: bytes) -> tuple[tuple[int, ...], int]:
    """The shape in a file's header, and the size of the header in bytes."""
    if len(content) < 4:
        raise IdxError(f"expected an IDX header, got {len(content)} bytes in all")
    (magic,) = struct.unpack_from(">I", content)
    if magic not in RANK_OF_MAGIC:
        expected = " or ".join(f"0x{known:08x}" for known in RANK_OF_MAGIC)
        raise IdxError(f"expected the IDX magic number {expected}, got 0x{magic:08x}")
    rank = RANK_OF_MAGIC[magic]
    header_size = 4 + 4 * rank
    if len(content) < header_size:
        raise IdxError(f"expected an IDX header of {header_size} bytes, got {len(content)} bytes in all")
    return struct.unpack_from(f">{rank}I", content, 4), header_size


def _check_size(shape: tuple[int, ...], received: str, *, fits: bool) -> None:
    if not fits:
        # Python integers cannot overflow, whatever the header claims.
        expected = math.prod(shape)
        raise IdxError(f"expected {expected:,} bytes of data for the shape {shape} in the header, got {received}")


def encode(array: np.ndarray) -> bytes:
    """Turn a uint8 array with one or three dimensions into an IDX file's bytes. Raises IdxError for any other array."""
    if array.dtype != np.uint8 or array.ndim not in MAGIC_OF_RANK:
        raise IdxError(f"expected uint8 with 1 or 3 dimensions, got {array.dtype} with {array.ndim}")
    return struct.pack(f">I{array.ndim}I", MAGIC_OF_RANK[array.ndim], *array.shape) + array.tobytes()


def compress(content: bytes) -> bytes:
    """Gzip without a date or a file name, so that equal content gives equal bytes."""
    buffer = io.BytesIO()
    # `gzip.compress` would leave a byte of the header to the Python version.
    with gzip.GzipFile("", "wb", GZIP_LEVEL, buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def decompress(content: bytes, *, max_size: int = MAX_SIZE) -> bytes:
    """Undo gzip, but stop at `max_size` bytes. Raises IdxError when the archive is larger, damaged or cut short.

    The content of an IDX file that is not compressed stays as it is.
    """
    return b"".join(_unpacked(content, max_size))


def fingerprint(content: bytes, *, max_size: int = MAX_SIZE) -> str:
    """The SHA-256 of the IDX file in a gzip archive, or of one that is not compressed, as hex digits.

    The file is read in pieces and none is kept, so that it costs no memory, whatever its header says or it unpacks to.
    Raises IdxError at the first piece that cannot belong to an IDX file of at most `max_size` bytes.
    """
    chunks = _unpacked(content, max_size)
    first = next(chunks, b"")
    shape, header_size = _header(first)
    expected = header_size + math.prod(shape)
    if expected > max_size:
        raise IdxError(f"expected at most {max_size:,} bytes, the shape {shape} in the header has more")
    digest, size = hashlib.sha256(), 0
    for chunk in itertools.chain([first], chunks):
        size += len(chunk)
        _check_size(shape, "more", fits=size <= expected)
        digest.update(chunk)
    _check_size(shape, f"{size - header_size:,}", fits=size == expected)
    return digest.hexdigest()


def _unpacked(content: bytes, max_size: int) -> Iterator[bytes]:
    """An IDX file's content in pieces. Raises IdxError beyond `max_size` bytes, and for a damaged gzip archive."""
    size = 0
    stream = io.BytesIO(content)
    try:
        with stream if content.startswith(MAGIC_BEGINNING) else gzip.GzipFile(fileobj=stream) as file:
            while chunk := file.read(CHUNK_SIZE):
                size += len(chunk)
                if size > max_size:
                    raise IdxError(f"expected at most {max_size:,} bytes after decompression, got more")
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"expected a whole gzip archive, got {len(content):,} bytes that are not ({error})") from None


def write(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as a gzipped IDX file, whole or not at all. Raises IdxError for any other array."""
    storage.write_bytes(path, compress(encode(array)))


def read(path: Path, *, rank: int) -> np.ndarray:
    """Read a gzipped IDX file with `rank` dimensions (1 or 3). Raises PipelineError when it is missing or damaged."""
    try:
        array = decode(decompress(path.read_bytes()))
        if array.ndim != rank:
            raise IdxError(f"expected {rank} dimensions, got {array.ndim}")
    except FileNotFoundError:
        raise PipelineError(f"{path}: expected a gzipped IDX file, but it is missing. {_REMEDY}") from None
    except (IdxError, OSError) as error:
        raise PipelineError(f"{path}: not a usable gzipped IDX file: {error}. Delete it. {_REMEDY}") from error
    return array
