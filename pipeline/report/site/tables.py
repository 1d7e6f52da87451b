"""Tables of the pages: which columns of a result are shown, under which heading and in which form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.report import words
from pipeline.report.site.files import Site, stated

NUMBERS: Mapping[str, Callable[[Any], str]] = {
    "percent": words.percent,
    "points": words.points,
    "unsigned_points": words.unsigned_points,
    "nats": "{:.4f}".format,
    "change": "{:+.4f}".format,
    "count": "{:,}".format,
    "p": "{:.3g}".format,
}


@dataclass(frozen=True)
class Column:
    """A column of the result, its heading, and its form: one of NUMBERS, `figure` (as text), `name` or `text`."""

    key: str
    heading: str
    form: str = "text"

    @property
    def is_number(self) -> bool:
        return self.form in NUMBERS or self.form == "figure"


@dataclass(frozen=True)
class Table:
    """Rows of a result under some of its columns; the first column names the row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[Any, Any]]
    csv: str | None = None


def cell(site: Site, value: Any, form: str, root: str) -> Markup:
    """A value as the content of a cell; names lead to their pages."""
    if value is None or value != value:
        return Markup(words.NOTHING)
    if form in NUMBERS:
        return Markup.escape(NUMBERS[form](value))
    page = site.page_of(str(value)) if form == "name" else None
    if page:
        return Markup('<a href="{}{}"><code>{}</code></a>').format(root, page, value)
    return Markup.escape(stated(value))


def of_file(site: Site, path: Path, columns: Sequence[Column], caption: str) -> Table | None:
    """A CSV table of the results, with a link to its copy; None where there is none or it has no row."""
    rows = site.rows(path)
    return Table(caption, columns, rows, site.copy(path)) if rows else None


VARIANTS = (
    Column("variant", "variant", "name"),
    Column("study", "study", "name"),
    Column("params", "parameters", "count"),
    Column("epochs", "epochs", "count"),
    Column("val_accuracy", "validation", "percent"),
    Column("test_accuracy", "test", "percent"),
    Column("test_accuracy_low", "from", "percent"),
    Column("test_accuracy_high", "to", "percent"),
    Column("reported_test_accuracy", "reported", "percent"),
    Column("difference", "difference", "points"),
)
EFFECTS = (
    Column("with", "with it", "name"),
    Column("technique", "technique added"),
    Column("accuracy", "test accuracy, points", "figure"),
    Column("accuracy_verdict", "by accuracy"),
    Column("cross_entropy", "test cross-entropy", "figure"),
    Column("cross_entropy_verdict", "by cross-entropy"),
    Column("without", "without", "name"),
    Column("basis", "trained", "figure"),
)
LAYERS = (
    Column("layer", "layer"),
    Column("kind", "kind"),
    Column("output_shape", "output shape"),
    Column("parameters", "parameters", "count"),
)
CLASSES = (
    Column("class", "class"),
    Column("precision", "precision", "percent"),
    Column("recall", "recall", "percent"),
    Column("f1", "F1", "percent"),
    Column("support", "images", "count"),
)
KERNELS = (
    Column("layer", "layer"),
    Column("shape", "shape"),
    Column("num_weights", "weights", "count"),
    Column("mean", "mean", "change"),
    Column("std", "standard deviation", "nats"),
    Column("initial_std", "of the initial weights", "nats"),
    Column("share_near_zero", "near zero", "percent"),
)
GAINS = (
    Column("variant", "variant", "name"),
    Column("kind", "technique"),
    Column("val_accuracy", "validation", "percent"),
    Column("val_cross_entropy", "validation cross-entropy", "nats"),
    Column("test_accuracy", "test", "percent"),
    Column("gain_points", "gain, points", "change"),
    Column("gain_low", "from", "change"),
    Column("gain_high", "to", "change"),
    Column("holm_p_value", "p (Holm)", "p"),
    Column("updates", "updates", "count"),
)
CLOSING = (
    Column("refit", "refit", "name"),
    Column("layers", "layers", "count"),
    Column("technique", "technique"),
    Column("units", "units"),
    Column("test_accuracy", "test", "percent"),
    Column("test_accuracy_low", "from", "percent"),
    Column("test_accuracy_high", "to", "percent"),
    Column("reported_test_accuracy", "reported", "percent"),
    Column("train_error", "train error", "nats"),
    Column("test_error", "test error", "nats"),
    Column("verdict", "verdict"),
    Column("reported_verdict", "the source's verdict"),
)
CONFIGURATIONS = (
    Column("units", "units"),
    Column("mean_accuracy", "mean over the folds", "percent"),
    Column("std_accuracy", "standard deviation, points", "unsigned_points"),
    Column("reported_cv_accuracy", "reported", "percent"),
    Column("difference", "difference, points", "points"),
)
SPLITS = (
    Column("split", "split"),
    Column("num_examples", "examples", "count"),
    Column("sha256", "SHA-256"),
)
WAVES = (
    *(Column(f"true_{name}", f"true {name}", "nats") for name in "abcd"),
    *(Column(f"predicted_{name}", f"predicted {name}", "nats") for name in "abcd"),
    Column("curve_error", "curve error", "nats"),
)
FILES = (
    Column("path", "file"),
    Column("md5", "MD5"),
)
