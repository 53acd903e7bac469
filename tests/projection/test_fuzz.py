"""A short run of fuzz_projections.py, and proof that it notices every kind of fault."""

import itertools
import os
import time
from dataclasses import replace

import fuzz_checks
import fuzz_families
import fuzz_inputs
import fuzz_projections
import numpy as np
import pytest
from fuzz_children import Lost, in_children
from fuzz_projections import Task, run_case

from skproj import projection

N_SMALL = 250  # cases of each ball
# Large cases of each ball by the exponent of the size.
FEW = {16: 16, 18: 6, 20: 2}
MANY = {16: 99, 18: 99, 20: 99}
# Each ball has a seed of its own. The exact l1,inf ball branches by the size and by the
# length of the groups; these two seeds find all faults that there have been.
SEEDS = {name: seed for seed, name in enumerate(fuzz_checks.CHECKS)}
SEEDS |= {"l1inf": 33, "prox_linf1": 60}
del SEEDS["hoyer_groups"]  # which are not large
N_CHILDREN = 5  # which take seconds to start


@pytest.mark.parametrize("name", SEEDS)
def test_small_arrays(name):
    """Right, inside the ball to rounding, and clean in every layout and scale."""
    tasks = [Task(name, 0, index, small=True) for index in range(N_SMALL)]
    failures = {str(task): run_case(task) for task in tasks}
    assert not {task: why for task, why in failures.items() if why is not None}


def large_tasks(name, most):
    seed = SEEDS[name]
    return [Task(name, seed, index) for index in fuzz_projections.sample(seed, most)]


@pytest.mark.parametrize("child", range(N_CHILDREN))
def test_large_arrays(child):
    """Right in every layout, for any number of threads, without crash or hang."""
    names = list(SEEDS)[child::N_CHILDREN]
    tasks = [task for name in names for task in large_tasks(name, FEW)]
    summary = fuzz_projections.fuzz(tasks)
    assert summary.tried == len(tasks) * fuzz_inputs.INPUTS_PER_CASE
    assert not summary.failures, str(summary)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l1inf", "prox_linf1"])
def test_many_large_arrays(name):
    summary = fuzz_projections.fuzz(large_tasks(name, MANY))
    assert not summary.failures, str(summary)


def test_every_public_function_is_fuzzed():
    """By its name, or several times with options behind the name."""
    fuzzed = [*fuzz_families.FAMILIES, *fuzz_families.NORMS]
    for name in projection.__all__:
        short = name.removeprefix("projection_").removesuffix("_ball")
        if name.startswith(("projection_", "prox_", "norm_")) and short != "hoyer":
            # The projection onto a sparsity has a fuzzer of its own.
            assert any(f"{entry}_".startswith(f"{short}_") for entry in fuzzed), name


@pytest.mark.parametrize("name", ["l1inf", "prox_linf1"])
def test_many_large_arrays_reach_everything(name):
    cases = [fuzz_inputs.make_case(*task[1:]) for task in large_tasks(name, MANY)]
    assert set().union(*map(fuzz_projections.roads, cases)) == {
        *itertools.product(fuzz_inputs.ALL_LAYOUTS, FEW, (False, True)),
        *itertools.product(fuzz_inputs.SHAPES, FEW),
        *fuzz_inputs.KINDS,
        *fuzz_inputs.RADII,
    }


def test_small_cases_reach_everything():
    cases = [fuzz_inputs.make_case(0, index, small=True) for index in range(N_SMALL)]
    assert {case.layout for case in cases} == set(fuzz_inputs.ALL_LAYOUTS)
    problems = {case.problem for case in cases}
    assert {problem.kind for problem in problems} <= set(fuzz_inputs.KINDS)
    assert {problem.radius_kind for problem in problems} == set(fuzz_inputs.RADII)


def test_cases_can_be_repeated():
    """A case depends on its seed and index only."""
    first, again = (fuzz_inputs.make_case(3, 14) for _ in range(2))
    assert first == again != fuzz_inputs.make_case(3, 15)
    groups = fuzz_inputs.make_groups(first.problem)
    fuzz_inputs.make_groups.cache_clear()
    np.testing.assert_array_equal(groups, fuzz_inputs.make_groups(again.problem))


def test_hoyer_oracle_of_vectors_whose_squares_vanish():
    """Columns of any scale: it divided by a norm that had become 0."""
    assert run_case(Task("hoyer", 7, 8)) is None


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.05, 0.6, 0.999, 1.5])
@pytest.mark.parametrize("name", fuzz_families.FAMILIES)
def test_oracle_is_right(name, share):
    """It agrees with the slow reference, and its threshold tells what is zero."""
    family = fuzz_families.FAMILIES[name]
    rng = np.random.default_rng(0)
    for C in (rng.normal(size=(7, 12)), rng.integers(-3, 4, size=(6, 8)) + 0.0):
        weighted = C if family.weights is None else C * family.weights(C)
        rows = C.reshape(1, -1) if family.whole else np.ascontiguousarray(C.T)
        radius = share * fuzz_families.norm_of(weighted, family.orders)
        arguments = [np.full(len(rows), radius) if family.batched else radius]
        if family.weights is not None:
            arguments.append(family.weights(rows))
        result, threshold = family.oracle(rows, *arguments)
        columns = result.reshape(C.shape) if family.whole else result.T
        expected = family.reference(C, radius)
        np.testing.assert_allclose(columns, expected, atol=1e-13, rtol=0)
        vanishing = family.vanishing(rows.T)
        below = np.broadcast_to(vanishing < threshold - 1e-12, rows.T.shape)
        assert not result.T[below].any()
        if not name.startswith("multilevel"):  # where kept slices have zero groups
            above = (vanishing > threshold + 1e-12) & (vanishing < np.inf)
            kept = result.T != 0.0 if above.ndim == 2 else result.T.any(axis=0)
            assert kept[above].all()


# ---------------------------------------------------------------------------
# Faults of the projections


def _leave_something_in_zeros(X, P):
    P[(P == 0) & (X > 0)] = np.finfo(P.dtype).smallest_subnormal


def _write_to_input(X, P):
    if not np.may_share_memory(X, P):
        X.flags.writeable = True
        X[...] = 0.0


def _write_between_entries(X, P):
    if P.base is not None and np.isnan(P.base).any():
        P.base[np.isnan(P.base)] = 0.0


def _write_before_entries(X, P):
    if P.base is not None and P.base.dtype == np.uint8:
        P.base[0] = 0


def _times(factor):
    return lambda X, P: np.multiply(P, factor, out=P)


@pytest.mark.parametrize(
    ("spoil", "n_threads", "message"),
    [
        (_times(-1), None, "has changed its sign"),
        (_times(np.inf), None, "not finite"),
        (_times(1 - 1e-6), None, "not that of the oracle"),
        (_times(1 - 1e-11), None, "norm is below the radius"),
        (_times(1 - 1e-11), None, "inside of the ball has changed"),
        (_times(1 + 1e-12), None, "norm is above the radius"),
        (_leave_something_in_zeros, None, "not exactly zero"),
        (_times(1 - 1e-6), 2, "another number of threads"),
        (_write_to_input, None, "place of the result gives another result"),
        (_write_between_entries, None, "written beside the result"),
        (_write_before_entries, None, "written beside the result"),
    ],
)
def test_fuzz_notices(monkeypatch, spoil, n_threads, message):
    """A projection with a small fault, maybe for a number of threads, does not pass."""
    family = fuzz_families.FAMILIES["bilevel_l1inf"]

    def call(X, *arguments, **options):
        P, threshold = family.call(X, *arguments, **options)
        if n_threads in (None, options["n_threads"]):
            with np.errstate(invalid="ignore"):
                spoil(X, P)
        return P, threshold

    families = fuzz_families.FAMILIES
    monkeypatch.setitem(families, "bilevel_l1inf", replace(family, call=call))
    failures = (run_case(Task("bilevel_l1inf", 0, i, small=True)) for i in range(400))
    assert any(failure is not None and message in failure[0] for failure in failures)


def test_fuzz_notices_wrong_thresholds(monkeypatch):
    family = fuzz_families.FAMILIES["l12"]

    def call(*arguments, **options):
        P, threshold = family.call(*arguments, **options)
        return P, threshold * (1 + 1e-4)

    monkeypatch.setitem(fuzz_families.FAMILIES, "l12", replace(family, call=call))
    failures = [run_case(Task("l12", 0, index, small=True)) for index in range(8)]
    assert any(failure and "threshold" in failure[0] for failure in failures)


# ---------------------------------------------------------------------------
# Child processes. What a child does has to be found by its name there.


def _hang():
    time.sleep(1000.0)


def _leave():
    os._exit(7)


FAULTS = {2: os.abort, 4: _hang, 5: _leave}


def _square_unless_faulty(number, announce):
    announce(f"squaring {number}")
    if number in FAULTS:
        FAULTS[number]()
    return number**2


@pytest.mark.slow
def test_lost_children(capfd):
    """Work that ends its process is reported, and the rest is done by a new one."""
    results = dict(in_children(_square_unless_faulty, range(1, 8), limit=2.0))
    by_signal = results.pop(2)
    if os.name == "nt":  # where there are no signals
        assert by_signal.reason.startswith("ended with exit status")
    else:
        assert by_signal == Lost("ended by SIGABRT", "squaring 2")
    assert results == {
        1: 1,
        3: 9,
        4: Lost("no answer for 2 s", "squaring 4"),
        5: Lost("ended with exit status 7", "squaring 5"),
        6: 36,
        7: 49,
    }


def _leave_at_once(number, announce):
    os._exit(0)


def test_children_without_a_word():
    """Children that cannot even begin do not make an endless loop."""
    with pytest.raises(RuntimeError, match="before its first case"):
        list(in_children(_leave_at_once, range(3), 60.0))


def test_lost_children_are_failures(monkeypatch, capsys):
    """A crash is a failure with a name, a command that repeats it, and a status."""
    lost = Lost("ended by SIGFPE", "n_threads=2, new")
    monkeypatch.setattr(
        fuzz_projections,
        "in_children",
        lambda work, tasks, limit: [
            (task, lost if task.index == 8 else None) for task in tasks
        ],
    )
    command = ["fuzz_projections.py", "--balls", "l1inf", "l12", "--count", "60"]
    monkeypatch.setattr("sys.argv", command)
    assert fuzz_projections.main() == 1
    output = capsys.readouterr().out
    assert "FAILED 1 times: ended by SIGFPE" in output
    assert "n_threads=2, new; --seed 0 --start 8 --count 1 --balls l1inf" in output
    assert output.endswith("60 inputs, 2 failures\n")
    monkeypatch.setattr("sys.argv", [*command, "--start", "9"])
    assert fuzz_projections.main() == 0
    assert capsys.readouterr().out.endswith("60 inputs, 0 failures\n")
