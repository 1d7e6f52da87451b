"""A workspace with two registered versions, of which the second can be promoted."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from pipeline.config.load import load_params
from pipeline.data import preprocessing
from pipeline.tracking import publish

TASK = "mnist-classifier"
GATE = {
    "margin": 0.5,
    "min_accuracy": 0.0,
    "min_recall": 0.0,
    "max_calibration_error": 0.9,
    "max_megabytes": 10,
    "max_milliseconds": 10000,
}


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def prepare(stages: Any) -> None:
    """Real arrays in place of the fake stages' bytes, and their digests."""
    stages.prepare()
    random = np.random.default_rng(0)
    digests = {}
    for split in ("train", "validation", "test"):
        images, labels = random.integers(0, 256, (10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8) % 3
        np.savez(stages.workspace.prepared("mnist", split), images=images, labels=labels)
        digests[split] = preprocessing.digest(images, labels)
    path = stages.workspace.dataset_results("mnist") / "statistics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": digests}))


def make_ready(stages: Any) -> Any:
    """Version 1 (small) becomes champion, version 2 (large) challenger; all is evaluated and committed."""
    root = stages.workspace.root
    yaml, path = YAML(typ="safe"), root / "params" / "studies.yaml"
    yaml.dump({**yaml.load(path), "gates": {TASK: GATE}}, path)
    ready = replace(stages, params=load_params(root))
    prepare(ready)
    ready.train("small")
    ready.train("large", seed=1.0)
    ready.evaluate()
    for variant in ("small", "large"):
        ready.select(variant)
        publish.publish(ready.workspace, ready.params, "register", TASK)
    (root / ".gitignore").write_text("*\n")
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "All of it")
    return ready
