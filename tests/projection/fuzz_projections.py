"""Compare the projections with oracles on adversarial arrays.

    python tests/projection/fuzz_projections.py --count 200000 --balls l1inf l1
    python tests/projection/fuzz_projections.py --count 200000 --small

The arrays have about 2^16, 2^18 or 2^20 entries, where the kernels begin to share out
work, to sample, and to solve for a part of the groups first, or few, in every layout
that NumPy can make. The oracles see contiguous float64 data of the same numbers. Each
ball has a child process: if it crashes or hangs, that is a failure like a wrong result,
and the other cases continue in a new child.

A case is an array in memory that is projected by one, two and all threads, into a new
array, another one, and itself; the count is that of these inputs. Case number i of a
seed is always the same, whatever the balls and the count, and a failure prints the
command that repeats it. The exit status is 1 if anything failed. `test_fuzz.py` runs
some cases of each ball.
"""

import argparse
import functools
import math
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from fuzz_checks import CHECKS
from fuzz_children import in_children
from fuzz_inputs import INPUTS_PER_CASE, Failed, make_case


def roads(case):
    """What a case reaches: a layout and a shape of a size, a kind and a radius."""
    problem = case.problem
    of_one = problem.shape_kind == "groups of one"
    return {
        (case.layout, problem.exponent, of_one),
        (problem.shape_kind, problem.exponent),
        problem.kind,
        problem.radius_kind,
    }


def sample(seed, most, n_scanned=8000):
    """Indices of a few cases of which each reaches something that those before do not.

    Parameters
    ----------
    seed : int
    most : dict of int to int
        How many cases there may be for each exponent of the size.
    n_scanned : int
        Number of cases to choose from.
    """
    indices, reached, left = [], set(), Counter(most)
    for index in range(n_scanned):
        if not left.total():
            break
        case = make_case(seed, index)
        if left[case.problem.exponent] and not roads(case) <= reached:
            indices.append(index)
            reached |= roads(case)
            left[case.problem.exponent] -= 1
    return indices


class Task(NamedTuple):
    """Case number `index` of a seed for a ball, a key of `CHECKS`."""

    name: str
    seed: int
    index: int
    small: bool = False

    def __str__(self):
        return (
            f"--seed {self.seed} --start {self.index} --count 1 --balls {self.name}"
            f"{' --small' * self.small}  # {make_case(*self[1:])}"
        )


def run_case(task, announce=lambda text: None):
    """Check a case.

    Returns
    -------
    failure : tuple of str or None
        What has failed, and a number.
    """
    case = make_case(*task[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            CHECKS[task.name](task.name, case, announce)
        except Failed as failure:
            return failure.args
        except Exception as error:  # whatever it is, it is a finding
            return type(error).__name__, str(error)
    return None


@dataclass
class Summary:
    """What many inputs have shown."""

    tried: int = 0
    failures: Counter = field(default_factory=Counter)  # inputs, by message
    first: dict = field(default_factory=dict)  # how to repeat the first of them

    def __str__(self):
        lines = [f"{self.tried} inputs, {self.failures.total()} failures"]
        for message, count in self.failures.most_common():
            lines.append(f"FAILED {count} times: {message}")
            lines.append(f"    first: {self.first[message]}")
        return "\n    ".join(lines)


def fuzz(tasks, *, limit=60.0, report=lambda text: None):
    """Check cases in child processes.

    Parameters
    ----------
    tasks : iterable of Task
    limit : float
        Seconds that a call may take.
    report : callable
        Called with a line about each failure.

    Returns
    -------
    summary : Summary
    """
    summary = Summary()
    for task, failure in in_children(run_case, tasks, limit):
        summary.tried += INPUTS_PER_CASE
        if failure is not None:
            message, number = failure
            summary.failures[message] += 1
            summary.first.setdefault(message, f"{number}; {task}")
            report(f"{task.name}: {message}: {number}; {task}")
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first case")
    parser.add_argument("--small", action="store_true", help="arrays of few entries")
    parser.add_argument("--balls", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds that a call may take"
    )
    parser.add_argument("--verbose", action="store_true", help="report all failures")
    arguments = parser.parse_args()
    report = functools.partial(print, flush=True)
    n_cases = math.ceil(arguments.count / len(arguments.balls) / INPUTS_PER_CASE)
    n_inputs = n_failures = 0
    for name in arguments.balls:
        began = time.monotonic()
        summary = fuzz(
            [
                Task(name, arguments.seed, arguments.start + i, arguments.small)
                for i in range(n_cases)
            ],
            limit=arguments.limit,
            report=report if arguments.verbose else lambda text: None,
        )
        report(f"{name}: {summary}\n    {time.monotonic() - began:.0f} s")
        n_inputs += summary.tried
        n_failures += summary.failures.total()
    print(f"{n_inputs} inputs, {n_failures} failures")
    return int(n_failures > 0)


if __name__ == "__main__":
    sys.exit(main())
