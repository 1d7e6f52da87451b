"""The published datasets, by their SHA-256."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.data import IdxFiles
from pipeline.data import download, idx

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
