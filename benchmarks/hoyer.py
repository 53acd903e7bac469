"""Time the group sparse projection against the memory floor and a plain version.

    python benchmarks/hoyer.py
    python benchmarks/hoyer.py --size 512x4608 --sparsity 0.8 --dtype float32

The vectors are the rows of a matrix of normally distributed numbers. A cell has the
minimum time of several interleaved runs in milliseconds, and in brackets the multiple
of the floor, which is one pass of the kernels of skproj that sums the magnitudes.
Columns:

- group: `projection_hoyer` of all rows together; "warm": after a change of the data by
  0.1 %, started from the previous multiplier; "columns": the same vectors as columns,
- each: every row by itself;
- plain: the published iteration, Newton's method with bisections on the multiplier,
  over the whole matrix with PyTorch, in the type of the data. "off by" is the error of
  the average, of "group" and of "plain".
"""

import argparse
import time

import numpy as np
import torch
from _tables import processor, versions

import skproj
from skproj.projection import hoyer_sparsity, norm_l1, projection_hoyer

SIZES = [(512, 4608), (1000, 1000), (8192, 72), (15, 1_000_000)]
SPARSITIES = [0.8, 0.9, 0.95]
MAX_STEPS = 100


def plain_projection(X, sparsity, tolerance):
    """Project the rows of a tensor by the plain iteration.

    Newton steps are replaced by bisection if they leave the bracket, or if the last
    step hardly reduced the bracket.
    """
    n_rows, size = X.shape
    rate = 1.0 / (size**0.5 - 1.0)
    budget = n_rows * (rate * size**0.5 - sparsity)
    A = X.abs()

    def directions(mu):
        Y = (A - mu * rate).clamp(min=0.0)
        norms = torch.linalg.vector_norm(Y, dim=1)
        spent = norms == 0.0
        if spent.any():
            Y[spent, A[spent].argmax(dim=1)] = 1.0
        return Y / torch.where(spent, 1.0, norms)[:, None], norms

    low, high = 0.0, float(A.max()) / rate
    mu, width = 0.0, high
    for _ in range(MAX_STEPS):
        Y, norms = directions(mu)
        sums = Y.sum(dim=1)
        error = float(rate * sums.sum() - budget)
        if abs(error) <= tolerance * n_rows or (mu == 0.0 and error <= 0.0):
            break
        low, high = (mu, high) if error > 0.0 else (low, mu)
        counts = (Y > 0.0).sum(dim=1)
        slopes = torch.where(norms > 0.0, (sums**2 - counts) / norms, 0.0)
        slope = float(rate * rate * slopes.sum())
        mu = mu - error / slope if slope < 0.0 else high
        if not low < mu < high or high - low > 0.75 * width:
            mu = mu if low == 0.0 and low < mu < high else (low + high) / 2
        width = high - low
    return X.sign() * Y * (Y * A).sum(dim=1, keepdim=True)


def least_times(functions, repeats):
    """Least time in milliseconds of each of some functions, which take turns."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - began)
    return {name: 1e3 * min(seconds) for name, seconds in times.items()}


def measure(shape, sparsity, dtype, repeats, n_threads):
    """Time everything for one matrix; return the times and the errors of two."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape).astype(dtype)
    changed = X * (1.0 + 0.001 * rng.standard_normal(shape)).astype(dtype)
    columns = np.ascontiguousarray(X.T)
    out, out_columns, tensor = np.empty_like(X), np.empty_like(columns), torch.tensor(X)
    tolerance = 1e-12 if dtype == "float64" else 1e-7
    options = {"axis": 1, "n_threads": n_threads, "out": out}
    _, start = projection_hoyer(X, sparsity, return_multiplier=True, **options)
    functions = {
        "floor": lambda: norm_l1(X, n_threads=n_threads),
        "group": lambda: projection_hoyer(X, sparsity, **options),
        "warm": lambda: projection_hoyer(changed, sparsity, start=start, **options),
        "columns": lambda: projection_hoyer(
            columns, sparsity, n_threads=n_threads, out=out_columns
        ),
        "each": lambda: projection_hoyer(X, sparsity, per_vector=True, **options),
        "plain": lambda: plain_projection(tensor, sparsity, tolerance),
    }
    times = least_times(functions, repeats)
    off = abs(hoyer_sparsity(functions["group"](), axis=1).mean() - sparsity)
    plain = functions["plain"]().numpy()
    return times, off, abs(hoyer_sparsity(plain, axis=1).mean() - sparsity)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size",
        type=lambda text: tuple(map(int, text.split("x"))),
        nargs="+",
        default=SIZES,
        metavar="NxN",
        help="numbers of vectors and of their entries",
    )
    parser.add_argument("--sparsity", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=["float32", "float64"],
        default=["float32", "float64"],
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main():
    """Measure and print."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    print(__doc__)
    print(
        f"Measured on {processor()}, {options.threads} threads, with "
        f"{versions(NumPy=np, torch=torch, skproj=skproj)}; least of "
        f"{options.repeats} runs.\n"
    )
    names = ["group", "warm", "columns", "each", "plain"]
    titles = ["floor", *names]
    print(f"{'':30}" + "".join(f"{title:>15}" for title in titles), "  off by")
    for shape in options.size:
        for sparsity in options.sparsity:
            for dtype in options.dtype:
                times, off, plain_off = measure(
                    shape, sparsity, dtype, options.repeats, options.threads
                )
                case = f"{shape[0]}x{shape[1]} {sparsity} {dtype}"
                cells = [f"{times['floor']:8.2f}       "] + [
                    f"{times[name]:8.2f} ({times[name] / times['floor']:.0f})".rjust(15)
                    for name in names
                ]
                print(f"{case:30}" + "".join(cells), f"  {off:.0e}, {plain_off:.0e}")


if __name__ == "__main__":
    main()
