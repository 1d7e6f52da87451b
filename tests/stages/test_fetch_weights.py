from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import fetch_weights
from tests import params_files

CONTENT = b"weights, as far as the stage can tell"
FILE = "imagenet/base.weights.h5"


def content_with(weights: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"sources": {}, "datasets": {}, "studies": {}, "tasks": {}, "variants": {}}
    return {"compute": {"seed": 0, "threads": 1}, **empty, "weights": {"base": weights}}


def published_weights(content: bytes, name: str = FILE) -> dict[str, Any]:
    file = {"url": name, "sha256": hashlib.sha256(content).hexdigest()}
    return {"kind": "published", "architecture": "mobilenet_v2", "mirrored": file, "published": []}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mirror" / "imagenet").mkdir(parents=True)
    monkeypatch.setenv("DATASET_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def run_stage(workspace: Workspace, weights: dict[str, Any]) -> tuple[bytes, str]:
    """Run the stage in a process of its own: the weights, and what it said."""
    params_files.write(workspace.root, content_with(weights))
    script = Path(__file__).with_name("stage_trial.py")
    finished = subprocess.run(
        [sys.executable, script, "fetch_weights:base"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    content = workspace.weights("base").read_bytes()
    assert json.loads(finished.stdout) == [{"weights/base.weights.h5": hashlib.sha256(content).hexdigest()}]
    return content, finished.stderr


def layer_names() -> list[str]:
    """The layers of the network that have weights, from the input on."""
    parts = ("expand", "expand_BN", "depthwise", "depthwise_BN", "project", "project_BN")
    first = [f"expanded_conv_{part}" for part in parts[2:]]
    blocks = [f"block_{number}_{part}" for number in range(1, 17) for part in parts]
    return ["Conv1", "bn_Conv1", *first, *blocks, "Conv_1", "Conv_1_bn"]


def as_keras_2(source: Path, destination: Path) -> None:
    """The weights of a file of Keras 3, layer by layer with the order in attributes, as Keras 2 saved them."""
    with h5py.File(source) as old, h5py.File(destination, "w") as new:
        groups = {group["vars"].attrs["name"]: group["vars"] for group in old["layers"].values()}
        new.attrs["layer_names"] = [name.encode() for name in layer_names()]
        for name in layer_names():
            weights = [f"{name}/{number}:0" for number in range(len(groups[name]))]
            group = new.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for number, weight in enumerate(weights):
                group[weight] = groups[name][str(number)][()]


def test_the_mirrors_file_is_placed_as_it_is(tmp_path: Path, mirror: Path) -> None:
    (mirror / FILE).write_bytes(CONTENT)
    workspace = Workspace(tmp_path)
    fetch_weights.main(workspace, Params.model_validate(content_with(published_weights(CONTENT))), "base")
    assert workspace.weights("base").read_bytes() == CONTENT
    assert list(workspace.weights("base").parent.iterdir()) == [workspace.weights("base")]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file in this folder"), (CONTENT[:-1], "expected content with SHA-256")]
)
def test_without_the_weights_nothing_is_written_and_the_way_out_is_told(
    tmp_path: Path, mirror: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (mirror / FILE).write_bytes(content)
    params = Params.model_validate(content_with(published_weights(CONTENT)))
    with pytest.raises(PipelineError) as caught:
        fetch_weights.main(Workspace(tmp_path), params, "base")
    first, second, advice = str(caught.value).splitlines()
    assert first == "base.weights.h5: none of 1 sources serves it."
    assert second.startswith(f"  {mirror}/imagenet: {reason}")
    assert f"DATASET_MIRROR (it is '{mirror}' now) to a folder" in advice
    assert f"holds {FILE}." in advice
    assert not Workspace(tmp_path).weights("base").parent.exists()


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="unknown weights 'top'; expected one of: base"):
        fetch_weights.main(Workspace(tmp_path), Params.model_validate(content_with(published_weights(b""))), "top")


@pytest.mark.slow
def test_random_weights_and_those_of_keras_2_are_saved_alike(tmp_path: Path, mirror: Path) -> None:
    """In two processes: equal weights become equal bytes, whatever form they came in."""
    drawn, said = run_stage(
        Workspace(tmp_path / "drawn"), {"kind": "random", "architecture": "mobilenet_v2", "seed": 1}
    )
    assert said == ""
    as_keras_2(Workspace(tmp_path / "drawn").weights("base"), mirror / "imagenet" / "base.h5")
    content = (mirror / "imagenet" / "base.h5").read_bytes()
    converted, said = run_stage(Workspace(tmp_path / "converted"), published_weights(content, "imagenet/base.h5"))
    assert said == ""
    assert converted == drawn != content


def test_the_studys_weights_are_those_of_the_mirror(
    dataset_mirror: Path, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(repository)
    monkeypatch.setenv("DATASET_MIRROR", str(dataset_mirror))
    workspace = Workspace(tmp_path)
    fetch_weights.main(workspace, params, "mobilenet-v2")
    weights = params.weights["mobilenet-v2"]
    assert weights.kind == "published"
    assert storage.sha256(workspace.weights("mobilenet-v2")) == weights.mirrored.sha256
