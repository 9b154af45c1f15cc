"""One file of HTML that needs nothing but itself: words, tables and figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.figure import Figure

HERE = Path(__file__).parent


def page(template: Path, **values: Any) -> str:
    """The page that a template makes, which extends page.html here.

    Raises:
        jinja2.UndefinedError: The template asks for what is not among the values.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template.name).render(values)


def svg(figure: Figure, name: str) -> str:
    """The figure as an element of a page. The same figure gives the same text.

    Args:
        figure: To be drawn.
        name: Of what it belongs to; the names inside the text are made of it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
