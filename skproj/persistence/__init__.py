"""Fitted estimators as files that are safe to read."""

import importlib

# Resolved on first use: the command line needs the words for gaps without scikit-learn.
_LAZY = {
    "dump": "skproj.persistence._estimators",
    "export_panel": "skproj.persistence._panel._export",
    "load": "skproj.persistence._estimators",
}

__all__ = [*_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'skproj.persistence' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
