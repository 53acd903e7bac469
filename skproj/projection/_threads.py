"""Number of threads for the kernels."""

import numbers
import os
from functools import lru_cache

from joblib import cpu_count

from skproj._kernels._openmp import end_threads, openmp_enabled, openmp_max_threads

# More than any machine has; keeps absurd requests within a C int.
MAX_THREADS = 1024

_cpu_count = lru_cache(maxsize=1)(cpu_count)

_is_forked = False


def _begin_forked_process():
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):  # not on Windows
    # A fork takes no threads along, but libgomp would wait for those it had started.
    os.register_at_fork(before=end_threads, after_in_child=_begin_forked_process)


def effective_n_threads(n_threads):
    """Turn the public ``n_threads`` into a positive number of OpenMP threads.

    None means what OpenMP would use (``OMP_NUM_THREADS`` counts), at most the number of
    CPUs that this process may use, and 1 in a forked process: it is as a rule one of
    several workers. Negative values count from the number of CPUs: -1 is all, -2 all
    but one. The result is always 1 in a build without OpenMP. Other values are refused,
    0 with a ValueError and other types with a TypeError.
    """
    if n_threads is not None:
        if isinstance(n_threads, bool) or not isinstance(n_threads, numbers.Integral):
            raise TypeError(
                f"n_threads must be an integer or None, got {n_threads!r} instead."
            )
        if n_threads == 0:
            raise ValueError("n_threads must not be 0; use None for the default.")
    if not openmp_enabled():
        return 1
    if n_threads is None:
        return 1 if _is_forked else max(1, min(openmp_max_threads(), _cpu_count()))
    if n_threads < 0:
        return max(1, _cpu_count() + 1 + int(n_threads))
    return min(int(n_threads), MAX_THREADS)
