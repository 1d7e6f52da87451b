"""What MLflow shows, in a few words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType


@dataclass(frozen=True)
class View:
    """What MLflow shows of a workspace."""

    client: MlflowClient

    def experiments(self) -> set[str]:
        return {experiment.name for experiment in self.client.search_experiments()} - {"Default"}

    def runs(self, experiment: str, *, deleted: bool = False) -> list[Run]:
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        return list(self.client.search_runs([found.experiment_id], run_view_type=view))

    def run(self, experiment: str, name: str) -> Run:
        """The one run of a name."""
        (run,) = [run for run in self.runs(experiment) if run.info.run_name == name]
        return run

    def curve(self, run: Run, name: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, name)
        return sorted((point.step, point.value) for point in history)

    def files(self, run: Run, folder: str) -> set[str]:
        return {Path(item.path).name for item in self.client.list_artifacts(run.info.run_id, folder)}
