"""Versions of the libraries, and properties of the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from skproj._version import __version__

LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "pandas",
    "pyarrow",
    "anndata",
    "matplotlib",
    "rich",
    "skops",
)


def show_versions():
    """Print the versions of skproj and of its libraries, and what the machine offers.

    Put it into a report of a bug. ``skproj info`` prints the same.

    Examples
    --------
    >>> import skproj
    >>> skproj.show_versions()
    skproj...
    """
    print_table({**versions(), **machine()})


def print_table(lines):
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {value}")


def versions():
    """Return the version of each library, without importing it."""
    lines = {"skproj": __version__, "Python": platform.python_version()}
    for library in LIBRARIES:
        try:
            lines[library] = version(library)
        except PackageNotFoundError:
            lines[library] = "not installed"
    return lines


def machine():
    """Return the properties of the machine that matter to the kernels."""
    import numpy as np

    from skproj._kernels._groups import level
    from skproj._kernels._openmp import openmp_enabled, openmp_max_threads

    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "processor features": " ".join(found) or "none beyond the baseline",
        "instructions of the kernels": level(),
        "OpenMP threads": openmp_max_threads() if openmp_enabled() else "not built in",
    }
