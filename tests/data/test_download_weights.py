"""Downloads of weights, of which each source has a file of its own name and hash."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from pipeline.config.data import PublishedWeights
from pipeline.data import download
from pipeline.errors import PipelineError
from tests.data.download_server import ARCHIVE, IMPATIENT, Server

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
