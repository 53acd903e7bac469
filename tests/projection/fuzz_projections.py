"""Feed random and adversarial inputs to the projections and compare with oracles.

    python tests/projection/fuzz_projections.py --count 100000 --seed 0 --balls l1inf l1

Input number i of a seed is always the same, whatever the balls and the count, and a
failure prints the command that repeats it. The exit status is 1 if anything failed.
`test_fuzz.py` runs a few hundred inputs for each ball.
"""

import argparse
import math
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from fuzz_inputs import LAYOUTS, RADII, make_case
from fuzz_targets import (
    NORM_TOLERANCE,
    SLOW_ORACLE_EVERY,
    SLOW_ORACLE_MAX_SIZE,
    TARGETS,
    TOLERANCE,
    ZERO_MARGIN,
)

from skproj.projection._engine import PARALLEL_MIN_SIZE

# ---------------------------------------------------------------------------
# The check of one input


class Failed(Exception):
    """A result that cannot be accepted."""


def require(condition, message, number=0.0):
    if not condition:
        raise Failed(message, f"{number:.1e}")


class Outcome(NamedTuple):
    """What was measured on a result that was accepted."""

    error: float  # distance from the oracle, relative to the largest entry
    excess: float  # of the norm over the radius, relative to the radius
    too_large: bool  # whether that excess is more than is allowed
    same_bits: bool  # as the result for the columns in C order


def check(target, case):
    """Project one input and compare with all that is known about the result."""
    columns = case.columns
    dtype = columns.dtype.name

    # The oracles see the problem times a power of two: no sum of theirs overflows.
    exact = columns.astype(np.float64)
    _, exponent = math.frexp(np.abs(exact).max())
    exact = np.ldexp(exact, -exponent)
    weights = target.weights(exact)
    weighted = exact * weights
    norm = target.norm(weighted)
    radius = _radius(target, case, norm, weighted, exponent)
    scaled_radius = math.ldexp(radius, -exponent)

    P, threshold = _project(target, case, radius)
    inside = scaled_radius >= norm * (1 + ZERO_MARGIN)
    _require_promises(target, columns, P, threshold, inside)

    threshold = np.minimum(threshold, np.finfo(np.float64).max)  # infinite above it
    # Below the smallest normal number, thresholds and entries are rounded absolutely.
    margin = ZERO_MARGIN * np.abs(threshold) + np.finfo(np.float64).smallest_subnormal
    dead = target.vanishing(exact) < np.ldexp(threshold - margin, -exponent)
    result = np.ldexp(P.astype(np.float64), -exponent)
    require(
        not result[np.broadcast_to(dead, result.shape)].any(),
        "something below the threshold is not exactly zero",
    )
    rounding = math.ldexp(float(np.finfo(dtype).smallest_subnormal), -exponent)
    largest = np.abs(exact).max()
    scale = max(largest, scaled_radius) if target.fills else largest
    error = _error(target, case, exact, scaled_radius, result)
    require(
        error <= TOLERANCE[dtype] * scale + rounding,
        "the result is not that of the oracle (error relative to the largest entry)",
        error / scale if scale else error,
    )
    excess = target.norm(result * weights) - scaled_radius
    excess -= rounding * np.sum(weights, where=result != 0.0)

    axis = None if target.whole else 0
    plain = target.projection(columns, radius, axis=axis, n_threads=1)
    if columns.size >= PARALLEL_MIN_SIZE:
        threaded = target.projection(columns, radius, axis=axis, n_threads=2)
        require(np.array_equal(plain, threaded), "two threads give another result")
    return Outcome(
        max(error - rounding, 0.0) / scale if scale else 0.0,
        max(excess, 0.0) / scaled_radius if 0.0 < scaled_radius < math.inf else 0.0,
        excess > NORM_TOLERANCE[dtype] * scaled_radius,
        np.array_equal(P, plain),
    )


def _require_promises(target, columns, P, threshold, inside):
    """What holds exactly, without an oracle."""
    require(np.isfinite(P).all(), "the result is not finite")
    if target.fills:
        require((P >= 0.0).all(), "an entry of the result is negative")
        return
    require(np.min(threshold) >= 0.0, "negative threshold", np.min(threshold))
    growth = np.abs(P) - np.abs(columns)
    require((growth <= 0.0).all(), "an entry has grown", growth.max())
    require((P * np.sign(columns) >= 0.0).all(), "a sign has changed")
    if inside:
        require(np.array_equal(P, columns), "the inside of the ball has changed")


def _radius(target, case, norm, weighted, exponent):
    """Radius of a case, for the columns as they are before scaling."""
    of_one = target.norm(weighted[:, [case.chosen_column]])
    radius = RADII[case.radius_kind](norm, of_one, case.number)
    if target.fills and radius == math.inf:  # refused; far outside is as good
        radius = 10.0 * norm
    with np.errstate(over="ignore", under="ignore"):
        radius = float(np.ldexp(radius, exponent))
    if target.fills:
        radius = min(radius, float(np.finfo(case.columns.dtype).max))
    return radius


def _project(target, case, radius):
    """Call the projection as the case says; the result as columns, and threshold."""
    columns, axis = case.columns, case.axis
    array = columns if axis == 0 else columns.T
    X = LAYOUTS[case.layout](array)
    out = {
        "new": lambda: None,
        "out": lambda: LAYOUTS[case.out_layout](np.full_like(array, 7.0)),
        "in place": lambda: X,
    }[case.mode]()
    P, threshold = target.projection(
        X,
        radius,
        axis=None if target.whole else axis,
        out=out,
        n_threads=1,
        return_threshold=True,
    )
    require(P.dtype == X.dtype and P.shape == X.shape, "another dtype or shape")
    if case.mode == "new":
        require(not np.shares_memory(P, X), "the result shares memory with X")
    else:
        require(P is out, "out is not returned")
    if case.mode != "in place":
        require(np.array_equal(X, array), "X has changed, although not in place")
    for used in (X, P):
        if used.base is not None:
            beside = np.count_nonzero(np.isnan(used.base))
            require(beside == used.base.size - used.size, "written beside the array")
    return (P if axis == 0 else P.T), threshold


def _error(target, case, C, radius, result):
    """Bound of the distance of the result from the truth, by one or two oracles."""
    oracles = [target.oracle]
    if (
        target.slow_oracle
        and case.index % SLOW_ORACLE_EVERY == 0
        and C.size <= SLOW_ORACLE_MAX_SIZE
    ):
        oracles.append(target.slow_oracle)
    bounds = []
    for oracle in oracles:
        expected, uncertainty = oracle(C, radius)
        bounds.append(float(np.abs(result - expected).max()) + uncertainty)
    return max(bounds)


# ---------------------------------------------------------------------------
# Many inputs


@dataclass
class Summary:
    """What many inputs have shown about one projection."""

    tried: int = 0
    error: Counter = field(default_factory=Counter)  # worst, by dtype
    excess: Counter = field(default_factory=Counter)  # worst, by dtype
    too_large: Counter = field(default_factory=Counter)  # inputs, by dtype
    other_bits: Counter = field(default_factory=Counter)  # inputs, by layout
    failures: Counter = field(default_factory=Counter)  # inputs, by message
    first: dict = field(default_factory=dict)  # how to repeat the first of them

    def fail(self, message, number, reproduce):
        self.failures[message] += 1
        self.first.setdefault(message, f"{number}; {reproduce}")

    def add(self, case, outcome):
        dtype = case.columns.dtype.name
        self.error[dtype] = max(self.error[dtype], outcome.error)
        self.excess[dtype] = max(self.excess[dtype], outcome.excess)
        self.too_large[dtype] += outcome.too_large
        if not outcome.same_bits:
            self.other_bits[f"{case.layout}, axis {case.axis}"] += 1

    def __str__(self):
        lines = [f"{self.tried} inputs, {self.failures.total()} failures"]
        for dtype in sorted(self.error):
            lines.append(
                f"{dtype}: relative error {self.error[dtype]:.1e}, norm above the "
                f"radius by {self.excess[dtype]:.1e} of it "
                f"({self.too_large[dtype]} times more than "
                f"{NORM_TOLERANCE[dtype]:.0e})"
            )
        if self.other_bits:
            counts = ", ".join(f"{n} {key}" for key, n in self.other_bits.most_common())
            lines.append(f"bits other than those of the C layout: {counts}")
        for message, count in self.failures.most_common():
            lines.append(f"FAILED {count} times: {message}")
            lines.append(f"    first: {self.first[message]}")
        return "\n    ".join(lines)


def fuzz(names, seed, indices, *, strict_norm=False, progress=lambda n_done: None):
    """Check the projections of some names on the inputs of some indices.

    Returns
    -------
    summaries : dict of str to Summary
    """
    summaries = {name: Summary() for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_done, index in enumerate(indices):
            progress(n_done)
            case = make_case(seed, index)
            for name, summary in summaries.items():
                summary.tried += 1
                reproduce = (
                    f"--seed {seed} --start {index} --count 1 --balls {name}  # {case}"
                )
                try:
                    outcome = check(TARGETS[name], case)
                    summary.add(case, outcome)
                    require(
                        not (strict_norm and outcome.too_large),
                        "the norm is above the radius (relative to the radius)",
                        outcome.excess,
                    )
                except Failed as failure:
                    summary.fail(*failure.args, reproduce)
                except Exception as error:  # whatever it is, it is a finding
                    summary.fail(type(error).__name__, error, reproduce)
    return summaries


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first input")
    parser.add_argument("--balls", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument(
        "--strict-norm",
        action="store_true",
        help="fail where the norm of a result is above the radius by more than "
        + ", ".join(f"{most:.0e} ({dtype})" for dtype, most in NORM_TOLERANCE.items()),
    )
    arguments = parser.parse_args()
    began = time.monotonic()

    def progress(n_done):
        if n_done and n_done % 10_000 == 0:
            seconds = time.monotonic() - began
            print(f"{n_done} inputs, {seconds:.0f} s", flush=True)

    summaries = fuzz(
        arguments.balls,
        arguments.seed,
        range(arguments.start, arguments.start + arguments.count),
        strict_norm=arguments.strict_norm,
        progress=progress,
    )
    for name, summary in summaries.items():
        print(f"{name}: {summary}")
    return int(any(summary.failures for summary in summaries.values()))


if __name__ == "__main__":
    sys.exit(main())
