"""Results of passes in a folder, so that an interrupted fit need not repeat them."""

from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

from skproj.utils._files import new_file


class PassCache:
    """Results of the visitors of some blocks, by the hash of what they depend on.

    Visitors without `inputs` are not kept.
    """

    def __init__(self, folder, blocks):
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"checkpoint must be a folder, got the file {folder}.")
        if not self.folder.parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint: there is no folder {self.folder.parent}."
            )
        self.folder.mkdir(exist_ok=True)
        self._blocks = blocks
        self._data = None

    def load(self, visitor):
        """Give a visitor its result, and return whether there is one."""
        path = self._path(visitor)
        if path is None or not path.exists():
            return False
        with np.load(path, allow_pickle=False) as arrays:
            visitor.set_result(dict(arrays))
        return True

    def store(self, visitor):
        """Keep the result of a visitor."""
        path = self._path(visitor)
        if path is not None:
            with new_file(path) as temporary:
                np.savez(temporary, **visitor.get_result())

    def _path(self, visitor):
        if not hasattr(visitor, "inputs"):
            return None
        if self._data is None:
            self._data = _fingerprint(self._blocks)
        inputs = type(visitor).__name__, visitor.inputs()
        return self.folder / f"{joblib.hash((self._data, inputs))}.npz"


def _fingerprint(blocks):
    """Return a hash of the shape, the names and the first block."""
    first = next(iter(blocks), None)
    if first is not None:
        _, first = first
        if sparse.issparse(first):
            first = first.data, first.indices, first.indptr
    return joblib.hash((blocks.shape, blocks.dtype.str, blocks.feature_names, first))
