"""Passes over blocks of rows on the workers of a dask cluster."""

import pickle
import threading
import uuid
from functools import lru_cache, partial, reduce
from itertools import pairwise

from skproj.blocks._checksums import Checksums
from skproj.blocks._passes import combine_kinds, show
from skproj.blocks._row_blocks import RowBlocks
from skproj.blocks._sources import split
from skproj.utils._optional import import_optional

# Blocks of a file that a worker reads in one task.
TASK_BLOCKS = 16


class Cluster:
    """Workers that let visitors see the rows of a source, each some of them.

    The rows of a task and the order in which totals are joined do not depend on the
    workers, so neither do the results.

    `open_file` opens the source on a worker; it is None for an array or a dataframe of
    dask.
    """

    def __init__(self, client, source, open_file, block_size):
        if not callable(getattr(client, "compute", None)):
            raise TypeError(
                "client must be a distributed.Client or None, got "
                f"{type(client).__name__}."
            )
        self.client = client
        self.n_bytes_moved = 0
        bounds = source.bounds().tolist()
        if open_file is not None:
            bounds = [*bounds[:-1:TASK_BLOCKS], bounds[-1]]
            # A file that is opened again may have changed.
            token = uuid.uuid4().hex
            self._to_blocks = partial(_rows_of_file, open_file, token)
            self._parts = list(pairwise(bounds))
        elif source.make_chunks is not None:
            self._to_blocks = partial(_rows_of_chunk, source.dtype, block_size)
            self._parts = source.make_chunks()
        else:
            raise ValueError(
                "client is for files, which the workers open, and for arrays and "
                "dataframes of dask, but source is in the memory of this process."
            )
        self._bounds = list(pairwise(bounds))

    def run(self, visitors):
        """Return the totals of each kind of visitors in a pass, and the checksums."""
        dask = import_optional("dask", extra="distributed")
        visit_part = dask.delayed(_visit_part, nout=2, pure=False)
        join = dask.delayed(_join, pure=False)
        sums, rows = [], []
        for part, (start, stop) in zip(self._parts, self._bounds, strict=True):
            # The workers unpickle it: dask need not look into it.
            message = pickle.dumps(
                [visitor.take_rows(start, stop) for visitor in visitors], protocol=5
            )
            self.n_bytes_moved += len(message)
            part_sums, part_rows = visit_part(self._to_blocks, part, start, message)
            sums.append(part_sums)
            rows.append(part_rows)
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2], strict=False)
            last = sums[-1:] if len(sums) % 2 else []
            sums = [join(first, second) for first, second in pairs] + last
        # Data that are scattered in advance are lost with a worker.
        with dask.config.set(
            {"distributed.admin.large-graph-warning-threshold": "1TB"}
        ):
            futures = self.client.compute([*sums, *rows])
        sums, *rows = self.client.gather(futures)
        self.n_bytes_moved += _n_bytes([sums, rows])
        totals = sums | reduce(_join, rows)
        (_, checksums), *totals = [total for _, total in sorted(totals.items())]
        return [total for _, total in totals], checksums


def _visit_part(to_blocks, part, first_row, message):
    """Return the totals that workers join, and the others, of one part of the rows.

    They are dicts by the place of the visitor, with its class.
    """
    combined = combine_kinds(pickle.loads(message))
    blocks = to_blocks(part)
    blocks.first_row = first_row
    show(blocks, combined)
    sums, rows = {-1: (Checksums, blocks.checksums)}, {}
    for place, visitor in enumerate(combined):
        totals = sums if visitor.reduces else rows
        totals[place] = type(visitor), visitor.total
    return sums, rows


def _join(first, second):
    return {
        place: (visitor, visitor.merge(total, second[place][1]))
        for place, (visitor, total) in first.items()
    }


def _n_bytes(value):
    arrays = []
    message = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    return len(message) + sum(array.raw().nbytes for array in arrays)


def _rows_of_file(open_file, token, bounds):
    """Return the blocks of some rows of a file."""
    # Not all readers may be used by several threads.
    source = _open_once(open_file, token, threading.get_ident())
    return source.blocks(*bounds)


@lru_cache(maxsize=16)
def _open_once(open_file, token, thread):
    return open_file()


def _rows_of_chunk(dtype, block_size, chunk):
    return RowBlocks(lambda: split(chunk, block_size), chunk.shape, dtype)
