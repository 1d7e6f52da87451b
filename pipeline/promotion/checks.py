"""The checks that a model version must pass to become the champion, computed from the evidence about it.

Every check states what was measured and what is required, so that a refusal explains itself.
"""

from collections.abc import Iterator, Mapping, Sequence
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
MAX_LISTED = 3
NOT_WORSE = "not worse than the champion"

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
class Evidence:
    """All that is known of a version when it is judged.

    - `targets`: the true labels (n,), or parameters (n, num_outputs), of the test set.
    - `champion_outputs` (n, num_outputs): what the champion predicts of it; None if there is nothing to compare with.
      `champion` names it, or says why it cannot be compared with; `must_compare` tells whether that is a failure.
    - `stored`: what the evaluation stored of this very model (n, num_outputs), or why there is nothing.
    - `served`: the model as it is served, or why it cannot be loaded.
    - `version_digests` and `present_digests`, by split: of the data that the version was made from, and of those here.
    - `commit`: the one that is checked out, `changes` are the paths that differ from it. Where there is no commit,
      they are the reason.
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
    commit: str | None
    changes: Sequence[str]


def all_checks(gate: Gate, evidence: Evidence, classes: Sequence[str] | None) -> Iterator[Check]:
    """All checks of a classifier with these classes, of a regressor where they are None.

    Thresholds that the gate leaves out are not checked.
    """
    if isinstance(evidence.served, str):
        yield Check("figures", False, evidence.served, "predictions of the test set")
    else:
        if evidence.champion_outputs is None:
            yield Check(NOT_WORSE, not evidence.must_compare, evidence.champion, "the paired comparison")
        # The stored ones are those that the metrics are computed from.
        outputs = evidence.served.outputs if isinstance(evidence.stored, str) else evidence.stored
        if classes is None:
            yield from _regressor_checks(gate, evidence, outputs)
        else:
            yield from _classifier_checks(gate, evidence, outputs, classes)
    yield from _served_checks(gate, evidence)
    yield reloaded(evidence)
    yield data_digests(evidence.version_digests, evidence.present_digests)
    yield clean_commit(evidence.commit, evidence.changes)


def _classifier_checks(gate: Gate, evidence: Evidence, outputs: Outputs, classes: Sequence[str]) -> Iterator[Check]:
    labels, champion = evidence.targets, evidence.champion_outputs
    correct = scoring.is_correct(outputs, labels)
    if champion is not None:
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
    if champion is not None:
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
            yield Check(name, False, "the model cannot be loaded", required)
        return
    size, latency = served.num_bytes / 1e6, served.milliseconds
    yield Check("size", size <= gate.max_megabytes, f"{size:.2f} MB", megabytes)
    yield Check("latency", latency <= gate.max_milliseconds, f"{latency:.1f} ms per prediction", milliseconds)
    yield Check("signature", served.signature == expected, served.signature, expected)


def not_less_accurate(
    correct: NDArray[np.bool_], champion_correct: NDArray[np.bool_], margin: float, champion: str
) -> Check:
    """Whether even the lower end of Tango's interval of the paired difference stays within the margin."""
    pairs = statistics.discordance(correct, champion_correct)
    low, high = statistics.tango_interval(pairs)
    return Check(
        NOT_WORSE,
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
        NOT_WORSE,
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


def clean_commit(commit: str | None, changes: Sequence[str]) -> Check:
    """Whether what is here is what a commit says."""
    if commit is None:
        measured = f"no commit: {', '.join(changes)}"
    elif changes:
        listed, num_more = ", ".join(changes[:MAX_LISTED]), len(changes) - MAX_LISTED
        measured = f"{commit[:8]}, but uncommitted: {listed}{f' and {num_more} more' if num_more > 0 else ''}"
    else:
        measured = f"{commit[:8]}, clean"
    return Check("git commit", commit is not None and not changes, measured, "a commit without changes")
