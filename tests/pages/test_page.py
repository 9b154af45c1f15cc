from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
from matplotlib.figure import Figure

from pages.page import page, svg


def test_a_template_fills_the_page_and_what_it_is_given_is_text(tmp_path: Path) -> None:
    template = tmp_path / "own.html"
    template.write_text('{% extends "page.html" %}{% block content %}<p>{{ words }}</p>{% endblock %}')
    made = page(template, words="<script>")
    assert made.startswith("<!doctype html>")
    assert "<p>&lt;script&gt;</p>" in made
    with pytest.raises(jinja2.UndefinedError):
        page(template)


def test_the_same_figure_is_the_same_text() -> None:
    def drawn(name: str) -> str:
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 5], marker="o")
        return svg(figure, name)

    assert drawn("study").startswith("<svg ")
    assert drawn("study") == drawn("study")
    assert drawn("study") != drawn("monitor")  # or two figures on a page would share their names
