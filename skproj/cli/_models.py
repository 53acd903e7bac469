"""Saved models, and the names of their features."""

import contextlib
import warnings

from skproj.cli._errors import CommandError, check_is_file


def load_model(path):
    from skproj import persistence

    check_is_file(path)
    return persistence.load(path)


def feature_names(model, path):
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise CommandError(
            f"the model in {path} does not know the names of its features: it was not "
            "fitted to a table with column names."
        )
    return [str(name) for name in names]


@contextlib.contextmanager
def without_names():
    """Let models predict from arrays whose columns are in the order of the names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield
