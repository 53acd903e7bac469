"""Directives that generate parts of the pages from the package."""

import inspect
import re
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

from skproj.projection import BALLS


def norm_formula(norm):
    """Return the right-hand side of the formula in the docstring of a norm."""
    block = re.search(r"\.\. math::\n\n(.+?)\n\n", inspect.getdoc(norm), re.DOTALL)
    return block[1].split("=", 1)[1].strip()


class BallsTable(SphinxDirective):
    """The table of balls, from the registry."""

    def run(self):
        rows = [("``projection=``", "At most the radius", "Function", "Nearest point")]
        rows += [
            (
                f'``"{name}"``',
                f":math:`{norm_formula(ball.norm)}`",
                f":func:`~skproj.projection.{ball.projection.__name__}`",
                "yes" if ball.exact else "no",
            )
            for name, ball in BALLS.items()
            if ball.sparsifying
        ]
        text = [".. list-table::", "   :header-rows: 1", ""]
        for row in rows:
            text += [f"   {'*' if i == 0 else ' '} - {x}" for i, x in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(text))


class Changelog(SphinxDirective):
    """A Markdown file of headings, paragraphs and lists, as reStructuredText."""

    required_arguments = 1

    def run(self):
        path = Path(self.env.relfn2path(self.arguments[0])[1])
        self.env.note_dependency(path)
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"\A# .*\n", "", text)  # the page has its own title
        text = re.sub(r"<!--.*?-->\n", "", text)  # where the next version goes
        for level, mark in (("##", "-"), ("###", "~")):
            text = re.sub(
                rf"^{level} (.+)$",
                lambda match, mark=mark: f"{match[1]}\n{mark * len(match[1])}",
                text,
                flags=re.MULTILINE,
            )
        text = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def escape_fitted_names(app, what, name, obj, options, lines):
    """Keep ``(n_features_in_,)`` in the type of a parameter from being a link."""
    for i, line in enumerate(lines):
        if " : " in line:
            lines[i] = re.sub(r"(?<=\w)_(?=[,)])", r"\\_", line)


def setup(app):
    """Register the directives, and the change of docstrings before numpydoc's."""
    app.connect("autodoc-process-docstring", escape_fitted_names, priority=400)
    app.add_directive("balls-table", BallsTable)
    app.add_directive("changelog", Changelog)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
