"""Download and verify the four raw IDX files of a source, or draw images of its kind without an internet connection."""

import os

from pipeline.config.data import IdxFiles
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data import download, embedded, idx
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace

EMBEDDED_IMAGES = {"digits": embedded.digits, "fashion": embedded.fashion}


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Fetch a source's raw files: training and test images and labels."""
    source = require(params.sources, name, "source")
    if isinstance(source, IdxFiles):
        _check_names(source, f"sources.{name}.sha256")
        download.fetch_files(source, workspace.raw(name), mirror=os.environ.get(download.MIRROR_VARIABLE))
    else:
        arrays = EMBEDDED_IMAGES[source.images](source.train_size, source.test_size, source.seed)
        for file_name, array in zip(idx.FILE_NAMES, arrays, strict=True):
            idx.write(workspace.raw(name) / file_name, array)


def _check_names(files: IdxFiles, key: str) -> None:
    if files.sha256.keys() != set(idx.FILE_NAMES):
        expected, received = ", ".join(idx.FILE_NAMES), ", ".join(files.sha256) or "(none)"
        raise PipelineError(
            f"params/data.yaml: {key}: expected the files {expected}; got {received}. Correct the names."
        )
