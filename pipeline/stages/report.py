"""Put all results together in a static site, whose pages open from the disk."""

import shutil

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report import site

# There is one site: the name is there because every stage takes one.
NAME = "all"


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write the site anew: a page for all studies, and one for each study, variant and search."""
    if name != NAME:
        raise PipelineError(f"report: expected {NAME!r} as name, got {name!r}.")
    files = site.build(workspace, params)
    shutil.rmtree(workspace.site, ignore_errors=True)
    for path, content in files.items():
        storage.write_bytes(workspace.site / path, content)
