"""A short run of fuzz_large.py, and proof that it notices faults of every kind."""

import itertools
import os
import time
from dataclasses import replace

import fuzz_families
import fuzz_large
import fuzz_large_checks
import fuzz_large_inputs
import numpy as np
import pytest
from fuzz_children import Lost, in_children
from fuzz_targets import TARGETS

from skproj.projection import _reference

# Cases of each ball by the exponent of the size. The exact l1,inf ball branches by the
# size and by the length of the groups.
FEW = {16: 16, 18: 6, 20: 2}
MANY = {16: 99, 18: 99, 20: 99}
# Each ball has a seed of its own; these two find all faults that there have been.
BALLS = {name: (seed, FEW) for seed, name in enumerate(fuzz_large_checks.CHECKS)} | {
    "l1inf": (33, MANY),
    "prox_linf1": (60, MANY),
}


CASES = [
    pytest.param(name, marks=pytest.mark.slow) if most is MANY else name
    for name, (_, most) in BALLS.items()
]


@pytest.mark.parametrize("name", CASES)
def test_large_arrays(name):
    """Right in every layout, for any number of threads, without crash or hang."""
    seed, most = BALLS[name]
    indices = fuzz_large.sample(seed, most)
    summary = fuzz_large.fuzz(name, seed, indices)
    assert summary.tried == len(indices) * fuzz_large_inputs.INPUTS_PER_CASE
    if summary.failures:
        pytest.fail(f"{name}: {summary}")


def test_samples_reach_everything():
    """All balls together, and the exact l1,inf ball alone, leave out no entry."""
    everything = {
        *itertools.product(fuzz_large_inputs.ALL_LAYOUTS, FEW, (False, True)),
        *itertools.product(fuzz_large_inputs.SHAPES, FEW),
        *fuzz_large_inputs.KINDS,
        *fuzz_large_inputs.LARGE_RADII,
    }
    reached = {
        name: set().union(
            *(
                fuzz_large.roads(fuzz_large_inputs.make_case(seed, index))
                for index in fuzz_large.sample(seed, most)
            )
        )
        for name, (seed, most) in BALLS.items()
    }
    assert set().union(*reached.values()) == everything
    assert reached["l1inf"] == everything
    assert reached["prox_linf1"] == everything


def test_sizes_of_arrays():
    """The numbers of entries lie around the powers of two."""
    sizes = {exponent: set() for exponent in fuzz_large_inputs.EXPONENTS}
    for number in range(2000):
        problem = fuzz_large_inputs.make_problem(0, number)
        if problem.shape_kind in ("groups of one", "one group"):
            sizes[problem.exponent].add(np.prod(problem.shape) - 2**problem.exponent)
    assert all(found == set(fuzz_large_inputs.MORE) for found in sizes.values())


def test_cases_can_be_repeated():
    """A case depends on its seed and index only."""
    first, again = (fuzz_large_inputs.make_case(3, 14) for _ in range(2))
    assert first == again != fuzz_large_inputs.make_case(3, 15)
    groups = fuzz_large_inputs.make_groups(first.problem)
    fuzz_large_inputs.make_groups.cache_clear()
    np.testing.assert_array_equal(groups, fuzz_large_inputs.make_groups(again.problem))


def test_hoyer_oracle_of_vectors_whose_squares_vanish():
    """Columns of any scale: it divided by a norm that had become 0."""
    summary = fuzz_large.fuzz("hoyer", 7, [8])
    assert summary.tried > 0
    assert not summary.failures


# ---------------------------------------------------------------------------
# The oracles

REFERENCES = {
    name: lambda C, radius, target=target: target.oracle(C, radius)[0]
    for name, target in TARGETS.items()
} | {
    "prox_l1": _reference.prox_l1,
    "prox_l12": _reference.prox_l12,
    "prox_l1inf": _reference.prox_l1inf,
    "prox_linf1": _reference.prox_linf1,
}


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.05, 0.6, 0.999, 1.5])
@pytest.mark.parametrize("name", REFERENCES)
def test_fast_oracle_is_right(name, share):
    """It agrees with the slow one, and its threshold tells what is zero."""
    family = fuzz_families.FAMILIES[name]
    rng = np.random.default_rng(0)
    for C in (rng.normal(size=(7, 12)), rng.integers(-3, 4, size=(6, 8)) + 0.0):
        weights = None if family.weights is None else family.weights(C)
        norm = family.norm(C if weights is None else C * weights)
        rows = C.reshape(1, -1) if family.whole else np.ascontiguousarray(C.T)
        radius = share * norm
        arguments = [np.full(len(rows), radius) if family.batched else radius]
        if weights is not None:
            arguments.append(family.weights(rows))
        result, threshold = family.oracle(rows, *arguments)
        columns = result.reshape(C.shape) if family.whole else result.T
        expected = REFERENCES[name](C, radius)
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


def _spoiled(function, spoil):
    """Let `spoil` change X, the result or the number of threads."""

    def call(X, *arguments, **options):
        P, threshold = function(X, *arguments, **options)
        spoil(X, P, options["n_threads"])
        return P, threshold

    return call


def _turn_signs(X, P, n_threads):
    P *= -1


def _shrink(X, P, n_threads):
    P *= 1 - 1e-6


def _shrink_a_little(X, P, n_threads):
    P *= 1 - 1e-11


def _stretch(X, P, n_threads):
    P *= 1 + 1e-12


def _make_infinite(X, P, n_threads):
    P[P == P.max()] = np.inf


def _leave_something_in_zeros(X, P, n_threads):
    P[(P == 0) & (X > 0)] = np.finfo(P.dtype).smallest_subnormal


def _round_with_two_threads(X, P, n_threads):
    if n_threads == 2:
        P *= 1 - 2 * np.finfo(P.dtype).eps


def _write_to_input(X, P, n_threads):
    if not np.may_share_memory(X, P):
        X.flags.writeable = True
        X[...] = 0.0


def _write_between_entries(X, P, n_threads):
    if P.base is not None and np.isnan(P.base).any():
        P.base[np.isnan(P.base)] = 0.0


def _write_before_entries(X, P, n_threads):
    if P.base is not None and P.base.dtype == np.uint8:
        P.base[0] = 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_turn_signs, "has changed its sign"),
        (_make_infinite, "not finite"),
        (_shrink, "not that of the oracle"),
        (_shrink_a_little, "norm is below the radius"),
        (_stretch, "norm is above the radius"),
        (_leave_something_in_zeros, "not exactly zero"),
        (_round_with_two_threads, "another number of threads"),
        (_write_to_input, "place of the result gives another result"),
        (_write_between_entries, "written beside the result"),
        (_write_before_entries, "written beside the result"),
    ],
)
def test_fuzz_notices(monkeypatch, spoil, message):
    """A projection with a small fault does not pass."""
    family = fuzz_families.FAMILIES["bilevel_l1inf"]
    monkeypatch.setitem(
        fuzz_families.FAMILIES,
        "bilevel_l1inf",
        replace(family, call=_spoiled(family.call, spoil)),
    )
    failures = (
        fuzz_large.run_case("bilevel_l1inf", 0, index, lambda text: None)
        for index in fuzz_large.sample(0, {16: 40})
    )
    assert any(failure is not None and message in failure[0] for failure in failures)


def test_fuzz_notices_wrong_thresholds(monkeypatch):
    family = fuzz_families.FAMILIES["l12"]

    def call(*arguments, **options):
        P, threshold = family.call(*arguments, **options)
        return P, threshold * (1 + 1e-4)

    monkeypatch.setitem(fuzz_families.FAMILIES, "l12", replace(family, call=call))
    failures = [
        fuzz_large.run_case("l12", 0, index, lambda text: None) for index in range(8)
    ]
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
        fuzz_large,
        "in_children",
        lambda work, indices, limit: [(i, lost if i == 8 else None) for i in indices],
    )
    command = ["fuzz_large.py", "--balls", "l1inf", "l12", "--count", "60"]
    monkeypatch.setattr("sys.argv", command)
    assert fuzz_large.main() == 1
    output = capsys.readouterr().out
    assert "FAILED 1 times: ended by SIGFPE" in output
    assert "n_threads=2, new; --seed 0 --start 8 --count 1 --balls l1inf" in output
    assert output.endswith("60 inputs, 2 failures\n")
    monkeypatch.setattr("sys.argv", [*command, "--start", "9"])
    assert fuzz_large.main() == 0
    assert capsys.readouterr().out.endswith("60 inputs, 0 failures\n")
