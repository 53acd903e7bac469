"""Docstrings that several classes share."""

import inspect


def shared_docs(**parts):
    """Make a class decorator that puts shared parts into the docstring.

    Parameters
    ----------
    **parts : str
        What replaces the line ``{name}`` of the docstring.
    """

    def fill(cls):
        doc = inspect.cleandoc(cls.__doc__)
        for name, text in parts.items():
            doc = doc.replace("{" + name + "}", inspect.cleandoc(text))
        cls.__doc__ = f"{doc}\n"
        return cls

    return fill
