"""Time the default number of threads against one thread.

    python benchmarks/threads.py                          # everything, some minutes
    python benchmarks/threads.py --balls l1inf --size 1000x1000 1000x10000
    python benchmarks/threads.py --threads 2              # this number instead

Tables. A cell has the time with one thread divided by the time with the default,
`n_threads=None`; below 1 the default is slower. "one" means that the default is one
thread. Times are the minimum of many interleaved runs in place. Each run follows a
pause in which the OpenMP threads go to sleep, as in a program with other work. The
sizes from which several threads are used are in `skproj/projection/_policy.py`.
"""

import argparse
import time
from functools import partial

import numpy as np
from _tables import processor
from projections import OPERATORS, make_data, operators_for, parse_size

from skproj.projection._engine import threads_for
from skproj.projection._threads import effective_n_threads

SIZES = ["256x256", "512x512", "1000x1000", "2000x2000", "1000x10000", "4000000"]
SHARE = 0.1  # of the norm
PAUSE = 0.005  # seconds


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


def speed_up(operator, X, axis, n_threads, patience):
    """Time with one thread over that with `n_threads`."""
    radius = SHARE * operator.norm(X, axis=axis)

    def run(work, n_threads):
        operator.project(work, radius, axis=axis, out=work, n_threads=n_threads)

    runs = [partial(run, n_threads=1), partial(run, n_threads=n_threads)]
    one, several = least_times(runs, X, patience)
    return one / several


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", default=SIZES, metavar="N[xN]")
    parser.add_argument("--balls", nargs="+", default=list(OPERATORS))
    parser.add_argument("--dtype", nargs="+", default=["float64", "float32"])
    parser.add_argument("--threads", type=int, help="(default: that of skproj)")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds a cell")
    options = parser.parse_args()

    print(f"{__doc__}\n{processor()}, {effective_n_threads(-1)} CPUs\n")
    print(f"{'':18}axis {'':8}" + "".join(f"{size:>12}" for size in options.size))
    for name in OPERATORS:
        if name not in options.balls:
            continue
        axes = [0, 1] if OPERATORS[name].grouped else [None]
        for axis in axes:
            for dtype in options.dtype:
                cells = []
                for size in options.size:
                    X = make_data("gaussian", parse_size(size), dtype)
                    if OPERATORS[name] not in operators_for(X, options.balls):
                        cells.append("")
                    elif threads_for(X, options.threads, (axis or 0,)) == 1:
                        cells.append("one")
                    else:
                        ratio = speed_up(
                            OPERATORS[name], X, axis, options.threads, options.patience
                        )
                        cells.append(f"{ratio:.2f}")
                print(
                    f"{name:18}{'' if axis is None else axis:>4} {dtype:8}"
                    + "".join(f"{cell:>12}" for cell in cells),
                    flush=True,
                )


if __name__ == "__main__":
    main()
