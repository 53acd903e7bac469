"""Data in blocks of rows, which need not fit into memory."""

from skproj.blocks._open import open_blocks
from skproj.blocks._row_blocks import RowBlocks

__all__ = ["RowBlocks", "open_blocks"]
