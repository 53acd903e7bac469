"""Data sets with a known answer."""

from skproj.datasets._cells import make_cells
from skproj.datasets._images import make_hyperspectral, make_part_images
from skproj.datasets._mackey_glass import make_mackey_glass
from skproj.datasets._omics import make_omics
from skproj.datasets._probes import add_probes
from skproj.datasets._survival import make_survival

__all__ = [
    "add_probes",
    "make_cells",
    "make_hyperspectral",
    "make_mackey_glass",
    "make_omics",
    "make_part_images",
    "make_survival",
]
