"""A folder with small parameters, and the errors that a change of them brings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import FILE_OF, load_params
from pipeline.errors import PipelineError
from tests import params_files
from tests.config.small_params import Edit, fresh


def position(section: Any, key: str) -> Any:
    return int(key) if isinstance(section, list) else key


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of small valid parameters, which take longer to write than to copy."""
    folder = tmp_path_factory.mktemp("params")
    params_files.write(folder, fresh())
    return folder


@pytest.fixture
def root(tmp_path: Path, written: Path) -> Path:
    """A folder with small valid parameters, with every section and both families."""
    params_files.copy(written, tmp_path)
    return tmp_path


@pytest.fixture
def error_after(root: Path) -> Edit:
    """Set (with ... delete) values at dotted keys, load the files, and return the error without the files' names."""

    def edit(changes: dict[str, Any]) -> str:
        content = fresh()
        for key, value in changes.items():
            *parents, last = key.split(".")
            section: Any = content
            for parent in parents:
                section = section[position(section, parent)]
            if value is ...:
                del section[position(section, last)]
            else:
                section[position(section, last)] = value
        params_files.write(root, content)
        with pytest.raises(PipelineError) as raised:
            load_params(root)
        told = []
        for line in str(raised.value).splitlines():
            path, _, problem = line.partition(": ")
            section = re.split("[.:]", problem)[0]
            assert path == str(root / FILE_OF.get(section, "params.yaml"))
            told.append(problem)
        return "\n".join(told)

    return edit
