"""A matrix that is read in blocks of rows."""

import numbers
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing

from skproj.blocks._checksums import Checksums, column_checksums
from skproj.blocks._passes import join_rows
from skproj.utils._choices import check_integer
from skproj.utils._docs import shared_docs

# Of features in memory.
COLUMN_BYTES = 100_000_000

NOT_HERE = (
    "X in blocks cannot be used here: read columns that fit into memory with "
    "X.take_columns(columns)."
)

DOCS = {
    "columns": """
    Parameters
    ----------
    columns : array-like of int
        The columns, sorted and without repetition.

    Returns
    -------
    """
}


@shared_docs(**DOCS)
class RowBlocks:
    """A matrix that is read in blocks of rows, again for each pass.

    The selectors with a linear model and the autoencoders take it
    in place of an array. :func:`open_blocks` makes it of files and array-likes; this
    class is for any other source.

    Parameters
    ----------
    make_blocks : callable
        Called without arguments at the beginning of each pass. It returns an iterator
        over the blocks, always the same ones: arrays or sparse matrices of shape
        (n_block_rows, n_features), from the first row to the last.
    shape : tuple of int
        Number of rows and of features.
    dtype : dtype, default=np.float64
        The dtype of the blocks. Others than float32 and float64 become float64.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features.
    read_columns : callable, default=None
        Called with a sorted array of columns, for sources that need not read the
        others. It returns an iterator over the blocks with these columns only. None
        picks them from the whole blocks.
    column_bytes : int, default=None
        Bytes of features that a linear model may have in memory together, 100 MB if
        None. More mean fewer passes, and a longer grid of radii where none is given.

    Attributes
    ----------
    shape : tuple of int
        Number of rows and of features.
    dtype : dtype
        The dtype of the blocks, float32 or float64.
    feature_names : ndarray of shape (n_features,) or None
        Names of the features, of dtype object.
    n_passes : int
        Number of passes that were begun.
    n_bytes_moved : int
        Bytes that were sent to the workers of a cluster, and received from them.

    Raises
    ------
    TypeError
        If `make_blocks` or `read_columns` cannot be called.
    ValueError
        If `shape` is not two numbers, if `feature_names` has another length, or if
        `column_bytes` is no number of bytes. The iterator raises it if the blocks do
        not have the shape, or have changed between passes.

    See Also
    --------
    open_blocks : Blocks of files and array-likes.

    Notes
    -----
    While a block is used, a thread reads the next one: memory holds both of them.
    Blocks of another precision are converted, and sparse ones become CSR.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.blocks import RowBlocks
    >>> def draw():
    ...     for seed in range(4):
    ...         yield np.random.default_rng(seed).standard_normal((50, 3))
    >>> X = RowBlocks(draw, shape=(200, 3))
    >>> [(start, block.shape) for start, block in X]
    [(0, (50, 3)), (50, (50, 3)), (100, (50, 3)), (150, (50, 3))]
    >>> X.take_columns([0, 2]).shape
    (200, 2)
    """

    ndim = 2

    def __init__(
        self,
        make_blocks,
        shape,
        dtype=np.float64,
        feature_names=None,
        read_columns=None,
        column_bytes=None,
    ):
        if not callable(make_blocks):
            raise TypeError(
                "make_blocks must be a function that returns an iterator over blocks, "
                f"got {type(make_blocks).__name__}."
            )
        if not (read_columns is None or callable(read_columns)):
            raise TypeError(
                "read_columns must be a function of columns, or None, got "
                f"{type(read_columns).__name__}."
            )
        if len(shape) != 2 or not all(
            isinstance(n, numbers.Integral) and n >= 0 for n in shape
        ):
            raise ValueError(
                f"shape must be a number of rows and one of features, got {shape!r}."
            )
        if feature_names is not None:
            feature_names = np.asarray(feature_names, dtype=object)
            if feature_names.shape != (shape[1],):
                raise ValueError(
                    f"feature_names must be {shape[1]} names, one for each feature, "
                    f"got an array of shape {feature_names.shape}."
                )
        if column_bytes is None:
            column_bytes = COLUMN_BYTES
        check_integer(
            "column_bytes", column_bytes, least=1, valid="a number of bytes or None"
        )
        self.shape = tuple(int(n) for n in shape)
        self.dtype = float_dtype(dtype)
        self.feature_names = feature_names
        self.column_bytes = int(column_bytes)
        self.n_passes = 0
        # The matrix of which these are some rows, and their mask.
        self.whole, self.rows = self, None
        self.cluster = None  # whose workers make the passes
        self.first_row = 0  # in the matrix of which a worker reads these rows
        self.checksums = Checksums(self.shape[1], self.dtype)
        self._make_blocks = make_blocks
        self._read_columns = read_columns

    @property
    def n_bytes_moved(self):
        """Bytes that were sent to the workers of a cluster, and received from them."""
        return 0 if self.cluster is None else self.cluster.n_bytes_moved

    def __iter__(self):
        """Yield the first row of each block, and the block."""
        return self._iterate(self._make_blocks, np.arange(self.shape[1]))

    def iterate_columns(self, columns):
        """Iterate over the blocks of some columns.

        {columns}
        blocks : iterator of tuple
            First row of each block, and the columns of the block.
        """
        columns = np.asarray(columns, dtype=np.intp)
        if self._read_columns is not None:
            return self._iterate(lambda: self._read_columns(columns), columns)
        return ((start, block[:, columns]) for start, block in self)

    def take_columns(self, columns):
        """Read some columns into memory, in a pass.

        {columns}
        X : ndarray or CSR matrix of shape (n_rows, n_columns)
            The columns; sparse if a block is.
        """
        parts = [block for _, block in self.iterate_columns(columns)]
        return join_rows(parts or [np.empty((0, len(columns)), dtype=self.dtype)])

    def take_rows(self, rows):
        """Keep some rows, without reading them.

        Parameters
        ----------
        rows : array-like of bool of shape (n_rows,)
            Mask of the rows.

        Returns
        -------
        blocks : RowBlocks
            The same matrix without the other rows.
        """
        rows = np.asarray(rows)
        if rows.dtype != bool or rows.shape != self.shape[:1]:
            raise ValueError(
                f"rows must be {self.shape[0]} booleans, one for each row, got an "
                f"array of shape {rows.shape} and dtype {rows.dtype}."
            )

        def pick(blocks):
            for start, block in blocks:
                inside = rows[start : start + block.shape[0]]
                yield block if inside.all() else block[inside]

        kept = RowBlocks(
            lambda: pick(self),
            (np.count_nonzero(rows), self.shape[1]),
            self.dtype,
            self.feature_names,
            lambda columns: pick(self.iterate_columns(columns)),
            column_bytes=self.column_bytes,
        )
        kept.whole, kept.rows = self.whole, rows
        if self.rows is not None:
            kept.rows = self.rows.copy()
            kept.rows[self.rows] = rows
        return kept

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        """Refuse to read everything."""
        raise TypeError(NOT_HERE)

    def _iterate(self, make_blocks, columns):
        """Yield the first row of each block, and the block, checked and converted."""
        self.n_passes += 1
        start = 0
        for block in read_ahead(self._checked(make_blocks(), columns)):
            yield start, block
            start += block.shape[0]

    def _checked(self, blocks, columns):
        """Yield the blocks in the form that is used."""
        start, checksums = 0, np.zeros_like(self.checksums.of_columns[columns])
        for block in blocks:
            if np.ndim(block) != 2 or block.shape[1] != len(columns):
                raise ValueError(
                    f"Each block of X must have {len(columns)} columns, got one of "
                    f"shape {np.shape(block)}."
                )
            if block.shape[0] == 0:
                continue
            if sparse.issparse(block):
                block = block.tocsr()
            else:
                block = np.asarray(block)
                if not (block.flags.c_contiguous or block.flags.f_contiguous):
                    block = np.ascontiguousarray(block)
            block = block.astype(self.dtype, copy=False)
            checksums += column_checksums(block, self.first_row + start)
            start += block.shape[0]
            yield block
        if start != self.shape[0]:
            raise ValueError(
                f"The blocks of X have {start} rows together, but its shape is "
                f"{self.shape}."
            )
        self.checksums.update(columns, checksums, self.feature_names)


def read_ahead(blocks):
    """Yield the blocks, each of which a thread reads while the one before is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def take_rows(X, rows):
    """Keep some rows of an array, a frame, a sparse matrix or `RowBlocks`.

    They are given by a mask or by their indices, which for `RowBlocks` must be sorted.
    """
    if isinstance(X, np.ndarray):
        return X[rows]
    if not isinstance(X, RowBlocks):
        return _safe_indexing(X, rows)
    rows = np.asarray(rows)
    if rows.dtype != bool:
        if np.any(np.diff(rows) <= 0):
            raise ValueError(
                "X in blocks needs splits with sorted indices without repetition."
            )
        places, rows = rows, np.zeros(X.shape[0], dtype=bool)
        rows[places] = True
    return X.take_rows(rows)


def set_feature_names(estimator, blocks):
    """Set `feature_names_in_` if the names of the features are strings."""
    names = blocks.feature_names
    if names is not None and all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = names


def float_dtype(dtype):
    """Return float32 and float64 as they are, and float64 for other dtypes."""
    dtype = np.dtype(dtype)
    return dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
