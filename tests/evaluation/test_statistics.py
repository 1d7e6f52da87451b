from __future__ import annotations

import math
from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, ttest_rel
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from pipeline.evaluation import statistics
from pipeline.evaluation.statistics import Discordance

Z_95 = 1.959963985
pairs = st.integers(1, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(
        lambda b: st.integers(0, n - b).map(lambda c: Discordance(only_first=b, only_second=c, num_examples=n))
    )
)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("num_correct", "num_examples", "low", "high"),
    [
        # From the formula by hand, z = 1.959964: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
        (0, 10, 0.0, 0.27753279),
        (10, 10, 0.72246721, 1.0),
        (5, 10, 0.23659309, 0.76340691),
        (9762, 10000, 0.97302463, 0.97900965),
    ],
)
def test_wilson_interval_matches_hand_computed_cases(
    num_correct: int, num_examples: int, low: float, high: float
) -> None:
    assert statistics.wilson_interval(num_correct, num_examples) == pytest.approx((low, high), abs=1e-7)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_proportion_and_stays_within_0_and_1(case: tuple[int, int]) -> None:
    low, high = statistics.wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1


def test_wilson_interval_widens_with_confidence() -> None:
    low_95, high_95 = statistics.wilson_interval(90, 100)
    low_99, high_99 = statistics.wilson_interval(90, 100, confidence=0.99)
    assert low_99 < low_95 < high_95 < high_99


@pytest.mark.parametrize(("num_correct", "num_examples"), [(3, 2), (-1, 2), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(num_correct: int, num_examples: int) -> None:
    with pytest.raises(ValueError, match=r"must (not )?be"):
        statistics.wilson_interval(num_correct, num_examples)


def test_confusion_matrix_has_a_row_per_true_class_even_without_examples() -> None:
    matrix = statistics.confusion_matrix(np.array([0, 0, 2]), np.array([0, 2, 2]), num_classes=4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_per_class_figures_match_hand_computed_ones() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    scores = statistics.per_class(labels, predicted, num_classes=3)
    assert scores.precision == pytest.approx([2 / 4, 1 / 2, 0])
    assert scores.recall == pytest.approx([2 / 3, 1 / 2, 0])
    assert scores.f1 == pytest.approx([4 / 7, 1 / 2, 0])
    assert scores.support.tolist() == [3, 2, 1]
    assert scores.macro_f1 == pytest.approx((4 / 7 + 1 / 2) / 3)


def test_most_confidently_wrong_sorts_mistakes_only_and_keeps_the_order_of_equals() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01], [0.8, 0.2], [0.05, 0.95]])
    labels = np.array([1, 0, 0, 1, 0])
    assert statistics.most_confidently_wrong(probabilities, labels, 10).tolist() == [4, 0, 1, 3]
    assert statistics.most_confidently_wrong(probabilities, labels, 2).tolist() == [4, 0]


def test_most_confidently_wrong_of_a_perfect_model_is_empty() -> None:
    assert statistics.most_confidently_wrong(np.eye(3), np.arange(3), 5).tolist() == []


def test_discordance_counts_what_only_one_gets_right() -> None:
    first = np.array([True, True, True, False, False])
    second = np.array([True, False, False, True, False])
    found = statistics.discordance(first, second)
    assert found == Discordance(only_first=2, only_second=1, num_examples=5)
    assert found.difference == pytest.approx(first.mean() - second.mean())


@pytest.mark.parametrize(("first", "second"), [(3, 4), (0, 0)])
def test_discordance_needs_the_same_examples(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="expected the same examples"):
        statistics.discordance(np.ones(first, bool), np.ones(second, bool))


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    [
        # Twice the tail of the binomial distribution of 1/2, by hand.
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (0, 6, 2 / 64),
        (7, 1, 2 * (1 + 8) / 256),
        (3, 3, 1.0),
    ],
)
def test_mcnemar_p_value_matches_hand_computed_cases(only_first: int, only_second: int, expected: float) -> None:
    assert statistics.mcnemar_p_value(Discordance(only_first, only_second, 100)) == pytest.approx(expected)


@given(pairs)
def test_mcnemar_p_value_is_twice_the_smaller_tail(found: Discordance) -> None:
    smaller, total = min(found.only_first, found.only_second), found.only_first + found.only_second
    expected = min(1.0, 2 * float(binom.cdf(smaller, total, 0.5)))
    assert statistics.mcnemar_p_value(found) == pytest.approx(expected, rel=1e-9)


def most_likely_share(found: Discordance, difference: float) -> float:
    """The most likely share that only the second gets right, by search, if the accuracies differ by `difference`."""
    b, c, rest = found.only_first, found.only_second, found.num_examples - found.only_first - found.only_second

    def unlikelihood(share: float) -> float:
        probabilities = (share + difference, share, 1 - 2 * share - difference)
        return -sum(
            count * math.log(max(chance, 1e-300))
            for count, chance in zip((b, c, rest), probabilities, strict=True)
            if count
        )

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    return float(minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)


@pytest.mark.parametrize(
    ("only_first", "only_second", "num_examples", "low", "high"),
    [
        # Fagerland, Lydersen and Laake (2014), doi:10.1002/sim.6148: airway hyper-responsiveness.
        (1, 7, 21, -0.517, -0.026),
        # With nothing discordant the limits are z^2 / (n + z^2), by hand.
        (0, 0, 30, -0.113513, 0.113513),
        # One that is always right against one that never is: the lower limit is Wilson's of all, at twice less one.
        (50, 0, 50, 2 * 50 / (50 + Z_95**2) - 1, 1.0),
    ],
)
def test_tango_interval_matches_known_cases(
    only_first: int, only_second: int, num_examples: int, low: float, high: float
) -> None:
    found = statistics.tango_interval(Discordance(only_first, only_second, num_examples))
    assert found == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("found", [Discordance(40, 20, 1991), Discordance(12, 2, 50), Discordance(3, 9, 30)])
def test_at_tangos_limits_the_score_statistic_is_the_normal_quantile(found: Discordance) -> None:
    """With the share by numeric maximization of the likelihood instead of Tango's formula."""
    for limit, expected in zip(statistics.tango_interval(found), (Z_95, -Z_95), strict=True):
        share = most_likely_share(found, limit)
        variance = (2 * share + limit - limit**2) / found.num_examples
        assert (found.difference - limit) / math.sqrt(variance) == pytest.approx(expected, rel=1e-4)


@given(pairs)
def test_tango_interval_holds_the_difference_and_is_that_of_the_exchanged_pair_mirrored(found: Discordance) -> None:
    low, high = statistics.tango_interval(found)
    assert -1 <= low <= found.difference <= high <= 1
    exchanged = statistics.tango_interval(Discordance(found.only_second, found.only_first, found.num_examples))
    assert exchanged == pytest.approx((-high, -low), abs=1e-9)


@given(pairs)
def test_tango_interval_leaves_out_0_where_mcnemars_statistic_exceeds_its_quantile(found: Discordance) -> None:
    b, c = found.only_first, found.only_second
    statistic = (b - c) / math.sqrt(b + c) if b + c else 0.0
    low, high = statistics.tango_interval(found)
    assert (not low <= 0 <= high) == (abs(statistic) > Z_95)


def test_tango_interval_widens_with_confidence() -> None:
    found = Discordance(12, 2, 50)
    (low_95, high_95), (low_99, high_99) = statistics.tango_interval(found), statistics.tango_interval(found, 0.99)
    assert low_99 < low_95 < high_95 < high_99


@pytest.mark.parametrize(
    ("given_values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5], [0.5]),
        ([0.6, 0.6], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_matches_hand_computed_cases(given_values: list[float], corrected: list[float]) -> None:
    assert statistics.holm(given_values) == pytest.approx(corrected)


@given(p_values)
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferronis(values: Sequence[float]) -> None:
    corrected = statistics.holm(values)
    assert sorted(range(len(values)), key=values.__getitem__) == sorted(
        range(len(values)), key=lambda index: (corrected[index], values[index])
    )
    for value, found in zip(values, corrected, strict=True):
        assert value <= found <= min(1, len(values) * value)


# Against statsmodels, which has its own formulas.


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_is_that_of_statsmodels(case: tuple[int, int]) -> None:
    assert statistics.wilson_interval(*case) == pytest.approx(proportion_confint(*case, method="wilson"), abs=1e-12)


@given(pairs)
def test_mcnemar_p_value_is_that_of_statsmodels(found: Discordance) -> None:
    # Any split of the rest: the exact test looks at the discordant examples alone.
    table = [[found.num_examples, found.only_first], [found.only_second, 0]]
    assert statistics.mcnemar_p_value(found) == pytest.approx(float(mcnemar(table, exact=True).pvalue), rel=1e-9)


@given(p_values)
def test_holm_is_that_of_statsmodels(values: Sequence[float]) -> None:
    # It collects garbage each time, which takes a fifth of a second where Keras and MLflow are loaded.
    with mock.patch("gc.collect"):
        expected = multipletests(values, method="holm")[1]
    assert statistics.holm(values) == pytest.approx(expected, rel=1e-12)


# The paired bootstrap.

NUM_MEAN = 2_000


def errors(*means: float, seed: int = 0, num_examples: int = NUM_MEAN) -> np.ndarray:
    """A row of errors per model, which share what makes an example hard."""
    generator = np.random.default_rng(seed)
    shared = generator.exponential(1.0, num_examples)
    return np.stack([shared + mean + generator.normal(0, 0.3, num_examples) for mean in means])


def test_the_paired_bootstrap_agrees_with_students_t_on_many_examples() -> None:
    values = errors(0.0, 0.05, 0.01)
    for found, (first, second) in zip(
        statistics.paired_bootstrap(values, [(0, 1), (0, 2)]), [(0, 1), (0, 2)], strict=True
    ):
        differences = values[first] - values[second]
        margin = float(student.ppf(0.975, NUM_MEAN - 1)) * differences.std(ddof=1) / math.sqrt(NUM_MEAN)
        assert found.difference == pytest.approx(differences.mean())
        # The limits of 9,999 resamples are random by some hundredths of the margin.
        assert (found.low, found.high) == pytest.approx(
            (differences.mean() - margin, differences.mean() + margin), abs=0.05 * margin
        )
        assert found.p_value == pytest.approx(float(ttest_rel(values[first], values[second]).pvalue), abs=0.02)


def test_pairing_sees_what_two_samples_apart_would_not() -> None:
    """The models differ by 0.05 on each example, whose own errors spread over more than 1."""
    values = errors(0.0, 0.05)
    (found,) = statistics.paired_bootstrap(values, [(0, 1)])
    assert found.p_value == pytest.approx(0.0002)
    shuffled = np.stack([values[0], np.random.default_rng(1).permutation(values[1])])
    (apart,) = statistics.paired_bootstrap(shuffled, [(0, 1)])
    assert apart.p_value > 0.05


def test_a_difference_of_nothing_has_a_p_value_of_1() -> None:
    values = errors(0.0)
    (found,) = statistics.paired_bootstrap(np.concatenate([values, values]), [(0, 1)])
    assert found == statistics.MeanDifference(0.0, 0.0, 0.0, 1.0)


def test_the_paired_bootstrap_is_seeded_and_mirrors_an_exchanged_pair() -> None:
    values = errors(0.0, 0.02, num_examples=300)
    there, back = statistics.paired_bootstrap(values, [(0, 1), (1, 0)])
    assert [there] == statistics.paired_bootstrap(values, [(0, 1)])
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))
    assert back.p_value == there.p_value


def test_the_bootstrap_interval_holds_the_true_difference_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 399)
    held = 0
    for seed in range(200):
        (found,) = statistics.paired_bootstrap(errors(0.0, 0.1, seed=seed, num_examples=60), [(0, 1)])
        held += found.low <= -0.1 <= found.high
    # 95 % of 200 are 190; by chance alone fewer than 178 come up once in 10,000 times.
    assert 178 <= held <= 200


@pytest.mark.parametrize("shape", [(2, 1), (2, 0), (3,)])
def test_the_bootstrap_needs_two_examples(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two examples or more, got shape"):
        statistics.paired_bootstrap(np.zeros(shape), [(0, 1)])


def test_the_interval_of_a_mean_is_that_of_its_difference_from_zero() -> None:
    (values,) = errors(1.0, num_examples=50)
    (found,) = statistics.paired_bootstrap(np.stack([values, np.zeros(50)]), [(0, 1)])
    assert statistics.mean_interval(values) == (found.low, found.high)
    assert found.low < values.mean() < found.high


def test_without_pairs_there_is_nothing_to_resample() -> None:
    assert statistics.paired_bootstrap(np.zeros((1, 5)), []) == []


# Calibration.


def test_calibration_matches_a_hand_computed_case() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7], [0.4, 0.6]])
    labels = np.array([0, 1, 1, 1, 0])
    found = statistics.calibration(probabilities, labels, num_bins=5)
    # Confidences 0.9, 0.8, 0.55, 0.7 and 0.6; 0.8 and 0.6 are upper edges and belong to the bin below.
    assert found.num_examples.tolist() == [0, 0, 2, 2, 1]
    assert found.num_correct.tolist() == [0, 0, 1, 1, 1]
    assert found.confidence_sum == pytest.approx([0, 0, 1.15, 1.5, 0.9])
    # |1.15 - 1| + |1.5 - 1| + |0.9 - 1|, of five examples.
    assert found.expected_calibration_error == pytest.approx(0.75 / 5)
    assert found.overconfidence == pytest.approx((3.55 - 3) / 5)
    assert found.edges == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_certainty_and_total_doubt_have_their_bins() -> None:
    found = statistics.calibration(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 0]))
    assert (found.num_examples[0], found.num_examples[-1], len(found.num_examples)) == (1, 1, 15)


predictions = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
    )
)


@given(predictions, st.integers(1, 20))
def test_the_calibration_error_lies_between_overconfidence_and_the_mean_distance(
    case: tuple[list[list[float]], list[int]], num_bins: int
) -> None:
    """With one bin it is |overconfidence|; finer bins only add to it; with one example each it is the mean distance."""
    probabilities = np.array(case[0]) / np.array(case[0]).sum(axis=1, keepdims=True)
    labels = np.array(case[1])
    found = statistics.calibration(probabilities, labels, num_bins)
    assert found.num_examples.sum() == len(labels)
    error = found.expected_calibration_error
    distances = np.abs(probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels))
    assert abs(found.overconfidence) - 1e-9 <= error <= distances.mean() + 1e-9
    if num_bins == 1:
        assert error == pytest.approx(abs(found.overconfidence))


@given(st.integers(0, 2**32 - 1))
def test_a_model_that_draws_its_labels_from_its_own_probabilities_is_calibrated(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(4), 20_000)
    labels = (generator.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    # Fifteen bins of random distances of some thousandths each.
    assert statistics.calibration(probabilities, labels).expected_calibration_error < 0.025


def test_calibration_needs_examples() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        statistics.calibration(np.zeros((0, 2)), np.zeros(0))
