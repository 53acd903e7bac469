"""Derivatives of the group sparse projection."""

import fuzz_hoyer
import pytest
import torch
from hoyer_cases import by_script_of_torch
from torch.autograd import gradcheck, gradgradcheck

import skproj.nn.functional as F


def check_derivatives(function, *tensors):
    """Compare first and second derivatives of both modes with finite differences."""
    tensors = [X.clone().requires_grad_() for X in tensors]
    assert gradcheck(
        function,
        tensors,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(
        function,
        tensors,
        check_fwd_over_rev=True,
        check_batched_grad=True,
        fast_mode=True,
    )


def random_group(*sizes, seed=0):
    """Make float64 tensors of one dimension."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dtype=torch.float64, generator=generator) for n in sizes]


@by_script_of_torch
@pytest.mark.parametrize(
    ("scale", "per_vector", "sparsity"),
    [
        ("ls", False, 0.05),
        ("ls", False, 0.6),
        ("ls", False, 1.0),
        ("ls", True, 0.4),
        ("ls", True, 0.9),
        ("keep_l2", False, 0.4),
        ("keep_l2", False, 0.9),
        ("keep_l2", True, 0.6),
        ("keep_l2", True, 1.0),
    ],
)
def test_derivatives(scale, per_vector, sparsity):
    options = {"scale": scale, "per_vector": per_vector}
    [X] = random_group(15)
    check_derivatives(
        lambda X: F.projection_hoyer(X, sparsity, **options), X.reshape(5, 3)
    )


@by_script_of_torch
@pytest.mark.parametrize("dim", [1, (0, 2), (2, 0), None])
def test_derivatives_of_slices(dim):
    [X] = random_group(12)
    check_derivatives(lambda X: F.projection_hoyer(X, 0.6, dim=dim), X.reshape(2, 2, 3))


@by_script_of_torch
@pytest.mark.parametrize(("scale", "per_vector"), [("ls", False), ("keep_l2", True)])
def test_derivatives_of_vectors_of_different_lengths(scale, per_vector):
    """One of a single entry among them, which stays as it is."""

    def project(*group):
        return tuple(F.projection_hoyer(group, 0.6, scale=scale, per_vector=per_vector))

    check_derivatives(project, *random_group(4, 1, 6))


@by_script_of_torch
@pytest.mark.parametrize("scale", ["ls", "keep_l2"])
def test_derivatives_with_weights(scale):
    """One of them is 0, of an entry that never goes."""
    W = [w.abs() + 0.2 for w in random_group(5, 8, seed=1)]
    W[0][2] = 0.0

    def project(*group):
        return tuple(F.projection_hoyer(group, 0.6, weights=W, scale=scale))

    check_derivatives(project, *random_group(5, 8))


# The largest entries of a vector, and the others. At these sparsities the average is
# met without a jump, or jumps where the five are spent and others than all are left.
TIED = torch.tensor([0.7, 0.7, 0.7, 0.7, -0.7, 0.0, 0.0], dtype=torch.float64)
REST = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.3, -0.2], dtype=torch.float64)
OTHER = torch.tensor([1.0, -0.8, 0.9, 0.4, 0.05, 0.3], dtype=torch.float64)
JUMPS = {0.3: False, 0.35: False, 0.5: True, 0.6: True}


@pytest.mark.parametrize("sparsity", JUMPS)
def test_where_equal_entries_make_the_average_jump(sparsity):
    """The tests below are of both kinds: at a jump equal entries become unequal."""
    P, _ = F.projection_hoyer([TIED + REST, OTHER], sparsity)
    assert (len(P[:5].abs().unique()) > 1) == JUMPS[sparsity]


@by_script_of_torch
@pytest.mark.parametrize(
    ("sparsity", "scale"),
    [(0.3, "ls"), (0.35, "keep_l2"), (0.5, "keep_l2"), (0.6, "ls")],
)
def test_derivatives_with_equal_entries(sparsity, scale):
    """Exact for all changes but those that make entries unequal at a jump."""

    def project(size, rest, other):
        group = [TIED * size + REST * rest, other]
        return tuple(F.projection_hoyer(group, sparsity, scale=scale))

    one = torch.ones((), dtype=torch.float64)
    check_derivatives(project, one, one, OTHER)
    if not JUMPS[sparsity]:
        check_derivatives(
            lambda *group: tuple(F.projection_hoyer(group, sparsity)),
            TIED + REST,
            OTHER,
        )


@by_script_of_torch
def test_derivatives_at_a_jump_with_weights():
    """Where entries are as their weights, and where one is left, or another one."""
    weights = [torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)]
    weights.append(torch.ones(6, dtype=torch.float64))
    rest = torch.tensor([0.0, 0.0, 0.0, 0.4], dtype=torch.float64)
    proportional = weights[0] * (rest == 0.0)

    def project(size, other, sparsity):
        group = [proportional * size + rest, other]
        return tuple(F.projection_hoyer(group, sparsity, weights=weights))

    one = torch.ones((), dtype=torch.float64)
    for sparsity in (0.5, 0.6):
        check_derivatives(lambda *X, s=sparsity: project(*X, s), one, OTHER)


def test_gradient_along_tied_directions(rng):
    """By differences, for changes that keep equal what is equal, of many families."""
    for index in range(63):
        case = fuzz_hoyer.make_case(0, index)
        unusual = {"near ties", "few near ties", "tiny", "huge"}
        if unusual & set(case.families) or sum(map(len, case.vectors)) > 500:
            continue
        X = [torch.from_numpy(x.astype(float)) for x in case.vectors]
        W = case.weights and [torch.from_numpy(w) for w in case.weights]
        magnitudes = torch.cat(X).abs().unique()
        changes = magnitudes * torch.from_numpy(rng.standard_normal(len(magnitudes)))
        T = [changes[torch.searchsorted(magnitudes, x.abs())] * x.sign() for x in X]
        G = [torch.from_numpy(rng.standard_normal(len(x))) for x in X]

        def loss(t, X=X, T=T, G=G, W=W, case=case):
            moved = [x + t * d for x, d in zip(X, T, strict=True)]
            P = F.projection_hoyer(moved, case.sparsity, weights=W)
            return sum((g * p).sum() for g, p in zip(G, P, strict=True))

        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        [slope] = torch.autograd.grad(loss(t), t)
        # At a kink one of the sides counts, and a kink may be near.
        differences = [
            (loss(a * step) - loss(b * step)) / ((a - b) * step)
            for step in (1e-4, 1e-5, 1e-6, 1e-7)
            for a, b in ((0.5, -0.5), (1, 0), (0, -1))
        ]
        scale = 1e-3 * (slope.abs() + torch.cat(X).abs().max())
        assert min((slope - d).abs() for d in differences) <= scale, case


def test_gradient_does_not_depend_on_the_scale():
    [X] = random_group(24)
    gradients = []
    for factor in (1.0, 1e-200, 1e200):
        Y = (X.reshape(6, 4) * factor).requires_grad_()
        F.projection_hoyer(Y, 0.6)[0].sum().backward()
        gradients.append(Y.grad)
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_other_types(dtype):
    """That of the same numbers in float64, rounded."""
    X = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    gradients = []
    for Y in (X.clone(), X.double()):
        Y.requires_grad_()
        F.projection_hoyer(Y, 0.7)[::2].sum().backward()
        gradients.append(Y.grad.double())
    torch.testing.assert_close(*gradients, rtol=0, atol=50 * torch.finfo(dtype).eps)


def test_gradient_where_nothing_changes():
    """The identity, and 0 for a vector of zeros in a group that is made sparser."""
    X = torch.randn(6, 4, dtype=torch.float64).requires_grad_()
    G = torch.randn(6, 4, dtype=torch.float64)
    assert torch.equal(torch.autograd.grad(F.projection_hoyer(X, 0.0), X, G)[0], G)
    X = torch.cat([X.detach()[:, :3], torch.zeros(6, 1)], dim=1).requires_grad_()
    gradient = torch.autograd.grad(F.projection_hoyer(X, 0.8), X, G)[0]
    assert gradient.isfinite().all()
    assert not gradient[:, 3].any()


def test_gradient_of_sparsity():
    X = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(F.hoyer_sparsity, X)
    Z = torch.zeros(3, 2, requires_grad=True)
    levels = F.hoyer_sparsity(Z)
    assert levels.tolist() == [1.0, 1.0]
    levels.sum().backward()
    assert not Z.grad.isnan().any()
