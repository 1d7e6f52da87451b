from __future__ import annotations

import contextlib
import gzip
import hashlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.data import idx
from pipeline.errors import PipelineError

LABELS = b"\0\0\x08\x01" + b"\0\0\0\x03" + b"\x07\x08\x09"
IMAGES = b"\0\0\x08\x03" + b"\0\0\0\x02" + b"\0\0\0\x01" + b"\0\0\0\x02" + b"\x01\x02\x03\x04"

uint8_arrays = st.sampled_from([1, 3]).flatmap(
    lambda rank: hnp.arrays(np.uint8, hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=0, max_side=6))
)


@pytest.mark.parametrize(("content", "expected"), [(LABELS, [7, 8, 9]), (IMAGES, [[[1, 2]], [[3, 4]]])])
def test_decodes_and_encodes_bytes_written_by_hand(content: bytes, expected: list[object]) -> None:
    decoded = idx.decode(content)
    assert decoded.dtype == np.uint8
    assert decoded.tolist() == expected
    assert idx.encode(np.array(expected, np.uint8)) == content


@given(uint8_arrays)
def test_round_trip(array: np.ndarray) -> None:
    decoded = idx.decode(idx.decompress(idx.compress(idx.encode(array))))
    assert decoded.shape == array.shape
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX header, got 0 bytes"),
        (b"\0\0\x08", "expected an IDX header, got 3 bytes"),
        (b"\0\0\x0d\x01\0\0\0\x00", "magic number 0x00000801 or 0x00000803, got 0x00000d01"),
        (b"\0\0\x08\x02\0\0\0\x01\0\0\0\x01\x05", "got 0x00000802"),
        (b"\x1f\x8b\x08\0", "got 0x1f8b0800"),
        (LABELS[:6], "expected an IDX header of 8 bytes, got 6"),
        (IMAGES[:12], "expected an IDX header of 16 bytes, got 12"),
        (LABELS[:-1], r"expected 3 bytes of data for the shape \(3,\) in the header, got 2"),
        (LABELS + b"\0", "expected 3 bytes of data .* got 4"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "got 0"),
        (struct.pack(">4I", 0x803, 0, 2**32 - 1, 2**32 - 1), "expected a shape that an array can have"),
    ],
)
def test_decode_says_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(idx.IdxError, match=message):
        idx.decode(content)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.uint8), np.zeros(3, np.int64), np.zeros((1, 2, 2), np.float32), np.uint8(1)]
)
def test_encode_refuses_what_the_format_does_not_hold(array: np.ndarray) -> None:
    with pytest.raises(idx.IdxError, match="expected uint8 with 1 or 3 dimensions, got"):
        idx.encode(array)


@given(st.binary(max_size=64), st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x08\x03\0\0\0\0"]))
def test_arbitrary_bytes_decode_or_raise_idx_error(content: bytes, start: bytes) -> None:
    try:
        decoded = idx.decode(start + content)
    except idx.IdxError:
        return
    assert idx.encode(decoded) == start + content


@given(st.binary(max_size=64), st.sampled_from([b"", b"\x1f\x8b\x08\0", idx.compress(b"x"), idx.compress(b"x")[:-8]]))
def test_arbitrary_bytes_decompress_or_raise_idx_error(content: bytes, start: bytes) -> None:
    try:
        plain = idx.decompress(start + content)
    except idx.IdxError:
        return
    assert plain == gzip.decompress(start + content)


@given(st.integers(min_value=1, max_value=len(idx.compress(IMAGES)) - 1))
def test_archive_cut_short_is_refused(size: int) -> None:
    with pytest.raises(idx.IdxError, match="expected a whole gzip archive, got"):
        idx.decompress(idx.compress(IMAGES)[:size])


def test_decompression_stops_at_the_maximum() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(idx.IdxError, match="expected at most 100,000 bytes after decompression, got more"):
            idx.decompress(bomb, max_size=100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


uint32 = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1])


@given(
    magic=st.sampled_from([0x801, 0x803]) | uint32,
    sizes=st.lists(uint32, max_size=3),
    data=st.binary(max_size=32),
    num_zeros=st.sampled_from([0, 1, 60_000, 3_000_000]),
)
def test_whatever_a_header_claims_costs_no_memory(magic: int, sizes: list[int], data: bytes, num_zeros: int) -> None:
    """Either the file is what its header says, or it is refused, by the check and by the parser alike."""
    plain = struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + data + bytes(num_zeros)
    archive = idx.compress(plain)
    tracemalloc.start()
    try:
        checked: str | None = None
        with contextlib.suppress(idx.IdxError):
            checked = idx.fingerprint(archive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    decoded: np.ndarray | None = None
    with contextlib.suppress(idx.IdxError):
        decoded = idx.decode(plain)
    # A shape without values that no array can have is the one thing that only the parser can tell.
    if decoded is None and checked is not None:
        assert len(plain) == 16
    else:
        assert checked == (None if decoded is None else hashlib.sha256(plain).hexdigest())


@given(uint8_arrays)
def test_the_fingerprint_is_the_hash_of_the_plain_file(array: np.ndarray) -> None:
    content = idx.encode(array)
    assert idx.fingerprint(idx.compress(content)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx.compress(b""), "expected an IDX header, got 0 bytes"),
        (b"", "expected an IDX header, got 0 bytes"),
        (idx.compress(b"\0" * 1_000), "expected the IDX magic number .*, got 0x00000000"),
        (idx.compress(LABELS + b"\0"), r"expected 3 bytes of data for the shape \(3,\) in the header, got more"),
        (idx.compress(LABELS[:-1]), r"expected 3 bytes of data for the shape \(3,\) in the header, got 2"),
        (idx.compress(LABELS)[:-1], "expected a whole gzip archive"),
        (
            idx.compress(struct.pack(">4I", 0x803, 60_000, 28, 2**20)),
            r"expected at most 200,000,000 bytes, the shape \(60000, 28, 1048576\) in the header has more",
        ),
    ],
)
def test_the_fingerprint_of_what_is_no_idx_file(content: bytes, message: str) -> None:
    with pytest.raises(idx.IdxError, match=message):
        idx.fingerprint(content)


def test_content_of_exactly_the_maximum_passes() -> None:
    assert idx.decompress(idx.compress(bytes(100)), max_size=100) == bytes(100)


def test_compressed_bytes_hold_no_date_and_no_name() -> None:
    compressed = idx.compress(IMAGES)
    flags, date = compressed[3], compressed[4:8]
    assert flags == 0
    assert date == bytes(4)
    assert gzip.decompress(compressed) == IMAGES


def test_write_then_read(tmp_path: Path) -> None:
    images = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    idx.write(tmp_path / "raw" / "images.gz", images)
    np.testing.assert_array_equal(idx.read(tmp_path / "raw" / "images.gz", rank=3), images)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a gzipped IDX file, but it is missing"),
        (b"<html>", "not a usable gzipped IDX file: expected a whole gzip archive"),
        (idx.compress(IMAGES)[:-9], "not a usable gzipped IDX file: expected a whole gzip archive"),
        (idx.compress(b"<html>"), "expected the IDX magic number"),
        (idx.compress(IMAGES), "expected 1 dimensions, got 3"),
    ],
)
def test_read_names_the_file_and_the_remedy(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "labels.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=message) as caught:
        idx.read(path, rank=1)
    assert str(path) in str(caught.value)
    assert "Run `dvc repro` to fetch it again." in str(caught.value)
