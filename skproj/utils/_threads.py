"""Number of threads for the kernels."""

import numbers
from functools import lru_cache

from joblib import cpu_count

from skproj._kernels._openmp import openmp_enabled, openmp_max_threads

# More than any machine has; keeps absurd requests within a C int.
MAX_THREADS = 1024

_cpu_count = lru_cache(maxsize=1)(cpu_count)


def effective_n_threads(n_threads):
    """Turn the public ``n_threads`` into a positive number of OpenMP threads.

    Parameters
    ----------
    n_threads : int or None
        None means what OpenMP would use (``OMP_NUM_THREADS`` counts), at most the
        number of CPUs that this process may use. Negative values count from there:
        -1 is all CPUs, -2 all but one.

    Returns
    -------
    n_threads : int
        Always 1 in a build without OpenMP.

    Raises
    ------
    TypeError
        If `n_threads` is neither an integer nor None.
    ValueError
        If `n_threads` is 0.
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
        return max(1, min(openmp_max_threads(), _cpu_count()))
    if n_threads < 0:
        return max(1, _cpu_count() + 1 + int(n_threads))
    return min(int(n_threads), MAX_THREADS)
