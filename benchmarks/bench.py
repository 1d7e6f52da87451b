"""What all sections share: the plan, the parameters, and measuring by turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from benchmarks import report, torch_way, training
from benchmarks.plans import Plan
from benchmarks.report import Comparison
from benchmarks.workers import ROOT, measure
from pipeline.config.models import CnnVariant, MlpVariant, Search
from pipeline.config.params import Params
from pipeline.io import storage
from pipeline.io.paths import Workspace

# The answers of measurements by way.
Found = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Bench:
    """A plan, and what it is measured with."""

    plan: Plan
    params: Params

    @property
    def workspace(self) -> Workspace:
        return Workspace(ROOT)

    @property
    def threads(self) -> int:
        return self.params.compute.threads

    @property
    def common(self) -> dict[str, int]:
        """What every training is told."""
        return {"threads": self.threads, "seed": self.params.compute.seed}

    @cached_property
    def ways(self) -> tuple[str, ...]:
        return ("plain", "engine", *(["torch"] if torch_way.is_installed() else []))

    @cached_property
    def rate(self) -> float:
        """Operations per second in large matrix products, by the better of two libraries."""
        rates = measure("floor.rate", threads=self.threads)
        return max(rates["numpy"], rates["jax"])

    def dataset(self, name: str) -> str | None:
        """The dataset to load; none where images are drawn."""
        return None if self.plan.is_drawn else name

    def training(
        self,
        variant: MlpVariant | CnnVariant,
        *,
        epochs: int,
        num_train: int | None,
        num_validation: int | None,
    ) -> dict[str, Any]:
        """The arguments of a job that trains a variant for so many epochs on the first images, all without a number."""
        # Without what only a sweep knows.
        fields = set(training.class_of(variant.family).model_fields)
        return {
            "variant": variant.model_copy(update={"epochs": epochs}).model_dump(mode="json", include=fields),
            "dataset": self.dataset(variant.dataset),
            "num_train": num_train,
            "num_validation": num_validation,
            **self.common,
        }

    def cross_validation(self, search: Search, units: Sequence[int], *, epochs: int) -> dict[str, Any]:
        """The arguments of a job that cross-validates a configuration for so many epochs."""
        return {
            "spec": search.model_copy(update={"epochs": epochs}).model_dump(mode="json"),
            "units": units,
            "dataset": self.dataset(search.dataset),
            "num_train": self.plan.num_grid_images,
            **self.common,
        }

    def num_images(self, dataset: str) -> tuple[int, int]:
        """How many prepared images of a dataset there are, for training and for validation."""
        counts = storage.read_json(self.workspace.dataset_results(dataset) / "statistics.json")["num_examples"]
        return counts["train"], counts["validation"]

    def in_turn(self, job: str, *, rounds: int | None = None, **arguments: Any) -> Found:
        """The answers of a job by way, each of which has its turn in every round."""
        found: Found = {way: [] for way in self.ways}
        for _ in range(min(rounds or self.plan.rounds, self.plan.rounds)):
            for way, answers in found.items():
                answers.append(measure(job, way=way, **arguments))
        return found

    def say(self, text: str) -> None:
        """Tell who waits what came out."""
        Console(stderr=True).print(text, markup=False)

    def say_row(self, row: Comparison) -> Comparison:
        """Tell who waits about a comparison, and hand it on."""
        parts = ", ".join(f"{report.NAMES[way]} {report.spread(seconds)} s" for way, seconds in row.seconds.items())
        self.say(f"{row.name}: {parts}; plain / engine {row.ratio:.2f}")
        return row


def accuracies(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[float]]:
    """The accuracies of answers by way."""
    return {way: [answer["accuracy"] for answer in answers] for way, answers in found.items()}
