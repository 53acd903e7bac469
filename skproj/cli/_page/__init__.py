"""The report as one HTML page that needs no other file and no network."""

from skproj.cli._page._view import render

__all__ = ["render"]
