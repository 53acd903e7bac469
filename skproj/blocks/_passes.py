"""Passes over blocks of rows, which functions that run together share.

A visitor is what a pass is for. Visitors of the same `kind` become one before the pass,
by the `combine` of the first. Its `add` is called with the first row of each block, and
the block, and adds it to `total`; `finish` is called after the pass.

On a cluster, workers visit parts of the rows with visitors that `take_rows` returns.
`merge` joins the totals of two parts, on the workers where `reduces` says that the
joint one is not larger.
"""

import contextvars
import ctypes
import sys
import threading

import numpy as np
from scipy import sparse
from sklearn import config_context, get_config

_current_task = contextvars.ContextVar("skproj_task", default=None)
_n_together = contextvars.ContextVar("skproj_n_together", default=1)


def visit(blocks, *visitors):
    """Let visitors see all blocks, in one pass, or in one that others share."""
    task = _current_task.get()
    if task is None:
        run_pass(blocks, visitors)
    else:
        task.wait_for_pass(blocks, visitors)


def n_together():
    """Return the number of functions that share the memory."""
    return _n_together.get()


def run_pass(blocks, visitors):
    """Let visitors see all blocks, here or on a cluster."""
    combined = combine_kinds(visitors)
    if blocks.cluster is None:
        show(blocks, combined)
    else:
        blocks.n_passes += 1
        totals, checksums = blocks.cluster.run(visitors)
        columns = np.flatnonzero(checksums.is_read)
        found = checksums.of_columns[columns]
        blocks.checksums.update(columns, found, blocks.feature_names)
        for visitor, total in zip(combined, totals, strict=True):
            visitor.total = total
    for visitor in combined:
        visitor.finish()


def combine_kinds(visitors):
    """Return one visitor for each kind, in the order of the first ones."""
    kinds = {}
    for visitor in visitors:
        kinds.setdefault(visitor.kind, []).append(visitor)
    return [kind[0].combine(kind) for kind in kinds.values()]


def show(blocks, combined):
    """Let combined visitors see all blocks, in a pass."""
    if [visitor.kind for visitor in combined] == [ColumnReader.kind]:
        blocks = blocks.iterate_columns(combined[0].columns)
    for start, block in blocks:
        for visitor in combined:
            visitor.add(start, block)


def run_together(calls):
    """Call functions that share their passes over blocks, and return the results.

    They run in threads of their own, but by turns, so that one at a time computes. When
    all that are left wait for a pass, there is one for all of them. An error of one
    ends the others, at their next pass.
    """
    tasks = [_Task(call, len(calls)) for call in calls]
    waiting = tasks
    try:
        while waiting:
            for task in waiting:
                task.advance()
                _give_back_memory()
            waiting = [task for task in waiting if task.wish is not None]
            wishes = {}
            for task in waiting:
                blocks, visitors = task.wish
                wishes.setdefault(id(blocks), (blocks, []))[1].extend(visitors)
            for blocks, visitors in wishes.values():
                run_pass(blocks, visitors)
    finally:
        for task in waiting:
            task.cancel()
    return [task.result for task in tasks]


def _give_back_memory():
    """Return freed memory to the system, where glibc keeps it in a heap per thread."""
    on_linux = sys.platform == "linux"
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if on_linux else None
    if trim is not None:
        trim(0)


class _Cancelled(BaseException):
    """Ends a function whose result is no longer wanted."""


class _Task:
    """A function in a thread, which runs only while `advance` waits for it."""

    def __init__(self, call, n_tasks):
        self.wish = self.result = self._error = None
        self._cancelled = self._begun = self._ended = False
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        context = contextvars.copy_context()
        context.run(_current_task.set, self)
        context.run(_n_together.set, n_tasks)
        self._thread = threading.Thread(
            target=context.run, args=(self._run, call, get_config()), daemon=True
        )

    def advance(self):
        """Run until the function needs a pass, or has ended, perhaps by an error."""
        if not self._begun:
            self._begun = True
            self._thread.start()
        self.wish = None
        self._go.release()
        self._paused.acquire()
        if self._error is not None:
            raise self._error

    def cancel(self):
        """End a function that waits for a pass."""
        if self._begun and not self._ended:
            self._cancelled = True
            self._go.release()
            self._thread.join()

    def wait_for_pass(self, blocks, visitors):
        """Let others run; called by the function itself."""
        self.wish = blocks, visitors
        self._paused.release()
        self._go.acquire()
        if self._cancelled:
            raise _Cancelled

    def _run(self, call, config):
        self._go.acquire()
        try:
            with config_context(**config):
                self.result = call()
        except _Cancelled:
            pass
        except BaseException as error:
            self._error = error
        self._ended = True
        self._paused.release()


class ColumnReader:
    """Visitor that reads columns into memory.

    Several of them get the columns of all in `columns` and `matrix`.
    """

    kind = "columns"
    reduces = False

    def __init__(self, columns):
        self.columns = columns
        self.matrix = None

    def take_rows(self, start, stop):
        return ColumnReader(self.columns)

    def combine(self, readers):
        self._others = readers[1:]
        self.total = []
        for reader in self._others:
            self.columns = np.union1d(self.columns, reader.columns)
        return self

    def add(self, start, block):
        """Read the columns of a block, which may have these columns only."""
        if block.shape[1] != len(self.columns):
            block = block[:, self.columns]
        self.total.append(block)

    def finish(self):
        self.matrix = join_rows(self.total)
        for reader in self._others:
            reader.columns, reader.matrix = self.columns, self.matrix
        del self.total, self._others

    @staticmethod
    def merge(first, second):
        return first + second


def join_rows(parts):
    """Return blocks as one array, or as a CSR matrix if a block is sparse."""
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)
