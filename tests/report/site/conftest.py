"""The report of small results, built once."""

from __future__ import annotations

import pytest

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.report import site
from tests.report.site import small_results


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Params]:
    """The workspace and its parameters; nobody changes it."""
    return small_results.make(tmp_path_factory.mktemp("report") / "a study")


@pytest.fixture(scope="session")
def files(made: tuple[Workspace, Params]) -> dict[str, bytes]:
    """The files of the site by path."""
    return site.build(*made)
