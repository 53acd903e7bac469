"""Formulas as MathML, which browsers draw without a script from the network."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Commands that docutils does not support, or interprets differently.
TRANSLATIONS = [
    (re.compile(r"\\[bB]ig(?![A-Za-z])"), ""),  # parentheses grow by themselves
    (re.compile(r"\\dots(?![A-Za-z])"), r"\\ldots"),
    (re.compile(r"\\operatorname\*\{arg(min|max)\}"), r"\\arg\\\1"),
    (re.compile(r"frac(\d)(\d)"), r"frac{\1}{\2}"),
    (re.compile(r"\\hat (\w(?:_\w)?)"), r"\\hat{\1}"),
    (re.compile(r"(\\log|\\operatorname\{\w+\}) (?=[A-Za-z\\])"), r"\1\\, "),
]


def write_formula(writer, node):
    """Write a formula, in the line or as a block, and skip what is inside."""
    formula = node.astext().strip()
    for pattern, replacement in TRANSLATIONS:
        formula = pattern.sub(replacement, formula)
    block = isinstance(node, nodes.math_block)
    try:
        mathml = tex2mathml(formula, as_block=block)
    except MathError as error:
        logger.warning("formula %r: %s", formula, error, location=node)
        mathml = writer.encode(formula)
    writer.body.append(f'<p class="formula">{mathml}</p>' if block else mathml)
    raise nodes.SkipNode


def setup(app):
    """Register the renderer, for ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
