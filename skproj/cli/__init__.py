"""The command line: ``skproj``, or ``python -m skproj``."""

from skproj.cli._main import main

__all__ = ["main"]
