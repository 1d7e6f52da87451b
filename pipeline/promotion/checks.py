"""The checks that a model version must pass to become the champion, computed from the evidence about it.

Every check states what was measured and what is required, so that a refusal explains itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.studies import Gate
from pipeline.evaluation import scoring, statistics
from pipeline.studies.waves import metrics
from pipeline.tracking.decisions import Check

# Another backend and other batches sum float32 numbers in another order, which makes 1e-6 or so.
PREDICTION_TOLERANCE = 1e-4
NOT_LOADED = "the model cannot be loaded"
MAX_LISTED = 3

Outputs = NDArray[np.float32]


@dataclass(frozen=True)
class Served:
    """A logged model as MLflow serves it: `milliseconds` is the median time of one prediction.

    `outputs` (n, num_outputs) are its predictions of the test inputs.
    """

    num_bytes: int
    milliseconds: float
    signature: str
    outputs: Outputs


@dataclass(frozen=True)
class WorkTree:
    """The commit that is checked out, None outside a git repository, and what differs from it."""

    commit: str | None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that is known of a version when it is judged.

    - `targets`: the true labels (n,), or parameters (n, num_outputs), of the test set.
    - `champion_outputs` (n, num_outputs): what the champion predicts of it; None if there is nothing to compare with.
      `champion` names it, or says why it cannot be compared with; `must_compare` tells whether that is a failure.
    - `stored`: what the evaluation stored of this very model (n, num_outputs), or why there is nothing.
    - `served`: the model as it is served, or why it cannot be loaded.
    - `version_digests` and `present_digests`, by split: of the data that the version was made from, and of those here.
    """

    targets: NDArray[Any]
    champion: str
    champion_outputs: Outputs | None
    must_compare: bool
    stored: Outputs | str
    served: Served | str
    expected_signature: str
    version_digests: Mapping[str, str]
    present_digests: Mapping[str, str]
    work_tree: WorkTree


def all_checks(gate: Gate, evidence: Evidence, classes: Sequence[str] | None) -> list[Check]:
    """All checks of a classifier with these classes, of a regressor where they are None.

    Thresholds that the gate leaves out are not checked.
    """
    if isinstance(evidence.served, str):
        on_test_set: Iterable[Check] = [Check("figures", False, evidence.served, "predictions of the test set")]
    else:
        # The stored ones are those that the metrics are computed from.
        outputs = evidence.served.outputs if isinstance(evidence.stored, str) else evidence.stored
        if classes is None:
            on_test_set = _regressor_checks(gate, evidence, outputs)
        else:
            on_test_set = _classifier_checks(gate, evidence, outputs, classes)
    return [
        *on_test_set,
        *_served_checks(gate, evidence),
        reloaded(evidence),
        data_digests(evidence.version_digests, evidence.present_digests),
        clean_commit(evidence.work_tree),
    ]


def _classifier_checks(gate: Gate, evidence: Evidence, outputs: Outputs, classes: Sequence[str]) -> Iterator[Check]:
    labels, champion = evidence.targets, evidence.champion_outputs
    correct = scoring.is_correct(outputs, labels)
    if champion is None:
        yield _without_champion(evidence)
    else:
        yield not_less_accurate(correct, scoring.is_correct(champion, labels), gate.margin, evidence.champion)
    if gate.min_accuracy is not None:
        num_correct = int(np.count_nonzero(correct))
        low, high = statistics.wilson_interval(num_correct, len(correct))
        value = num_correct / len(correct)
        measured = f"{value:.2%} ({100 * low:.2f}–{100 * high:.2f})"
        yield Check("accuracy", value >= gate.min_accuracy, measured, f"at least {gate.min_accuracy:.2%}")
    if gate.min_recall is not None:
        recalls = statistics.per_class(labels, scoring.predicted_classes(outputs), len(classes)).recall
        weakest, num_below = int(recalls.argmin()), int(np.count_nonzero(recalls < gate.min_recall))
        measured = f"lowest {recalls[weakest]:.2%} ({classes[weakest]}), {num_below} of {len(classes)} below"
        yield Check("recall of every class", num_below == 0, measured, f"at least {gate.min_recall:.2%}")
    if gate.max_calibration_error is not None:
        value, most = statistics.calibration(outputs, labels).expected_calibration_error, gate.max_calibration_error
        yield Check("calibration error", value <= most, f"{value:.2%}", f"at most {most:.2%}")


def _regressor_checks(gate: Gate, evidence: Evidence, outputs: Outputs) -> Iterator[Check]:
    targets, champion = evidence.targets, evidence.champion_outputs
    errors = metrics.row_errors(targets, outputs)
    if champion is None:
        yield _without_champion(evidence)
    else:
        yield not_less_exact(errors, metrics.row_errors(targets, champion), gate.margin, evidence.champion)
    if gate.max_mean_absolute_error is not None:
        value, most = float(errors.mean()), gate.max_mean_absolute_error
        low, high = statistics.mean_interval(errors)
        measured = f"{value:.4f} ({low:.4f}–{high:.4f})"
        yield Check("mean absolute error", value <= most, measured, f"at most {most:.4f}")


def _served_checks(gate: Gate, evidence: Evidence) -> Iterator[Check]:
    """The size of the saved model, the median time of a prediction on this machine, and what the model declares."""
    served, expected = evidence.served, evidence.expected_signature
    megabytes, milliseconds = f"at most {gate.max_megabytes:g} MB", f"at most {gate.max_milliseconds:g} ms"
    if isinstance(served, str):
        for name, required in (("size", megabytes), ("latency", milliseconds), ("signature", expected)):
            yield Check(name, False, NOT_LOADED, required)
        return
    size, latency = served.num_bytes / 1e6, served.milliseconds
    yield Check("size", size <= gate.max_megabytes, f"{size:.2f} MB", megabytes)
    yield Check("latency", latency <= gate.max_milliseconds, f"{latency:.1f} ms per prediction", milliseconds)
    yield Check("signature", served.signature == expected, served.signature, expected)


def _without_champion(evidence: Evidence) -> Check:
    return Check("not worse than the champion", not evidence.must_compare, evidence.champion, "the paired comparison")


def not_less_accurate(
    correct: NDArray[np.bool_], champion_correct: NDArray[np.bool_], margin: float, champion: str
) -> Check:
    """Whether even the lower end of Tango's interval of the paired difference stays within the margin."""
    pairs = statistics.discordance(correct, champion_correct)
    low, high = statistics.tango_interval(pairs)
    return Check(
        "not worse than the champion",
        low >= -margin,
        f"{100 * pairs.difference:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f}) against {champion}, "
        f"p = {statistics.mcnemar_p_value(pairs):.2g}",
        f"{-100 * margin:+.2f} at the lower end",
    )


def not_less_exact(
    errors: NDArray[np.float64], champion_errors: NDArray[np.float64], margin: float, champion: str
) -> Check:
    """Whether even the upper end of the paired bootstrap interval of the difference of errors is within the margin."""
    differences = errors - champion_errors
    low, high = statistics.mean_interval(differences)
    return Check(
        "not worse than the champion",
        high <= margin,
        f"{differences.mean():+.4f} ({low:+.4f} to {high:+.4f}) mean absolute error against {champion}",
        f"{margin:+.4f} at the upper end",
    )


def reloaded(evidence: Evidence) -> Check:
    """Whether the logged model predicts what the evaluation stored."""
    name, required = "reloaded model", f"as stored, to {PREDICTION_TOLERANCE:g}"
    stored, served = evidence.stored, evidence.served
    if isinstance(served, str):
        return Check(name, False, served, required)
    if isinstance(stored, str):
        return Check(name, False, stored, required)
    outputs = served.outputs
    if stored.shape != outputs.shape:
        return Check(name, False, f"{outputs.shape} values, against {stored.shape} stored", required)
    largest = float(np.abs(stored.astype(np.float64) - outputs).max())
    # NaN is no agreement: it compares as false.
    return Check(
        name, largest <= PREDICTION_TOLERANCE, f"{len(stored):,} predictions, at most {largest:.1g} apart", required
    )


def data_digests(of_version: Mapping[str, str], present: Mapping[str, str]) -> Check:
    """Whether the data here are those that the version was trained and evaluated on."""
    different = [
        f"{split} {digest[:8]} here, {of_version.get(split, 'unknown')[:8]} of the version"
        for split, digest in present.items()
        if of_version.get(split) != digest
    ]
    here = [f"{split} {digest[:8]}" for split, digest in present.items()]
    shown = ", ".join(different or here) or "no data here"
    return Check("data digests", bool(here) and not different, shown, "those of the version")


def clean_commit(tree: WorkTree) -> Check:
    """Whether what is here is what a commit says."""
    if tree.commit is None:
        measured = "no commit: not in a git repository"
    elif tree.changes:
        listed, num_more = ", ".join(tree.changes[:MAX_LISTED]), len(tree.changes) - MAX_LISTED
        measured = f"{tree.commit[:8]}, but uncommitted: {listed}{f' and {num_more} more' if num_more > 0 else ''}"
    else:
        measured = f"{tree.commit[:8]}, clean"
    return Check("git commit", tree.commit is not None and not tree.changes, measured, "a commit without changes")
