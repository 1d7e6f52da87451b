from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.data import idx
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.stages import fetch

ARRAYS = (
    np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28),
    np.array([0, 1, 1], np.uint8),
    np.zeros((2, 28, 28), np.uint8),
    np.array([1, 0], np.uint8),
)


def params_with(source: dict[str, Any]) -> Params:
    content = {"compute": {"seed": 0, "threads": 1}, "datasets": {}, "studies": {}, "tasks": {}, "variants": {}}
    return Params.model_validate({**content, "sources": {"tiny": source}})


def mirrored(mirror: Path) -> dict[str, Any]:
    for name, array in zip(idx.FILE_NAMES, ARRAYS, strict=True):
        idx.write(mirror / "tiny-files" / name, array)
    sha256 = {
        name: hashlib.sha256(idx.encode(array)).hexdigest() for name, array in zip(idx.FILE_NAMES, ARRAYS, strict=True)
    }
    return {"kind": "idx_files", "folder": "tiny-files", "urls": [], "sha256": sha256}


def test_files_come_from_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = params_with(mirrored(tmp_path / "mirror"))
    monkeypatch.setenv("DATASET_MIRROR", str(tmp_path / "mirror"))
    workspace = Workspace(tmp_path)
    fetch.main(workspace, params, "tiny")
    assert sorted(path.name for path in workspace.raw("tiny").iterdir()) == sorted(idx.FILE_NAMES)
    for name, array in zip(idx.FILE_NAMES, ARRAYS, strict=True):
        np.testing.assert_array_equal(idx.read(workspace.raw("tiny") / name, rank=array.ndim), array)


def test_a_file_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = params_with(mirrored(tmp_path / "mirror"))
    (tmp_path / "mirror" / "tiny-files" / idx.TEST_LABELS).write_bytes(b"damaged")
    monkeypatch.setenv("DATASET_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(PipelineError, match=f"{idx.TEST_LABELS}: none of 1 sources serves it"):
        fetch.main(Workspace(tmp_path), params, "tiny")
    assert not (Workspace(tmp_path).raw("tiny") / idx.TEST_LABELS).exists()


@pytest.mark.parametrize("images", ["digits", "fashion"])
def test_embedded_images_have_the_same_layout(tmp_path: Path, images: str) -> None:
    source = {"kind": "embedded", "images": images, "train_size": 30, "test_size": 20, "seed": 1}
    workspace = Workspace(tmp_path)
    fetch.main(workspace, params_with(source), "tiny")
    shapes = [idx.decode(idx.decompress((workspace.raw("tiny") / name).read_bytes())).shape for name in idx.FILE_NAMES]
    assert shapes == [(30, 28, 28), (30,), (20, 28, 28), (20,)]
    first = {path.name: path.read_bytes() for path in workspace.raw("tiny").iterdir()}
    fetch.main(workspace, params_with(source), "tiny")
    assert {path.name: path.read_bytes() for path in workspace.raw("tiny").iterdir()} == first


def test_unknown_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="unknown source 'large'; expected one of: tiny"):
        fetch.main(Workspace(tmp_path), params_with(mirrored(tmp_path)), "large")


def test_misspelt_file_name_in_params_is_named(tmp_path: Path) -> None:
    source = mirrored(tmp_path)
    source["sha256"]["t10k-labels.gz"] = source["sha256"].pop(idx.TEST_LABELS)
    with pytest.raises(PipelineError, match=r"sources.tiny.sha256: expected .*; got .*t10k-labels.gz"):
        fetch.main(Workspace(tmp_path), params_with(source), "tiny")
    assert not Workspace(tmp_path).raw("tiny").exists()
