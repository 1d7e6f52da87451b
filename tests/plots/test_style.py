from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pipeline.io import storage
from pipeline.plots import style

# Machado, Oliveira and Fernandes (2009): linear RGB as seen by people who lack red or green cones.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def lab(colour: str, sight: str) -> np.ndarray:
    """CIELAB (D65) of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    relative = TO_XYZ @ np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_fourteen_variants_have_colours_that_everybody_can_tell_apart(sight: str) -> None:
    """A difference of 2.3 is just noticeable; the palette of Okabe and Ito alone has 17.9."""
    seen = [lab(style.variant_colour(place), sight) for place in range(14)]
    assert min(np.linalg.norm(first - second) for first, second in itertools.combinations(seen, 2)) > 17
    assert style.variant_colour(14) == style.variant_colour(0)


def test_neighbours_differ_in_colour_and_line_style() -> None:
    for first, second in itertools.pairwise(style.variant_line(place) for place in range(30)):
        assert first["color"] != second["color"]
        assert first["ls"] != second["ls"]


def test_a_matplotlibrc_of_the_users_changes_no_byte(tmp_path: Path) -> None:
    written = []
    settings = {"figure.dpi": 200, "font.family": ["serif"], "axes.grid": True, "savefig.bbox": "tight"}
    for theirs in ({}, settings):
        with matplotlib.rc_context(theirs):
            figure, axes = style.panels(2, title="A title")
            axes.plot([0, 1])
            storage.write_figure(tmp_path / "figure.png", figure)
        written.append((tmp_path / "figure.png").read_bytes())
    assert written[0] == written[1]
