"""The room of MLflow: runs, curves, models and registered versions, as a view of what the stages saved.

Publishing is an upsert by content key: whoever calls, and how often, there is one run for equal outputs. MLflow itself
is imported when a function is called, not before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.tracking.settings import find_location, prepare_environment

if TYPE_CHECKING:
    from pipeline.tracking.live import EpochLog
    from pipeline.tracking.synchronize import SyncReport

__all__ = [
    "publish_comparison",
    "publish_evaluation",
    "publish_fetch",
    "publish_prepare",
    "publish_selection",
    "publish_summary",
    "publish_variant",
    "shown_uri",
    "sync",
    "training_run",
]


def publish_fetch(workspace: Workspace, params: Params, dataset: str) -> None:
    """Show the downloaded files of a dataset in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.fetch_record(workspace, params, dataset)])


def publish_prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Show a dataset's statistics and pictures in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.prepare_record(workspace, params, dataset)])


def publish_variant(workspace: Workspace, params: Params, name: str) -> None:
    """Show a trained variant in MLflow, with its test figures if there are any, in each study that lists it.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, records.variant_records(workspace, params, name))


def publish_evaluation(workspace: Workspace, params: Params, study: str) -> None:
    """Show a study's test figures in MLflow: a run of its own, and in the run of every variant that was evaluated.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, records.evaluation_records(workspace, params, study))


def publish_comparison(workspace: Workspace, params: Params, study: str) -> None:
    """Show a study's ranking and overlaid curves in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.comparison_record(workspace, params, study)])


def publish_summary(workspace: Workspace, params: Params) -> None:
    """Show the table of all variants in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.summary_record(workspace, params)])


def publish_selection(workspace: Workspace, params: Params, task: str) -> None:
    """Register the selected variant's model as `challenger`, and as `champion` if the task has no version yet.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish

    publish.publish_selection(workspace, params, task)


def training_run(workspace: Workspace, params: Params, name: str) -> AbstractContextManager[EpochLog]:
    """The live run of a variant in training: `with training_run(...) as run: ... run.log_epoch(epoch, values)`.

    The stage saves its outputs inside the block. Left well, the run is completed from them, or dropped if MLflow has
    a finished run with the same outputs; left by an exception it ends FAILED, by SystemExit or KeyboardInterrupt
    KILLED. MLflow's troubles become one warning on stderr, and training goes on.
    """
    prepare_environment()
    from pipeline.tracking import live

    return live.training_run(workspace, params, name)


def shown_uri(workspace: Workspace) -> str:
    """Where the runs of a workspace are recorded, fit to be printed: without a password."""
    return find_location(workspace).shown


def sync(workspace: Workspace, params: Params) -> SyncReport:
    """Bring MLflow to the state of the workspace's outputs, and change nothing that is right.

    Raises PipelineError when MLflow cannot be reached or does not answer as it should.
    """
    prepare_environment()
    from pipeline.tracking import synchronize

    return synchronize.synchronize(workspace, params)
