"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from paddlepress.report import figures, page
from paddlepress.report.data import ReportData
from paddlepress.report.headline import headline
from paddlepress.report.warnings import warnings

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATE = "report.html.j2"


def render(report: ReportData) -> str:
    """Draw a report.

    The page carries its style, its script and its charts, and forbids itself every request and every
    script but its own (a content security policy with the script's digest). Whatever comes from the
    data is escaped.

    Returns:
        A complete HTML document, to be written as UTF-8.
    """
    from markupsafe import Markup

    environment = _environment()
    script = _text(environment, "report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        report=report,
        created=page.when(report.created),
        headline=headline(report),
        warnings=warnings(report),
        columns=page.columns(report),
        primary=figures.label(report.primary),
        primary_in_text=figures.in_text(report.primary),
        rows=page.rows(report),
        plots=[(plot, Markup(plot.wide), Markup(plot.narrow)) for plot in page.plots(report)],
        heat=page.heat(report),
        every_figure=page.every_figure(report),
        not_measured=page.not_measured(report),
        methods=figures.methods(report.primary),
        written=figures.written,
        style=Markup(_text(environment, "report.css")),
        script=Markup(script),
        script_digest=digest,
    )


def _environment() -> Environment:
    """Jinja with escaping on for every template, and an error for a name that is not there."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("paddlepress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(environment: Environment, name: str) -> str:
    """A file beside the template, as it is."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
