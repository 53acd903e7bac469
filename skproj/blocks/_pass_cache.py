"""Results of passes in a folder, so that an interrupted fit need not repeat them."""

from zipfile import BadZipFile

import joblib
import numpy as np

from skproj._version import __version__
from skproj.utils._files import check_checkpoint, new_file


class PassCache:
    """Results of the visitors of some blocks, by the hash of what they depend on.

    That is all entries of the blocks as well: to know them, `needs_pass` before the
    first results are loaded. Visitors without `inputs` are not kept.
    """

    def __init__(self, folder, blocks):
        self.folder = check_checkpoint(folder)
        self.folder.mkdir(exist_ok=True)
        self.is_checked = False  # whether the fit has looked for changes of the blocks
        self._blocks = blocks
        self._data = None

    @property
    def needs_pass(self):
        """Whether there are results, perhaps of other data than the blocks have."""
        is_known = self.is_checked and self._blocks.checksums.is_read.all()
        return not is_known and any(self.folder.glob("*.npz"))

    def load(self, visitor):
        """Give a visitor its result, and return whether there is one."""
        path = self._path(visitor)
        if path is None or not path.exists():
            return False
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                result = dict(arrays)
        except (OSError, ValueError, EOFError, BadZipFile):
            return False  # a damaged file, which is written again
        visitor.set_result(result)
        return True

    def store(self, visitor):
        path = self._path(visitor)
        if path is not None:
            with new_file(path) as temporary:
                np.savez(temporary, **visitor.get_result())

    def _path(self, visitor):
        """Return the file of a result, or None if none can be kept."""
        blocks = self._blocks
        if not (hasattr(visitor, "get_result") and blocks.checksums.is_read.all()):
            return None
        if self._data is None:
            data = blocks.shape, blocks.dtype.str, blocks.feature_names
            sums = blocks.checksums.of_columns
            self._data = joblib.hash((__version__, data, sums))
        inputs = type(visitor).__name__, visitor.inputs()
        return self.folder / f"{joblib.hash((self._data, inputs))}.npz"
