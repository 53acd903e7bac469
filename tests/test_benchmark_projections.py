"""The comparison of the projections with the authors' published code."""

import numpy as np
import pytest

from skproj.projection import BALLS

# The functions of the extension module, of which one is wrong.
PUBLISHED = """
from skproj.nn.functional import projection_bilevel_l11_ball as bilevel_l11
from skproj.nn.functional import projection_bilevel_l1inf_ball as bilevel_l1inf
from skproj.nn.functional import projection_l1_ball as l1
from skproj.nn.functional import projection_l1inf_ball as l1inf


def proj_l1(y, radius):
    return l1(y, radius)


def proj_l1infty(y, radius):
    return l1inf(y, radius, dim=1)


def proj_l1infty_col(y, radius):
    return l1inf(y, radius, dim=0)


def proj_l11_bilevel(y, radius):
    return bilevel_l11(y, radius, dim=1)


def proj_l11_bilevel_col(y, radius):
    return 2 * bilevel_l11(y, radius, dim=0)


def proj_l1infty_bilevel(y, radius):
    return bilevel_l1inf(y, radius, dim=1)


def proj_l1infty_bilevel_col(y, radius):
    return bilevel_l1inf(y, radius, dim=0)
"""


@pytest.fixture
def peers(import_benchmark):
    return import_benchmark("peers")


def test_published_functions_are_called_by_axis(peers, tmp_path):
    path = tmp_path / "published.cpython.py"
    path.write_text(PUBLISHED, encoding="utf-8")
    found, missing = peers.load([], path)
    assert not missing
    assert {peer.library for peer in found} == {"published"}
    X = np.random.default_rng(0).normal(size=(6, 5))
    wrong = []
    for peer in found:
        assert peer.takes(X.dtype)
        assert not peer.takes(np.dtype(np.float32))
        for axis in (0, 1):
            expected = BALLS[peer.operator].project(X, 2.0, axis=axis)
            if not np.allclose(peer.project(X, 2.0, axis), expected):
                wrong.append((peer.operator, axis))
    assert wrong == [("bilevel_l11", 0)]
