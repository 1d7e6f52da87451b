"""The evidence that a model version is judged by: its predictions, the champion's, and its behaviour when served.

A promotion is the last look at the test set, after the choice: it reads the stored test predictions, and the test
inputs to see whether the logged model still gives them.
"""

import statistics
import sys
import timeit
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.data import preprocessing
from pipeline.data.examples import read_images, read_rows
from pipeline.io import git, storage
from pipeline.io.paths import Workspace
from pipeline.promotion.checks import Evidence, Outputs, Served
from pipeline.runtime import backend
from pipeline.tracking import loading
from pipeline.tracking.loading import UnusableModelError
from pipeline.tracking.queries import ModelState, TrackedVersion
from pipeline.tracking.records.data import DATASET_SPLITS, SIGNAL_SPLITS

NUM_WARM_UPS = 3
NUM_TIMED = 30
# What makes a model, and the metrics that it was chosen by.
STUDY = ("pipeline", "params.yaml", "params", "dvc.yaml", "dvc.lock", "results")


def gather(workspace: Workspace, params: Params, task: str, state: ModelState, number: int) -> Evidence:
    """All that the checks of a version need. Raises PipelineError when the test data are missing or damaged."""
    if "keras" not in sys.modules:
        # The backend that a logged model takes anyway, but silent, and without a GPU, as the evaluation was.
        backend.configure("tensorflow", threads=params.compute.threads)
    data = params.tasks[task].dataset
    inputs, targets = _examples(workspace, params, data, "test")
    stored: Outputs | str
    served: Served | str
    try:
        with loading.open_version(workspace, state.versions[number]) as model:
            stored = _stored(workspace, params, state.versions[number], model.path, targets)
            outputs = model.predict(inputs)
            seconds = timeit.repeat(lambda: model.predict(inputs[:1]), repeat=NUM_WARM_UPS + NUM_TIMED, number=1)
            milliseconds = 1000 * statistics.median(seconds[NUM_WARM_UPS:])
            served = Served(model.path.stat().st_size, milliseconds, model.signature, outputs)
    except UnusableModelError as error:
        stored = served = str(error)
    champion, champion_outputs = _champion(workspace, params, state, inputs, targets)
    # Of a signal, the extended rows too.
    splits = SIGNAL_SPLITS if data in params.signals else DATASET_SPLITS
    commit, changes = work_tree(workspace.root)
    return Evidence(
        targets=targets,
        champion=champion,
        champion_outputs=champion_outputs,
        must_compare=state.champion is not None,
        stored=stored,
        served=served,
        expected_signature=loading.expected_signature(params, task),
        version_digests=state.versions[number].digests,
        present_digests={split: preprocessing.digest(*_examples(workspace, params, data, split)) for split in splits},
        commit=commit,
        changes=changes,
    )


def _champion(
    workspace: Workspace, params: Params, state: ModelState, inputs: NDArray[Any], targets: NDArray[Any]
) -> tuple[str, Outputs | None]:
    """The champion in words, and what it predicts: as stored, or anew if its variant was trained again since."""
    if state.champion is None:
        return "there is no champion", None
    name, version = f"version {state.champion}", state.versions[state.champion]
    try:
        with loading.open_version(workspace, version) as model:
            stored = _stored(workspace, params, version, model.path, targets)
            return name, model.predict(inputs) if isinstance(stored, str) else stored
    except UnusableModelError as error:
        return f"{name} cannot be compared with: {error}", None


def _stored(
    workspace: Workspace, params: Params, version: TrackedVersion, model: Path, targets: NDArray[Any]
) -> Outputs | str:
    """What the evaluation stored of a version's very model, about the test examples that lie here; or why nothing."""
    scores_path = workspace.evaluation(version.study) / "metrics.json"
    path = workspace.predictions(version.study) / f"{version.variant}.npz"
    if not version.variant or not scores_path.is_file() or not path.is_file():
        return "no stored predictions: not evaluated here"
    evaluated: Mapping[str, Any] = storage.read_json(scores_path).get(version.variant, {})
    if evaluated.get("model_sha256") != storage.sha256(model):
        return "the stored predictions are those of another training"
    is_regressor = version.variant in params.regressors
    names = ("predicted", "targets") if is_regressor else ("probabilities", "labels")
    stored, stored_targets = storage.read_arrays(path, *names)
    if not np.array_equal(stored_targets, targets):
        return "the stored predictions are about other test examples"
    return stored


def work_tree(root: Path) -> tuple[str | None, list[str]]:
    """The commit that the git repository around a folder has checked out, and the paths that differ from it.

    Without a commit the latter is one text: why there is none.
    Of untracked files only those of the study count, and none that git ignores: a user's own may lie anywhere.
    """
    commit = git.commit(root)
    if commit is None:
        return None, [git.refusal(root)]
    status = git.output(root, "status", "--porcelain", "--untracked-files=no")
    untracked = git.output(root, "ls-files", "--others", "--exclude-standard", "--", *STUDY)
    if status is None or untracked is None:
        return commit, ["git status fails"]
    return commit, [*(line[3:] for line in status.splitlines()), *untracked.splitlines()]


def _examples(workspace: Workspace, params: Params, data: str, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    path = workspace.prepared(data, split)
    if data in params.signals:
        examples = read_rows(path, params.signals[data])
    else:
        examples = read_images(path, num_classes=len(params.datasets[data].classes))
    return examples.inputs, examples.targets
