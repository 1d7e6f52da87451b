"""The room of MLflow: runs, curves, models and registered versions, as a view of what the stages saved.

Publishing is an upsert by content key: whoever calls, and how often, there is one run for equal outputs. MLflow itself
is imported when a function is called, not before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.runtime.environment import prepare_environment
from pipeline.tracking.settings import find_location

if TYPE_CHECKING:
    from pipeline.tracking.decisions import Decision
    from pipeline.tracking.lineage import TrackedRun, TrackedVersion
    from pipeline.tracking.live import TrainingRun
    from pipeline.tracking.live_search import SearchRun
    from pipeline.tracking.loading import OpenModel, Predict, RegisteredVersion
    from pipeline.tracking.promotion import Standing
    from pipeline.tracking.synchronize import SyncReport

__all__ = [
    "UnusableModelError",
    "all_runs",
    "all_versions",
    "champion_before",
    "decision",
    "expected_signature",
    "load_model",
    "opened",
    "publish_comparison",
    "publish_conclusions",
    "publish_contrast",
    "publish_evaluation",
    "publish_features",
    "publish_fetch",
    "publish_fetch_weights",
    "publish_generate",
    "publish_kernels",
    "publish_prepare",
    "publish_repeat",
    "publish_repeats_evaluation",
    "publish_selection",
    "publish_signal_evaluation",
    "publish_summary",
    "publish_sweep",
    "publish_tabulate",
    "publish_variant",
    "registered_version",
    "search_run",
    "settle",
    "shown_uri",
    "standing",
    "sync",
    "training_run",
    "version_at",
]


class UnusableModelError(Exception):
    """A logged model that cannot be fetched or loaded, or that fails on good input."""


def publish_fetch(workspace: Workspace, params: Params, source: str) -> None:
    """Show the raw files of a source in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.fetch_record(workspace, params, source)])


def publish_prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Show a dataset's statistics and pictures in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.prepare_record(workspace, params, dataset)])


def publish_generate(workspace: Workspace, params: Params, signal: str) -> None:
    """Show a signal's statistics and pictures in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.generate_record(workspace, params, signal)])


def publish_fetch_weights(workspace: Workspace, params: Params, weights: str) -> None:
    """Show the weights of a frozen network in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.fetch_weights_record(workspace, params, weights)])


def publish_features(workspace: Workspace, params: Params, features: str) -> None:
    """Show how large the features of a dataset are in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.features_record(workspace, params, features)])


def publish_variant(workspace: Workspace, params: Params, name: str) -> None:
    """Show a trained variant in MLflow, with its test figures if there are any, in each study that lists it.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, records.variant_records(workspace, params, name))


def publish_sweep(workspace: Workspace, params: Params, sweep: str) -> None:
    """Show which member of a sweep was chosen, in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.sweep_record(workspace, params, sweep)])


def publish_kernels(workspace: Workspace, params: Params, name: str) -> None:
    """Show the weights of a derived variant in its runs in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, records.kernels_records(workspace, params, name))


def publish_evaluation(workspace: Workspace, params: Params, study: str) -> None:
    """Show a study's test figures in MLflow: a run of its own, in the run of every variant that was evaluated,
    and on the cards of the versions that hold one of them.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish_evaluation(workspace, params, records.evaluation_records(workspace, params, study))


def publish_signal_evaluation(workspace: Workspace, params: Params, signal: str) -> None:
    """Show a signal's test figures in MLflow: a run of its own, in the run of every regressor that was
    evaluated, and on the cards of the versions that hold one of them.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish_evaluation(workspace, params, records.signal_evaluation_records(workspace, params, signal))


def publish_comparison(workspace: Workspace, params: Params, study: str) -> None:
    """Show a study's ranking and overlaid curves in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.comparison_record(workspace, params, study)])


def publish_contrast(workspace: Workspace, params: Params, study: str) -> None:
    """Show the variants of a study against its baseline in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.contrast_record(workspace, params, study)])


def publish_conclusions(workspace: Workspace, params: Params, study: str) -> None:
    """Show what a study's searches say about its source's conclusions, in MLflow.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.conclusions_record(workspace, params, study)])


def publish_repeat(workspace: Workspace, params: Params, name: str) -> None:
    """Show the repeats of a variant in MLflow, a run per seed below one. MLflow's troubles become a warning."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.repeat_record(workspace, params, name)])


def publish_repeats_evaluation(workspace: Workspace, params: Params, study: str) -> None:
    """Show what the seeds change in a study, in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.repeats_evaluation_record(workspace, params, study)])


def publish_tabulate(workspace: Workspace, params: Params) -> None:
    """Show the table of all configurations in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.tabulate_record(workspace, params)])


def publish_summary(workspace: Workspace, params: Params) -> None:
    """Show the table of all variants in MLflow. MLflow's troubles become a warning on stderr."""
    prepare_environment()
    from pipeline.tracking import publish, records

    publish.publish(workspace, [records.summary_record(workspace, params)])


def publish_selection(workspace: Workspace, params: Params, task: str) -> None:
    """Register the selected variant's model, as `champion` if the task has none, otherwise as `challenger`.

    MLflow's troubles become a warning on stderr.
    """
    prepare_environment()
    from pipeline.tracking import publish

    publish.publish_selection(workspace, params, task)


def training_run(workspace: Workspace, params: Params, name: str) -> AbstractContextManager[TrainingRun]:
    """The live run of a variant in training: `with training_run(...) as run: ... run.log_epoch(epoch, values)`.

    The stage saves its outputs inside the block. Left well, the run is completed from them, or dropped if MLflow has
    a finished run with the same outputs; left by an exception it ends FAILED, by SystemExit or KeyboardInterrupt
    KILLED. MLflow's troubles become one warning on stderr, and training goes on.
    """
    prepare_environment()
    from pipeline.tracking import live

    return live.training_run(workspace, params, name)


def search_run(
    workspace: Workspace, params: Params, name: str, *, num_done: int = 0
) -> AbstractContextManager[SearchRun]:
    """The live run of a search: `with search_run(...) as run: ... run.log_configuration(units, seconds)`.

    `num_done` configurations were done before, by a search that was interrupted. The stage saves its outputs inside the
    block. Left well, the search's run and one child per configuration are completed from them; left by an exception the
    run ends as that of a training does. MLflow's troubles become one warning on stderr, and the search goes on.
    """
    prepare_environment()
    from pipeline.tracking import live_search

    return live_search.search_run(workspace, params, name, num_done)


def registered_version(workspace: Workspace, params: Params, task: str, number: int | None = None) -> RegisteredVersion:
    """A version of a task's registered model; without a number its champion.

    Raises PipelineError when there is none, no database, or MLflow does not answer as it should.
    """
    prepare_environment()
    from pipeline.tracking import loading

    return loading.registered_version(workspace, params, task, number)


def load_model(workspace: Workspace, version: RegisteredVersion) -> Predict:
    """The function from inputs (n, ...) to outputs (n, num_outputs) of a version, on the backend that Keras runs on.

    Raises PipelineError, as the function does, when the model is damaged or does not fit, or MLflow does not answer.
    """
    prepare_environment()
    from pipeline.tracking import loading

    return loading.load_model(workspace, version)


def standing(workspace: Workspace, params: Params, task: str) -> Standing:
    """Where the registered model of a task stands: its versions, aliases and decisions.

    Raises PipelineError when there is none, or MLflow does not answer.
    """
    prepare_environment()
    from pipeline.tracking import promotion

    return promotion.standing(workspace, params, task)


def expected_signature(params: Params, task: str) -> str:
    """The inputs and outputs that every version of a task's model must declare, as text."""
    prepare_environment()
    from pipeline.tracking import promotion

    return promotion.expected_signature(params, task)


def opened(workspace: Workspace, model: str, number: int) -> AbstractContextManager[OpenModel]:
    """A version as it is served, fetched from MLflow.

    Raises UnusableModelError when it cannot be loaded, PipelineError when MLflow does not answer.
    """
    prepare_environment()
    from pipeline.tracking import loading

    return loading.opened(workspace, model, number)


def settle(workspace: Workspace, standing: Standing, decision: Decision) -> Decision | None:
    """Record a decision that was made on a standing, and move the aliases if it changes the champion.

    None, and nothing is done, if the champion is not the one of the standing any more: another process was faster.
    """
    prepare_environment()
    from pipeline.tracking import promotion

    return promotion.settle(workspace, standing, decision)


def champion_before(standing: Standing) -> int | None:
    """The version that was champion before the present one, by the decisions; None if they tell of none."""
    from pipeline.tracking import decisions

    return None if standing.champion is None else decisions.champion_before(standing.history, standing.champion)


def decision(**fields: Any) -> Decision:
    """A decision that is not recorded yet: see pipeline.tracking.decisions.Decision."""
    from pipeline.tracking import decisions

    return decisions.Decision(**fields)


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


def all_runs(workspace: Workspace) -> list[TrackedRun]:
    """Every finished run of a stage with the outputs it is of, oldest first.

    Raises PipelineError when MLflow cannot be reached.
    """
    prepare_environment()
    from pipeline.tracking import lineage

    return lineage.all_runs(workspace)


def all_versions(workspace: Workspace) -> list[TrackedVersion]:
    """Every version of every registered model. Raises PipelineError when MLflow cannot be reached."""
    prepare_environment()
    from pipeline.tracking import lineage

    return lineage.all_versions(workspace)


def version_at(workspace: Workspace, model: str, version: str) -> tuple[TrackedVersion, TrackedRun]:
    """A version of a registered model by its number or `@alias`, and the run that trained it.

    Raises PipelineError when there is none such, or MLflow cannot be reached.
    """
    prepare_environment()
    from pipeline.tracking import lineage

    return lineage.version_at(workspace, model, version)
