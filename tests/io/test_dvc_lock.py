"""dvc.lock as DVC writes it, and hashes as DVC computes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io import dvc_lock

TEXT = """
schema: '2.0'
stages:
  train@small:
    cmd: exec python -m pipeline.stages train small
    deps:
    - path: data/train.npz
      hash: md5
      md5: aaaa
      size: 3
    params:
      params.yaml:
        variants.small: {rate: 1e-4}
      params/compute.yaml:
        compute: {seed: 7}
    outs:
    - path: models/small.keras
      md5: bbbb
    - path: predictions
      md5: cccc.dir
  summarize:
    cmd: exec python -m pipeline.stages summarize all
"""


def test_a_stage_has_hashes_by_path_and_values_by_file_and_key() -> None:
    stages = dvc_lock.parse(TEXT, "dvc.lock")
    assert list(stages) == ["train@small", "summarize"]
    stage = stages["train@small"]
    assert (stage.address, stage.command) == ("train@small", "exec python -m pipeline.stages train small")
    assert stage.dependencies == {"data/train.npz": "aaaa"}
    assert stage.outputs == {"models/small.keras": "bbbb", "predictions": "cccc.dir"}
    assert stage.parameters == {
        "params.yaml": {"variants.small": {"rate": 0.0001}},
        "params/compute.yaml": {"compute": {"seed": 7}},
    }
    assert stages["summarize"].outputs == stages["summarize"].parameters == {}


def test_before_anything_ran_there_are_no_stages(tmp_path: Path) -> None:
    assert dvc_lock.read(tmp_path) == {}
    (tmp_path / "dvc.lock").write_text("")
    assert dvc_lock.read(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    [
        "stages: [1",
        "stages: 3",
        "- 1",
        "stages: {a: {outs: [{path: b}]}}",
        "stages: {a: 1}",
        "stages: {a: {cmd: b, params: [c]}}",
        "stages: {a: {cmd: b, params: {params.yaml: [c]}}}",
    ],
)
def test_a_damaged_lock_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(PipelineError, match=r"dvc\.lock: expected DVC's lock file, but it is damaged (?s:.*) from Git"):
        dvc_lock.read(tmp_path)


def test_a_folder_has_the_hash_that_dvc_gives_it() -> None:
    # As DVC 3.67 hashed such a folder; the test of verification compares with what DVC makes of one itself.
    files = {
        "a.txt": "0cc175b9c0f1b6a831c399e269772661",
        "a/ä.txt": "92eb5ffee6ae2fec3ad71c777531578f",
        "a-b": "0cc175b9c0f1b6a831c399e269772661",
    }
    assert dvc_lock.folder_hash(files) == "0ce6e2694846a73ced50436ea15d8c40.dir"
    assert dvc_lock.folder_hash(dict(reversed(files.items()))) == dvc_lock.folder_hash(files)


def test_a_folder_is_all_files_below_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    # The well-known MD5 of a letter.
    files = {"a.txt": "0cc175b9c0f1b6a831c399e269772661", "below/b.txt": "92eb5ffee6ae2fec3ad71c777531578f"}
    assert dvc_lock.manifest(tmp_path) == files
    assert dvc_lock.hash_of(tmp_path) == dvc_lock.folder_hash(files)
    assert dvc_lock.hash_of(tmp_path / "a.txt") == files["a.txt"]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("data/raw", "data/raw", True),
        ("data", "data/raw/x", True),
        ("data/raw/x", "data", True),
        ("data/raw", "data/raw2", False),
    ],
)
def test_paths_overlap_where_one_lies_in_the_other(left: str, right: str, *, expected: bool) -> None:
    assert dvc_lock.overlap(left, right) is expected
