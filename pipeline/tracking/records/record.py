"""A run as MLflow should have it, and how each is made from a stage's outputs: names, tags, keys and times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import dvc_lock
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.outputs import content_key, existing

DEMO_FOLDER = "demo/"
DEMO_MODEL = "demo-"
# The tag by which a run is found from an output in dvc.lock, and the other way round.
OUTPUTS = "dvc_outputs"
# What a stage without items is run on, because every stage takes a name.
NO_ITEM = "all"

# Experiments that are about no study or signal, with their descriptions.
DATA = "data"
SUMMARY = "summary"
SELECTION = "model-selection"
NOTES = {
    DATA: "The datasets: raw files, splits and statistics; the signals; the weights and features of frozen networks.",
    SUMMARY: "Every variant of every study in one table, and every configuration of every search in another.",
    SELECTION: "Which variant becomes a version of a registered model, on validation figures only.",
}


Curves = Sequence[tuple[str, int, float]]


@dataclass(frozen=True)
class Attachment:
    """Files of one artifact folder; `key` changes when their content does."""

    folder: str
    files: tuple[Path, ...]
    key: str


@dataclass(frozen=True)
class Tensor:
    """An array's number type, and its shape after the first dimension, which counts examples."""

    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class DatasetVersion:
    """One split of a dataset as it was used, by the hash of its content."""

    name: str
    digest: str
    num_rows: int
    context: str
    source_kind: str
    source: Mapping[str, str]
    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ModelFile:
    """A trained `.keras` file, what it takes and what it gives."""

    name: str
    path: Path
    kind: Literal["classifier", "regressor"]
    inputs: Tensor
    outputs: Tensor


class RunContent(TypedDict, total=False):
    """What a run shows, beside what it is of: fields of RunRecord."""

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Curves
    attachments: tuple[Attachment, ...]
    datasets: tuple[DatasetVersion, ...]
    model: ModelFile


@dataclass(frozen=True)
class RunRecord:
    """One run as it should be. `time` is in milliseconds since 1970, of when the outputs were written here.

    `curves` have each metric's name, epoch and value. `children` are runs below it, of parameters, metrics and tags.
    """

    experiment: str
    experiment_tags: Mapping[str, str]
    name: str
    key: str
    time: int
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Curves = ()
    attachments: tuple[Attachment, ...] = ()
    datasets: tuple[DatasetVersion, ...] = ()
    model: ModelFile | None = None
    children: tuple[RunRecord, ...] = ()

    def child(
        self, identity: str, name: str, tags: Mapping[str, str], params: Mapping[str, str], values: Any
    ) -> RunRecord:
        """A run below this one, which `identity` distinguishes from the others; `values` hold its metrics by name.

        Its key is of this run's content and that identity: equal metrics below two runs are two runs.
        """
        key = hashlib.sha256(f"{self.key} {identity}".encode()).hexdigest()
        metrics = flatten.numbers(values)
        return RunRecord(self.experiment, self.experiment_tags, name, key, self.time, tags, params, metrics)


@dataclass(frozen=True)
class StageItem:
    """A stage's item, which runs are of: on a dataset or signal, in the experiment of a study, a signal or of NOTES."""

    workspace: Workspace
    params: Params
    stage: str
    item: str
    data: str
    experiment: str

    @property
    def experiment_name(self) -> str:
        """What is for demonstration has experiments of its own."""
        return f"{DEMO_FOLDER}{self.experiment}" if self.params.is_embedded(self.data) else self.experiment

    @property
    def experiment_tags(self) -> dict[str, str]:
        """The tags of the experiment: its description, and whether its data are real or for demonstration."""
        note = self.params.title_of(self.experiment) if self._is_of_study else NOTES[self.experiment]
        return {"mlflow.note.content": note, "data": self._origin}

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run: which it is, its study or signal, and its data unless those are of several."""
        name = stage_name(self.stage, self.item)
        return {
            **({} if self.item == NO_ITEM else {"dataset": self.data}),
            **({"study": self.experiment} if self._is_of_study else {}),
            "stage": self.stage,
            "dvc_stage": name,
            "data": self._origin,
            "mlflow.source.name": f"dvc repro {name}",
            "mlflow.source.type": "LOCAL",
        }

    @property
    def _origin(self) -> str:
        return "embedded" if self.params.is_embedded(self.data) else "real"

    @property
    def _is_of_study(self) -> bool:
        """A signal is its own study."""
        return self.experiment in self.params.studies or self.experiment in self.params.signals

    def record(
        self,
        files: Sequence[Path],
        *,
        outputs: Iterable[Path] | None = None,
        dated: Sequence[Path] | None = None,
        folder: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        **content: Unpack[RunContent],
    ) -> RunRecord:
        """The run of the item; its key is of `files`, and of those `dated`, by default the same, the youngest dates it.

        With a `folder`, the run keeps those files there as artifacts. `outputs` are the files and folders that dvc.yaml
        declares, by default the files; a tag names them by DVC's hashes. `content` are further fields of RunRecord.
        Raises NotMadeYetError when an output is missing.
        """
        shown = files if dated is None else dated
        hashes = {
            path.relative_to(self.workspace.root).as_posix(): dvc_lock.hash_of(existing(path))
            for path in sorted(files if outputs is None else outputs)
            if not path.name.startswith(".")
        }
        if folder is not None:
            content["attachments"] = self.attached(folder, shown)
        return RunRecord(
            experiment=self.experiment_name,
            experiment_tags=self.experiment_tags,
            name=name or stage_name(self.stage, self.item),
            key=content_key(self.workspace.root, files),
            time=int(max(path.stat().st_mtime for path in shown) * 1000),
            tags={**self.tags, OUTPUTS: json.dumps(hashes), **(tags or {})},
            **content,
        )

    def attached(self, folder: str, files: Sequence[Path]) -> tuple[Attachment, ...]:
        """Files as artifacts of a run, in a folder; nothing if there are none."""
        return (Attachment(folder, tuple(files), content_key(self.workspace.root, files)),) if files else ()


def registered_name(params: Params, task: str) -> str:
    """The registered model of a task; demonstration models have names of their own. Raises PipelineError if unknown."""
    return f"{DEMO_MODEL}{task}" if params.is_embedded(require(params.tasks, task, "task").dataset) else task


def stage_name(stage: str, item: str) -> str:
    """A stage's item as DVC names it: STAGE@ITEM, or STAGE alone if it has no items."""
    return stage if item == NO_ITEM else f"{stage}@{item}"


def embedded_first(params: Params, datasets: Iterable[str]) -> str:
    """The dataset that decides about a table of several: one for demonstration makes the whole table such a one."""
    names = list(datasets) or list(params.datasets)
    return next((name for name in names if params.is_embedded(name)), names[0])
