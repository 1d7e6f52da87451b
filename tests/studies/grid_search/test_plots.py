from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.studies.grid_search import plots


def scores(name: str, grid: Sequence[Sequence[int]], reported: bool = True) -> pd.DataFrame:
    """Accuracies that grow with each configuration; the source's fall."""
    units = ["-".join(map(str, values)) for values in itertools.product(*grid)]
    steps = np.arange(len(units)) / 1000
    return pd.DataFrame(
        {
            "search": name,
            "units": units,
            "mean_accuracy": 0.9 + steps,
            "std_accuracy": 0.002,
            "reported_cv_accuracy": 0.95 - steps if reported else np.nan,
        }
    )


TWO = [[16, 32], [4, 8]]


def panels(figure: Figure) -> list[Axes]:
    """Without the scale of colours."""
    return [axes for axes in figure.axes if axes.get_xlabel()]


def outlined(axes: Axes) -> tuple[float, float]:
    """Column and row of the outlined cell."""
    (box,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return box.get_x() + 0.5, box.get_y() + 0.5


def drawn(figure: Figure) -> pd.DataFrame:
    """What each panel shows: axis, label, x and y of every point."""
    rows = [
        (number, container.get_label(), x, y)
        for number, axes in enumerate(figure.axes)
        for container in axes.containers
        for x, y in zip(container[0].get_xdata(), container[0].get_ydata(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["axes", "label", "x", "y"])


def test_every_configuration_is_a_point_in_the_style_of_its_search() -> None:
    table = pd.concat([scores("first", TWO), scores("second", TWO)])
    figure = plots.reported_against_measured(
        table, correlations={"first": -1.0, "second": None}, correlation=0.123, title="Study"
    )
    points = drawn(figure).query("axes == 0")
    assert list(points["x"]) == pytest.approx(list(table["mean_accuracy"]))
    assert list(points["y"]) == pytest.approx(list(table["reported_cv_accuracy"]))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["first  -1.00", "second  not defined", "equal"]
    assert figure.get_suptitle() == "Study\n8 configurations, Spearman's rank correlation 0.12"
    first, second = (container[0] for container in figure.axes[0].containers)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_both_axes_have_one_scale_and_the_enlarged_part_lies_within_the_whole() -> None:
    table = pd.concat([scores("first", [[1, 2, 3, 4], [1, 2, 3, 4]]), scores("low", [[1]]).assign(mean_accuracy=0.2)])
    whole, enlarged = plots.reported_against_measured(table, correlations={}, correlation=None, title="").axes
    for axes in (whole, enlarged):
        assert axes.get_xlim() == axes.get_ylim()
    assert whole.get_xlim()[0] < 0.2
    assert enlarged.get_xlim()[0] > 0.88
    assert enlarged.get_xlim()[1] < whole.get_xlim()[1]
    (box,) = whole.patches
    assert (box.get_x(), box.get_x() + box.get_width()) == pytest.approx(enlarged.get_xlim())


def test_without_reported_figures_it_says_so_and_shows_what_was_measured() -> None:
    figure = plots.reported_against_measured(
        scores("demo", TWO, reported=False), correlations={}, correlation=None, title="Study"
    )
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Study\nno source reports figures on this data"
    assert list(drawn(figure)["y"]) == pytest.approx([0.9, 0.901, 0.902, 0.903])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16-4", "16-8", "32-4", "32-8"]


def test_49_searches_look_different_and_more_are_still_drawn() -> None:
    table = pd.concat([scores(f"search_{number:02}", [[number + 1]]) for number in range(50)])
    for shown in (table, table.assign(reported_cv_accuracy=np.nan)):
        figure = plots.reported_against_measured(shown, correlations={}, correlation=None, title="")
        markers = [(to_hex(item[0].get_color()), item[0].get_marker()) for item in figure.axes[0].containers]
        assert len(markers) == 50
        assert len(set(markers)) == 49


def test_heat_map_has_first_units_down_and_second_across_and_outlines_the_best() -> None:
    figure = plots.heat_map(scores("grid", TWO), TWO, title="grid")
    measured, reported = panels(figure)
    assert [label.get_text() for label in measured.get_yticklabels()] == ["16", "32"]
    assert [label.get_text() for label in measured.get_xticklabels()] == ["4", "8"]
    assert (measured.get_ylabel(), measured.get_xlabel()) == ("units of layer 1", "units of layer 2")
    assert [text.get_text() for text in measured.texts] == [
        "90.00\n±0.20",
        "90.10\n±0.20",
        "90.20\n±0.20",
        "90.30\n±0.20",
    ]
    assert [text.get_text() for text in reported.texts] == ["95.00", "94.90", "94.80", "94.70"]
    assert outlined(measured) == (1, 1)
    assert outlined(reported) == (0, 0)
    # One scale for both: the lowest error of the source is lower than any measured one.
    assert measured.images[0].get_clim() == reported.images[0].get_clim() == pytest.approx((5.0, 10.0))


def test_heat_map_of_the_measured_alone() -> None:
    (axes,) = panels(plots.heat_map(scores("grid", TWO, reported=False), TWO, title="grid"))
    assert axes.get_title() == "measured ± standard deviation"


@pytest.mark.parametrize(
    ("grid", "shape", "last", "labels"),
    [
        ([[16, 32]], (2, 1), "32", ("layer 1", "layer")),
        ([[16, 32], [4, 8, 9], [1, 2]], (2, 6), "9-2", ("layer 1", "layers 2 and 3")),
        ([[1, 2]] * 5, (4, 8), "2-2-2", ("layers 1 and 2", "layers 3, 4 and 5")),
    ],
)
def test_every_depth_has_a_heat_map_with_all_its_configurations(
    grid: list[list[int]], shape: tuple[int, int], last: str, labels: tuple[str, str]
) -> None:
    table = scores("grid", grid)
    axes = panels(plots.heat_map(table, grid, title="grid"))[0]
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape == shape
    assert shown.ravel() == pytest.approx(100 * (1 - table["mean_accuracy"].to_numpy()))
    ends = axes.get_yticklabels() if len(grid) == 1 else axes.get_xticklabels()
    assert ends[-1].get_text() == last
    assert axes.get_ylabel() == f"units of {labels[0]}"


def test_equal_accuracies_still_have_a_scale() -> None:
    table = scores("grid", TWO, reported=False).assign(mean_accuracy=1.0)
    figure = plots.heat_map(table, TWO, title="grid")
    figure.draw_without_rendering()
    assert panels(figure)[0].texts[0].get_text() == "100.00\n±0.20"
