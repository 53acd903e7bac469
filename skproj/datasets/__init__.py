"""Data sets with a known answer."""

from skproj.datasets._omics import make_omics
from skproj.datasets._probes import add_probes
from skproj.datasets._survival import make_survival

__all__ = ["add_probes", "make_omics", "make_survival"]
