"""A short run of fuzz_projections.py, and proof that it notices wrong results."""

from dataclasses import replace

import fuzz_inputs
import fuzz_projections
import fuzz_targets
import numpy as np
import pytest
from fuzz_families import FAMILIES, NORMS

from skproj import projection

N_INPUTS = 250  # for each projection


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_projection_of_adversarial_inputs(name):
    """Right, inside the ball to rounding, and clean in every layout and scale."""
    summaries = fuzz_projections.fuzz([name], 0, range(N_INPUTS), strict_norm=True)
    assert summaries[name].tried == N_INPUTS
    assert not summaries[name].failures, str(summaries[name])


def test_every_public_function_is_fuzzed():
    """By its name, or several times with options behind the name."""
    fuzzed = [*FAMILIES, *NORMS]
    for name in projection.__all__:
        short = name.removeprefix("projection_").removesuffix("_ball")
        if name.startswith(("projection_", "prox_", "norm_")) and short != "hoyer":
            # The projection onto a sparsity has a fuzzer of its own.
            assert any(f"{entry}_".startswith(f"{short}_") for entry in fuzzed), name


def test_inputs_reach_every_kind():
    """No entry of a table is left out, and both loops for many threads are reached."""
    cases = [fuzz_inputs.make_case(0, index) for index in range(5000)]
    assert {case.kind for case in cases} == set(fuzz_inputs.KINDS)
    assert {case.layout for case in cases} == set(fuzz_inputs.LAYOUTS)
    assert {case.out_layout for case in cases} == set(fuzz_inputs.LAYOUTS)
    assert {case.radius_kind for case in cases} == set(fuzz_inputs.RADII)
    shapes = {case.columns.shape for case in cases}
    assert {(1, 1), (3000, 3), (3, 3000), (3000, 23), (23, 3000)} <= shapes


def test_inputs_can_be_repeated():
    """An input depends on its seed and index only."""
    first, again = (fuzz_inputs.make_case(3, 14) for _ in range(2))
    np.testing.assert_array_equal(first.columns, again.columns)
    assert str(first) == str(again)
    assert str(first) != str(fuzz_inputs.make_case(3, 15))


def _spoiled(projection, spoil):
    """Let `spoil` change the arrays X and P after a projection."""

    def wrapper(X, radius, *, return_threshold=False, **arguments):
        P, threshold = projection(X, radius, return_threshold=True, **arguments)
        spoil(X, P)
        return (P, threshold) if return_threshold else P

    return wrapper


def _turn_signs(X, P):
    P *= -1


def _shrink(X, P):
    P *= 1 - 1e-6


def _stretch(X, P):
    P *= 1 + 1e-12


def _leave_something_in_zeros(X, P):
    P[(P == 0) & (X > 0)] = np.finfo(P.dtype).smallest_subnormal


def _write_to_input(X, P):
    if X.flags.writeable and not np.may_share_memory(X, P):
        X[...] = 0.0


def _write_between_entries(X, P):
    if P.base is not None:
        P.base[np.isnan(P.base)] = 0.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_turn_signs, "a sign has changed"),
        (_shrink, "not that of the oracle"),
        (_stretch, "norm is above the radius"),
        (_leave_something_in_zeros, "not exactly zero"),
        (_write_to_input, "X has changed"),
        (_write_between_entries, "written beside the array"),
    ],
)
def test_fuzz_notices(monkeypatch, spoil, message):
    """A projection with a small fault does not pass."""
    target = fuzz_targets.TARGETS["l1inf"]
    faulty = replace(target, projection=_spoiled(target.projection, spoil))
    monkeypatch.setitem(fuzz_targets.TARGETS, "l1inf", faulty)
    summary = fuzz_projections.fuzz(["l1inf"], 0, range(100), strict_norm=True)["l1inf"]
    assert any(message in failure for failure in summary.failures), str(summary)
