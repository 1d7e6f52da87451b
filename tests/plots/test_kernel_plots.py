from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from pipeline.plots import kernels

RANDOM = np.random.default_rng(0)
KERNELS = {"dense_1": RANDOM.normal(0, 0.05, (20, 10)), "probabilities": RANDOM.uniform(-1, 2, (10, 3))}


def test_a_violin_per_kernel_from_its_smallest_weight_to_its_largest() -> None:
    figure = kernels.violins(KERNELS, {}, title="model")
    assert figure.get_suptitle() == "model"
    assert [axes.get_title() for axes in figure.axes] == ["dense_1\n20 × 10", "probabilities\n10 × 3"]
    for axes, kernel in zip(figure.axes, KERNELS.values(), strict=True):
        (violin,) = [item for item in axes.collections if isinstance(item, FillBetweenPolyCollection)]
        heights = violin.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((kernel.min(), kernel.max()))
    assert figure.axes[0].get_ylabel() == "weight"
    assert figure.legends == []


def test_the_spread_at_the_start_is_drawn_where_it_is_known() -> None:
    figure = kernels.violins(KERNELS, {"probabilities": 0.4}, title="model")
    first, last = ([line for line in axes.lines if line.get_label() == kernels.INITIAL] for axes in figure.axes)
    assert first == []
    assert [line.get_ydata()[0] for line in last] == [-0.8, 0.8]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [kernels.INITIAL]


def test_a_kernel_of_equal_weights_does_not_break_the_picture() -> None:
    figure = kernels.violins({"dead": np.zeros((4, 2))}, {"dead": 0.5}, title="model")
    figure.draw_without_rendering()
    assert len(figure.axes) == 1


def test_many_kernels_go_on_in_a_second_row() -> None:
    figure = kernels.violins({f"dense_{number}": KERNELS["dense_1"] for number in range(5)}, {}, title="model")
    figure.draw_without_rendering()
    assert [axes.get_title().split("\n")[0] for axes in figure.axes if axes.axison] == [f"dense_{i}" for i in range(5)]
    assert len(figure.axes) == 2 * kernels.NUM_COLUMNS
