"""The report: a static site with a page for each study, variant and search, from the outputs of the other stages."""

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.report.site import effects, overview, searches, studies, texts, variants
from pipeline.report.site.files import Site
from pipeline.report.site.tables import cell


def build(workspace: Workspace, params: Params) -> dict[str, bytes]:
    """The files of the site by their paths in it: equal results give equal bytes.

    It says nothing about results that are not there. Raises PipelineError when one is damaged.
    """
    site = Site(workspace, params)
    site.templates.globals.update(cell=lambda value, form, root: cell(site, value, form, root))
    findings, problem = texts.sections_or_problem(workspace, params)
    general = [(item, texts.html(site, item.text, "", level=3)) for item in findings if item.study is None]
    site.has_method = bool(general)
    bought = effects.table(site)
    for study in site.studies:
        studies.add_page(site, study, findings, bought)
    for name in params.all_variants:
        variants.add_page(site, name)
    for name in params.searches:
        searches.add_page(site, name)
    if general:
        site.add_page("method.html", "method.html.jinja", sections=general)
    site.add_page("glossary.html", "glossary.html.jinja")
    overview.add_page(site, bought, problem)
    return dict(sorted(site.files.items()))
