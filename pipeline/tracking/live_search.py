"""The live run of a search: a run below it appears as each configuration is done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mlflow.entities import Metric, Param

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import live, runs
from pipeline.tracking.records import searches


@dataclass(frozen=True)
class DoneConfiguration:
    """A configuration that is done: its units as text, its metrics, how long its fits took, and when they ended.

    `number` says how many configurations of the search were done then, this one included.
    """

    units: str
    seconds: float
    metrics: Mapping[str, float]
    number: int
    moment: int


class SearchRun(live.LiveRun[DoneConfiguration]):
    """The run of a search, and one below it per configuration that was done meanwhile."""

    def __init__(self, workspace: Workspace, params: Params, name: str, num_done: int) -> None:
        super().__init__(workspace, params, name)
        self._num_done = num_done

    def create(self) -> str:
        """Create the run with the search's parameters, and tell how many configurations were done before."""
        search = self.params.searches[self.name]
        run_id = self.create_in(
            search.dataset,
            search.study,
            searches.search_run_name(self.name),
            searches.search_tags(self.params, self.name),
            searches.search_params(self.params, self.name),
        )
        self._log_num_done(run_id, {self._num_done: runs.now()})
        return run_id

    def log_configuration(self, units: str, seconds: float, metrics: Mapping[str, float] | None = None) -> None:
        """Tell that a configuration is done, how long its fits took, and its metrics."""
        self._num_done += 1
        self.add(DoneConfiguration(units, seconds, dict(metrics or {}), self._num_done, runs.now()))

    def log_rows(self, rows: list[DoneConfiguration]) -> None:
        """Make the runs of configurations, and tell how many are done."""
        for row in rows:
            self._log_child(row)
        self._log_num_done(self.run_id, {row.number: row.moment for row in rows})

    def _log_num_done(self, run_id: str, moments: Mapping[int, int]) -> None:
        points = [Metric("configurations_done", float(number), moments[number], step=number) for number in moments]
        runs.log_points(self.store.client, run_id, points)

    def _log_child(self, row: DoneConfiguration) -> None:
        client = self.store.client
        child = client.create_run(
            self.experiment_id,
            start_time=row.moment - int(row.seconds * 1000),
            run_name=row.units,
            tags={
                **runs.origin_tags(self.store),
                **searches.configuration_tags(self.params, self.name, row.units),
                runs.PARENT_RUN: self.run_id,
            },
        ).info.run_id
        self.children[row.units] = child
        metrics = {**row.metrics, "wall_seconds": row.seconds}
        client.log_batch(
            child,
            params=[Param(name, value) for name, value in searches.configuration_params(row.units).items()],
            metrics=[Metric(name, float(value), row.moment, step=0) for name, value in metrics.items()],
        )
        client.set_terminated(child, runs.FINISHED, end_time=row.moment)


def search_run(workspace: Workspace, params: Params, name: str, num_done: int = 0) -> AbstractContextManager[SearchRun]:
    """The live run of a search: `with search_run(...) as run: ... run.log_configuration(units, seconds)`.

    `num_done` configurations were done before, by a search that was interrupted. The stage saves its outputs inside the
    block. If the block ends without an exception, the search's run and one child per configuration are completed from
    them; otherwise the runs end as those of a training do. Errors of MLflow's become one warning on stderr, and the
    search goes on.
    """
    run = SearchRun(workspace, params, name, num_done)
    return live.recorded(run, lambda: [searches.search_record(workspace, params, name)])
