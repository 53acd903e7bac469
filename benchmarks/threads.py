"""Time the default number of threads against one thread.

    python benchmarks/threads.py                          # everything, some minutes
    python benchmarks/threads.py --balls l1inf --size 1000x1000 1000x10000
    python benchmarks/threads.py --threads 2              # another number instead

How to read it. A cell is the time with one thread divided by that with the default,
`n_threads=None`, and in brackets the number of threads that this was: 1.0 where it was
one. Times are the least of many runs in place, with one thread and with several in turn.
Before each run there is a pause, after which the threads of OpenMP have gone to sleep,
as in a program that does something else as well. What is below 1 belongs into
`skproj/projection/_policy.py`, if the machine had nothing else to do.
"""

import argparse
import time

import numpy as np
from projections import OPERATORS, make_data, operators_for, parse_size

from skproj.projection._policy import default_n_threads, kind_of_work

SIZES = ["300x300", "1000x300", "1000x1000", "1000x3000", "1000x10000", "10000000"]
SHARE = 0.1  # of the norm
PAUSE = 0.01  # seconds


def least_times(functions, X, patience):
    """Least time of each function on a fresh copy of X, in seconds."""
    work, least = np.empty_like(X), [np.inf] * len(functions)
    start = time.perf_counter()
    while time.perf_counter() - start < patience:
        for i, function in enumerate(functions):
            np.copyto(work, X)
            time.sleep(PAUSE)
            before = time.perf_counter()
            function(work)
            least[i] = min(least[i], time.perf_counter() - before)
    return least
