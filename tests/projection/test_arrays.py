"""Arrays of other libraries: the results are of their kind, without copies."""

import numpy as np
import pytest
import sklearn
import torch

from skproj import projection
from skproj.nn import functional
from skproj.projection import (
    BALLS,
    hoyer_sparsity,
    norm_l1,
    norm_l1inf,
    projection_hoyer,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_multilevel,
    projection_simplex,
    projection_weighted_l1_ball,
    prox_l12,
    radius_for_sparsity,
)

CALLS = {
    **{
        name: lambda X, f=ball.projection, **options: f(X, 1.5, **options)
        for name, ball in BALLS.items()
    },
    "simplex": projection_simplex,
    "weighted": lambda X, **options: projection_weighted_l1_ball(X, 1.5, 2, **options),
    "multilevel": lambda X, **options: projection_multilevel(X, 1.5, (1, 2), **options),
    "hoyer": lambda X, **options: projection_hoyer(X, 0.7, **options),
    "prox": lambda X, **options: prox_l12(X, 0.5, **options),
    "Ball.project": lambda X, **options: BALLS["l1inf"].project(X, 1.5, **options),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class OnlyDLPack:
    """An array that others can read, and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Named(OnlyDLPack):
    """An array of a library that has nothing but `from_dlpack`."""

    def __array_namespace__(self, *, api_version=None):
        return Named

    @staticmethod
    def from_dlpack(array):
        return Named(np.from_dlpack(array))


class OnDevice(Named):
    """An array that is not in the memory of the CPU."""

    def __dlpack__(self, **options):
        raise BufferError("the memory is elsewhere")

    def __dlpack_device__(self):
        return 2, 0


def strict(X):
    return pytest.importorskip("array_api_strict").asarray(X)


KINDS = {"torch": torch.from_numpy, "named": Named, "strict": strict}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture
def X(rng):
    return rng.normal(size=(6, 4))


def address(array):
    if isinstance(array, torch.Tensor):
        return array.data_ptr()
    return np.from_dlpack(array).__array_interface__["data"][0]


@each_kind
@each_call
def test_result_is_of_the_kind_of_the_input(call, kind, X):
    P = call(kind(X))
    assert type(P) is type(kind(X))
    np.testing.assert_array_equal(np.from_dlpack(P), call(X))


@each_kind
@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.astype(np.float32),
        lambda X: X[::2],
        lambda X: X.T,
        lambda X: X[:, 1:3],
        lambda X: (3 * X).astype(np.int64),
        lambda X: X[:0],
    ],
    ids=["float32", "strided", "transposed", "part", "integer", "empty"],
)
def test_types_and_strides_are_read_as_they_are(change, kind, X):
    X = change(X)
    P = projection_l1inf_ball(kind(X), 1.0)
    assert type(P) is type(kind(X))
    expected = projection_l1inf_ball(X, 1.0)
    assert np.from_dlpack(P).dtype == expected.dtype
    np.testing.assert_array_equal(np.from_dlpack(P), expected)


@each_kind
@each_call
def test_result_goes_to_out_of_the_same_kind(call, kind, X):
    out = kind(np.empty_like(X))
    where = address(out)
    assert call(kind(X), out=out) is out
    assert address(out) == where
    np.testing.assert_array_equal(np.from_dlpack(out), call(X))


@pytest.mark.parametrize("kind", [torch.from_numpy, Named], ids=["torch", "named"])
def test_input_is_not_copied(kind, X, monkeypatch):
    seen = []
    original = projection._engine.check_array
    monkeypatch.setattr(
        projection._engine,
        "check_array",
        lambda X, **options: seen.append(X) or original(X, **options),
    )
    projection_l1inf_ball(kind(X), 1.0)
    assert np.shares_memory(seen[0], X)


def test_read_only_memory_is_read_and_not_written(X):
    X.flags.writeable = False
    P = projection_l1inf_ball(Named(X), 1.0)
    np.testing.assert_array_equal(P.array, projection_l1inf_ball(X, 1.0))
    with pytest.raises(ValueError, match="out must be writeable"):
        projection_l1inf_ball(Named(X), 1.0, out=Named(X))


def test_array_without_a_library_becomes_one_of_numpy(X):
    P = projection_l1inf_ball(OnlyDLPack(X), 1.0)
    assert type(P) is np.ndarray
    np.testing.assert_array_equal(P, projection_l1inf_ball(X, 1.0))


@each_kind
def test_thresholds_are_numbers_or_of_the_kind_of_the_input(kind, X):
    P, threshold = projection_l1_ball(kind(X), 1.0, return_threshold=True)
    assert type(P) is type(kind(X))
    assert type(threshold) is float
    _, thresholds = projection_l1_ball(kind(X), 1.0, axis=0, return_threshold=True)
    _, expected = projection_l1_ball(X, 1.0, axis=0, return_threshold=True)
    assert type(thresholds) is type(kind(X))
    np.testing.assert_array_equal(np.from_dlpack(thresholds), expected)


@each_kind
def test_norms_are_numbers_or_of_the_kind_of_the_input(kind, X):
    assert norm_l1inf(kind(X)) == norm_l1inf(X)
    assert type(norm_l1(kind(X), axis=0)) is type(kind(X))
    assert type(hoyer_sparsity(kind(X))) is type(kind(X))
    assert radius_for_sparsity(kind(X), n_groups=2) == radius_for_sparsity(
        X, n_groups=2
    )


@each_kind
def test_argument_may_be_passed_by_name(kind, X):
    P = projection_l1inf_ball(radius=1.0, X=kind(X))
    assert type(P) is type(kind(X))


@each_kind
def test_lists_of_vectors_stay_lists_of_their_kind(kind, rng):
    arrays = [rng.normal(size=size) for size in (5, 8)]
    weights = [np.ones(5), np.full(8, 2.0)]
    P, mu = projection_hoyer(
        list(map(kind, arrays)),
        0.6,
        weights=list(map(kind, weights)),
        return_multiplier=True,
    )
    expected, expected_mu = projection_hoyer(
        arrays, 0.6, weights=weights, return_multiplier=True
    )
    assert mu == expected_mu
    for p, q in zip(P, expected, strict=True):
        assert type(p) is type(kind(q))
        np.testing.assert_array_equal(np.from_dlpack(p), q)
    outs = list(map(kind, map(np.empty_like, arrays)))
    written = projection_hoyer(list(map(kind, arrays)), 0.6, out=outs)
    assert all(p is out for p, out in zip(written, outs, strict=True))


def test_weights_may_be_of_the_kind_of_the_input(X, rng):
    weights = rng.uniform(0.5, 2.0, size=4)
    P = projection_weighted_l1_ball(Named(X), 1.0, Named(weights))
    np.testing.assert_array_equal(P.array, projection_weighted_l1_ball(X, 1.0, weights))


def test_out_of_another_kind_is_refused(X):
    with pytest.raises(TypeError, match="out must be a Tensor, as X is, got ndarray"):
        projection_l1inf_ball(torch.from_numpy(X), 1.0, out=X)
    with pytest.raises(TypeError, match="out must be a NumPy array, got Tensor"):
        projection_l1inf_ball(X, 1.0, out=torch.from_numpy(X))


def test_array_on_a_device_is_refused(X):
    message = "X must be an array in the memory of the CPU.*OnDevice: the memory is"
    with pytest.raises(TypeError, match=message):
        projection_l1inf_ball(OnDevice(X), 1.0)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2, dtype=torch.bfloat16),
        torch.eye(2).to_sparse(),
    ],
    ids=["bfloat16", "sparse"],
)
def test_tensor_that_numpy_does_not_have_is_refused(tensor):
    with pytest.raises(TypeError, match="X must be an array in the memory of the CPU"):
        projection_l1inf_ball(tensor, 1.0)


@pytest.mark.parametrize("name", ["l1", "l12", "l1inf", "bilevel_l1inf"])
def test_tensor_keeps_its_gradient(name, X):
    X = torch.from_numpy(X).requires_grad_()
    call = getattr(projection, f"projection_{name}_ball")
    P = call(X, 1.5, axis=1, n_threads=1)
    expected = getattr(functional, f"projection_{name}_ball")(X, 1.5, dim=1)
    assert P.requires_grad
    torch.testing.assert_close(P, expected, rtol=0, atol=0)


def test_options_of_levels_and_vectors_reach_the_functions_on_tensors(X):
    tensor = torch.from_numpy(X).requires_grad_()
    P = projection_multilevel(tensor, 1.5, (1, 2), axes=(0, 1))
    assert P.requires_grad
    expected = projection_multilevel(X, 1.5, (1, 2), axes=(0, 1))
    np.testing.assert_array_equal(P.detach(), expected)
    P, mu = projection_hoyer(tensor, 0.7, axis=1, return_multiplier=True)
    assert P.requires_grad
    assert mu == projection_hoyer(X, 0.7, axis=1, return_multiplier=True)[1]
    [P] = projection_hoyer([tensor], 0.7)
    assert P.requires_grad


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_tangent_of_forward_mode_is_kept(X):
    def norm_of_part(X):
        return projection_l1inf_ball(X, 1.5).sum()

    with torch.autograd.forward_ad.dual_level():
        tensor = torch.from_numpy(X)
        dual = torch.autograd.forward_ad.make_dual(tensor, torch.ones_like(tensor))
        result = torch.autograd.forward_ad.unpack_dual(norm_of_part(dual))
        assert result.tangent is not None


def test_tensor_on_a_device_stays_there(X):
    with pytest.raises(TypeError, match="X is on the meta device"):
        projection_l1inf_ball(torch.from_numpy(X).to("meta"), 1.5)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda X: norm_l1inf(X), "there is no norm_l1inf"),
        (lambda X: prox_l12(X, 1.0), "there is no prox_l12"),
        (lambda X: projection_l1_ball(X, 1.0, out=X), "out cannot be given"),
        (
            lambda X: projection_l1_ball(X, 1.0, return_threshold=True),
            "return_threshold cannot be given",
        ),
    ],
    ids=["norm", "prox", "out", "threshold"],
)
def test_what_functions_on_tensors_lack_is_refused(call, argument, X):
    message = rf"^X is a tensor that requires a gradient.*{argument}.*X\.detach\(\)"
    with pytest.raises(TypeError, match=message):
        call(torch.from_numpy(X).requires_grad_())


@pytest.mark.parametrize(
    "X", [[[3.0, 1.0]], np.ma.asarray([[3.0, 1.0]]).filled().view(np.matrix)]
)
def test_other_input_becomes_an_array_of_numpy(X):
    assert type(projection_l1inf_ball(X, 1.0)) is np.ndarray


@each_call
def test_dispatch_of_scikit_learn_changes_nothing(call, X, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=True):
        P = call(torch.from_numpy(X))
    assert type(P) is torch.Tensor
    np.testing.assert_array_equal(P, call(X))
