"""Plots that compare the variants of a study, and set them beside those of another."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.plots import style
from pipeline.plots.style import percent

# In the enlarged part of the bar chart: accuracies down to this far below the best one, as a fraction.
ENLARGED_SPAN = 0.1
# In points of accuracy; one scale in all studies, logarithmic but for the smallest, tells 0.6 from 47.
DIFFERENCES: dict[str, Any] = {"linthresh": 0.2, "linscale": 0.2, "vmin": -50, "vmax": 50}
# Values are usual up to so many median absolute deviations from their median.
USUAL_DEVIATIONS = 6.0
# Longer trainings have thin, solid lines: their ups and downs are shorter than dashes.
NUM_EPOCHS_THICK = 200
# In inches, from one label to the next below it.
LABEL_HEIGHT = 0.15
# From the end of a line to the left of its label.
LEADER: dict[str, Any] = {"arrowstyle": "-", "lw": 0.8, "alpha": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0}

Curve = Literal["val_accuracy", "val_cross_entropy"]


def validation_curves(
    histories: Mapping[str, pd.DataFrame],
    curve: Curve,
    *,
    own: Sequence[str],
    only: Collection[str] | None = None,
    title: str,
) -> Figure:
    """One line per variant over the epochs, at its end its name and last value.

    `histories` holds a table per variant with the columns `epoch` and `curve`; `only` names those to draw, if not all.
    A variant's colour and line style come from its place in `own`; what is not in it is thin and grey. Where curves
    leave the range that most values are in, they are drawn once more, whole, below.
    """
    is_accuracy = curve == "val_accuracy"
    shown = {name: history for name, history in histories.items() if only is None or name in only}
    values = np.concatenate([history[curve] for history in shown.values()])
    low, high = _usual_range(values)
    has_more = bool(values.min() < low or values.max() > high)
    height = max(3.2, LABEL_HEIGHT * len(shown))
    figure, panels = style.panels(
        height + 1.2 + 1.7 * has_more,
        1 + has_more,
        title=title,
        sharex=True,
        squeeze=False,
        height_ratios=(height, 1.5)[: 1 + has_more],
    )
    for axes in panels.flat:
        for place, (name, history) in enumerate(shown.items()):
            line = style.variant_line(own.index(name) if name in own else place)
            line |= {"lw": 1.6} if name in own else {"color": style.GREY, "lw": 0.8}
            line |= {"ls": "-", "lw": 0.8} if len(history) > NUM_EPOCHS_THICK else {}
            text = percent(history[curve].iloc[-1]) if is_accuracy else f"{history[curve].iloc[-1]:.3f}"
            axes.plot(history["epoch"], history[curve], label=f"{text}  {name}", **line)
        _over_epochs(axes, in_percent=is_accuracy)
    axes.set_xlabel("epoch")
    main = panels[0, 0]
    main.set(ylim=(low, high), ylabel="validation accuracy (%)" if is_accuracy else "validation cross-entropy (nats)")
    _label_ends(main, height)
    if has_more:
        axes.set_title("whole: some curves leave the range above", fontsize=9)
    return figure


def accuracy_overlay(histories: Mapping[str, pd.DataFrame], *, title: str) -> Figure:
    """Training (dashed) and validation accuracy (solid) over the epochs, a colour per variant.

    `histories` holds a table per variant with the columns `epoch`, `accuracy` and `val_accuracy`.
    """
    figure, axes = style.panels(4.4, title=title)
    for place, (name, history) in enumerate(histories.items()):
        for column, kind, line in (("accuracy", "training", "--"), ("val_accuracy", "validation", "-")):
            label = f"{percent(history[column].iloc[-1])}  {name}, {kind}"
            axes.plot(history["epoch"], history[column], color=style.variant_colour(place), ls=line, label=label)
    _over_epochs(axes, in_percent=True)
    axes.set(xlabel="epoch", ylabel="accuracy (%)", ylim=axes.get_ylim())
    _label_ends(axes, 3.2)
    return figure


def accuracy_chart(ranking: pd.DataFrame, *, own: Collection[str], title: str) -> Figure:
    """Horizontal bars of test accuracy, best on top, with 95 % intervals and the accuracies that the source reports.

    What is not in `own` has grey bars. The bars start at 0; beside them the top of the scale is enlarged, where
    intervals can be seen. `ranking` has the columns `variant`, `test_accuracy`, `test_accuracy_low`,
    `test_accuracy_high` and `reported_test_accuracy` (fractions, the last one may be empty).
    """
    table = ranking.sort_values(["test_accuracy", "variant"], ascending=[True, False]).reset_index(drop=True)
    height = 1.6 + 0.28 * len(table)
    figure, (bars, enlarged) = style.panels(height, 1, 2, title=title, sharey=True, width_ratios=(2, 3))

    colours = [style.SKY_BLUE if name in own else "0.82" for name in table["variant"]]
    bars.barh(table["variant"], 100 * table["test_accuracy"], color=colours, height=0.7)
    for row, accuracy in enumerate(table["test_accuracy"]):
        bars.text(50 * accuracy, row, percent(accuracy), ha="center", va="center", fontsize=8)
    bars.set(xlim=(0, 100), xlabel="test accuracy (%)")
    bars.tick_params(axis="y", labelsize=8)

    floor = table["test_accuracy"].max() - ENLARGED_SPAN
    measured_ends = table.loc[table["test_accuracy"] >= floor, ["test_accuracy_low", "test_accuracy_high"]]
    reported = table["reported_test_accuracy"].astype(float)
    ends = np.concatenate([measured_ends.to_numpy(dtype=float).ravel(), reported[reported >= floor]])
    margin = 0.05 * (ends.max() - ends.min())
    low, high = 100 * (ends.min() - margin), 100 * (ends.max() + margin)
    measured = style.draw_accuracies(
        enlarged, table, "test_accuracy", table["variant"], label="measured, with its 95 % interval"
    )
    handles: list[Artist | Container] = [measured]
    enlarged.set(xlim=(low, high), xlabel="test accuracy (%), enlarged")
    if table["reported_test_accuracy"].notna().any():
        handles.append(_draw_reported(bars, table))
        _draw_reported(enlarged, table)
    _note_what_lies_left(enlarged, table, low)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def difference_matrix(differences: pd.DataFrame, names: Sequence[str], *, own: Collection[str], title: str) -> Figure:
    """The accuracy of each row's variant less that of each column's, in points; grey if not significant.

    `differences` has the columns of pipeline.evaluation.pairwise; what it does not compare stays empty. All `names`
    have a numbered row, and those in `own` a column under their number.
    """
    figure, axes = style.panels(1.6 + 0.3 * len(names), title=title)
    # Differences in points, NaN where there are none, and which of them are significant.
    points = np.full((len(names), len(names)), np.nan)
    is_real = np.zeros_like(points, dtype=bool)
    for pair in differences.to_dict("records"):
        first, second = names.index(pair["first"]), names.index(pair["second"])
        points[first, second] = 100 * pair["accuracy_difference"]
        # Not the -0.0 that -points would be where there is no difference.
        points[second, first] = 0 - points[first, second]
        is_real[first, second] = is_real[second, first] = pair["accuracy_verdict"].endswith(" is better")
    places = [place for place, name in enumerate(names) if name in own]
    points, is_real, norm = points[:, places], is_real[:, places], SymLogNorm(**DIFFERENCES)
    axes.imshow(np.where(is_real, points, np.nan), cmap="RdBu", norm=norm, aspect="auto")
    for row, column in zip(*np.nonzero(~np.isnan(points)), strict=True):
        # White on dark colours, grey if not significant.
        is_dark = abs(norm(points[row, column]) - 0.5) > 0.3
        colour = "0.45" if not is_real[row, column] else "white" if is_dark else "black"
        text = f"{points[row, column]:+.1f}" if abs(points[row, column]) >= 10 else f"{points[row, column]:+.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(places)), [f"{place + 1}" for place in places], fontsize=8)
    axes.set_yticks(range(len(names)), [f"{name}  {place}" for place, name in enumerate(names, 1)], fontsize=8)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    figure.supxlabel(
        "row less column; coloured, on a logarithmic scale: significant\n"
        "(exact McNemar test, Holm's correction, 5 %); grey: not",
        fontsize=8,
    )
    return figure


def _usual_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The range of all values but those far from their median, with a margin."""
    deviations = np.abs(values - np.median(values))
    usual = values[deviations <= USUAL_DEVIATIONS * np.median(deviations)]
    margin = 0.04 * float(np.ptp(usual)) or 0.01
    return float(usual.min()) - margin, float(usual.max()) + margin


def _over_epochs(axes: Axes, *, in_percent: bool) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0)
    if in_percent:
        style.in_percent(axes.yaxis)
    axes.grid(alpha=0.3)


def _label_ends(axes: Axes, height: float) -> None:
    """Write each line's label to the right of the axes, joined to the line's end, the highest first.

    Labels stand as high as the line ends, or further apart where they would touch; `height` is that of the axes in
    inches. A triangle says that the end lies outside.
    """
    low, high = axes.get_ylim()
    ends = np.array([np.asarray(line.get_xydata())[-1] for line in axes.get_lines()])
    order = np.argsort(-ends[:, 1], kind="stable")
    steps = LABEL_HEIGHT / height * np.arange(len(ends))
    shares = (ends[order, 1].clip(low, high) - low) / (high - low)
    # Pushed down by those above, but so that those below still have their place.
    places = np.maximum(np.minimum.accumulate(shares + steps) - steps, steps[::-1])
    for index, place in zip(order, places, strict=True):
        line, (epoch, value) = axes.get_lines()[index], ends[index]
        outside = "\N{BLACK DOWN-POINTING SMALL TRIANGLE} " if value < low else "\N{BLACK UP-POINTING SMALL TRIANGLE} "
        is_grey = line.get_color() == style.GREY
        axes.annotate(
            f"{'' if low <= value <= high else outside}{line.get_label()}",
            (epoch, np.clip(value, low, high)),
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color="0.4" if is_grey else "black",
            arrowprops={**LEADER, "color": line.get_color(), "ls": line.get_linestyle()},
        )


def _draw_reported(axes: Axes, table: pd.DataFrame) -> Artist:
    reported = table.dropna(subset=["reported_test_accuracy"])
    accuracy = 100 * reported["reported_test_accuracy"].astype(float)
    label = "reported by the source"
    return axes.plot(accuracy, reported["variant"], "D", mfc="none", mec=style.VERMILION, mew=1.5, label=label)[0]


def _note_what_lies_left(axes: Axes, table: pd.DataFrame, limit: float) -> None:
    for row, accuracies in enumerate(table[["test_accuracy", "reported_test_accuracy"]].to_numpy(dtype=float)):
        named = zip(("measured", "reported"), accuracies, strict=True)
        notes = [f"{name} {percent(accuracy)}" for name, accuracy in named if 100 * accuracy < limit]
        if notes:
            axes.annotate(
                "\N{BLACK LEFT-POINTING SMALL TRIANGLE} " + ", ".join(notes),
                (0.01, row),
                # Clear of the interval, where the row has one.
                xytext=(0, 0 if 100 * accuracies[0] < limit else 7),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=8,
                va="center",
            )
