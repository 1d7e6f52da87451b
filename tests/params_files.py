"""params.yaml and the files in params, as tests write them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.config.load import FILE_OF, FILES


def write(root: Path, content: Mapping[Any, Any]) -> None:
    """Write each section into its file below a folder, what is no section into params.yaml, and all files anew."""
    for file in FILES:
        sections = {name: value for name, value in content.items() if FILE_OF.get(name, "params.yaml") == file}
        text = io.StringIO()
        yaml = YAML(typ="safe")
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.dump(sections, text)
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue())


def copy(source: Path, destination: Path) -> None:
    """Copy all the files below one folder to another."""
    for file in FILES:
        (destination / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / file, destination / file)
