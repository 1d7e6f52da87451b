from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.studies.waves import plots

X = np.linspace(0, 10 * np.pi, 41)


def render(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="png")


def lines_of(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.lines}


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(
    ("wave", "text"),
    [
        ((0.024, 0.533, 0.018, 0.558), "0.024 sin(0.533 x) + 0.018 cos(0.558 x)"),
        ((-1, 1, 0, 2), "−1 sin(1 x) + 0 cos(2 x)"),
        ((1, -0.6107, -1.58, -2), "1 sin(−0.611 x) − 1.58 cos(−2 x)"),
    ],
)
def test_a_formula_has_its_signs_and_three_digits(wave: tuple[float, ...], text: str) -> None:
    assert plots.formula(wave) == text


def test_examples_are_one_below_the_other_each_under_its_formula() -> None:
    curves, parameters = np.random.default_rng(0).random((5, 41)), np.random.default_rng(1).random((5, 4))
    figure = plots.examples(X, curves, parameters)
    render(figure)
    assert len(figure.axes) == 5
    for axes, curve, wave in zip(figure.axes, curves, parameters, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve)
        assert axes.get_title() == plots.formula(wave)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata()[[0, -1]], [0, 10])
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "", "", "x / π"]


@pytest.mark.parametrize(("num_points", "num_marks"), [(40, 40), (1000, 100)])
def test_the_example_shows_points_and_the_formula_over_them(num_points: int, num_marks: int) -> None:
    x, fine_x = np.linspace(0, 10, num_points), np.linspace(0, 10, 333)
    figure = plots.example(x, np.sin(x), fine_x=fine_x, formula_curve=np.sin(fine_x), wave=(1, 1, 0, 0))
    render(figure)
    lines = lines_of(figure.axes[0])
    assert list(lines) == [f"points of the row, {num_marks} of {num_points:,}", "1 sin(1 x) + 0 cos(0 x)"]
    points, curve = lines.values()
    assert (points.get_linestyle(), curve.get_linestyle()) == ("None", "-")
    np.testing.assert_allclose(np.sin(np.pi * points.get_xdata()), points.get_ydata(), atol=1e-12)
    assert (len(points.get_xdata()), len(curve.get_xdata())) == (num_marks, 333)


@pytest.mark.parametrize(("num_rows", "num_columns", "num_places"), [(5, 1, 5), (9, 3, 9), (4, 3, 6), (1, 3, 3)])
def test_true_and_implied_curves_share_a_panel_per_row(num_rows: int, num_columns: int, num_places: int) -> None:
    random = np.random.default_rng(0)
    true, implied = random.random((2, num_rows, 41))
    wave, predicted = random.random((2, num_rows, 4))
    figure = plots.true_and_implied(X, (true, implied), (wave, predicted), title="narrow", num_columns=num_columns)
    render(figure)
    assert figure.get_suptitle() == "narrow"
    assert legend_of(figure) == ["true", "implied by the prediction"]
    assert len(figure.axes) == num_places
    shown, spare = figure.axes[:num_rows], figure.axes[num_rows:]
    for row, axes in enumerate(shown):
        lines = lines_of(axes)
        np.testing.assert_array_equal(lines["true"].get_ydata(), true[row])
        np.testing.assert_array_equal(lines["implied by the prediction"].get_ydata(), implied[row])
        assert axes.get_title() == f"true: {plots.formula(wave[row])}\npredicted: {plots.formula(predicted[row])}"
    assert not any(axes.axison for axes in spare)
    assert sum(axes.get_xlabel() == "x / π" for axes in shown) == min(num_rows, num_columns)


def test_all_panels_have_the_source_s_scale_so_that_a_small_error_looks_small() -> None:
    amplitudes = np.array([[0.001], [2.0], [30.0]])
    curves, wave = amplitudes * np.sin(X), np.zeros((3, 4))
    for figure in (
        plots.examples(X, curves, wave),
        plots.true_and_implied(X, (curves, curves), (wave, wave), title="narrow", num_columns=2),
    ):
        assert {axes.get_ylim() for axes in figure.axes} == {(-2.1, 2.1)}


def test_the_curve_error_is_drawn_against_x_for_each_set_of_rows() -> None:
    random = np.random.default_rng(0)
    errors = {"test": random.random((30, 41)), "extended": 5 * random.random((9, 41))}
    always_mean = {"test": np.full((30, 41), 0.5), "extended": np.full((9, 41), 2.0)}
    figure = plots.curve_error(X, errors, always_mean, title="narrow")
    render(figure)
    assert [axes.get_title() for axes in figure.axes] == ["test (30 rows)", "extended (9 rows)"]
    assert legend_of(figure) == ["mean", "mean, if the mean parameters are always predicted", "8 of 10 rows"]
    for axes, name in zip(figure.axes, errors, strict=True):
        mean, reference = axes.lines
        np.testing.assert_allclose(mean.get_ydata(), errors[name].mean(axis=0))
        np.testing.assert_allclose(reference.get_ydata(), always_mean[name].mean(axis=0))
        assert axes.get_ylim()[0] == 0
