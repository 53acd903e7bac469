"""Docstrings that several classes or functions share."""

import inspect
import re


def shared_docs(**parts):
    """Make a decorator that puts shared parts into a docstring.

    Parameters
    ----------
    **parts : str
        What replaces the line ``{name}`` of the docstring of a class or function.

    Returns
    -------
    fill : callable
        Returns its argument.
    """

    def fill(documented):
        if documented.__doc__ is None:  # python -OO
            return documented
        doc = inspect.cleandoc(documented.__doc__)
        for name, text in parts.items():
            lines = inspect.cleandoc(text)
            doc = re.sub(rf"(?m)^\{{{name}\}}$", lambda _, lines=lines: lines, doc)
        documented.__doc__ = f"{doc}\n"
        return documented

    return fill
