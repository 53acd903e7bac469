"""Noise that is drawn once and cut from changing places."""

import pytest
import torch

from skproj.nn._training._noise import MIN_DRAWN, HiddenNoise, NoiseSource


def seeded():
    return torch.Generator().manual_seed(0)


def draw(source, shape, generator, dtype=torch.float32, scale=1.0):
    X = torch.zeros(shape, dtype=dtype)
    source.add_(X, scale, generator)
    return X


def test_first_numbers_are_new():
    generator, reference, source = seeded(), seeded(), NoiseSource()
    shape = (MIN_DRAWN // 4 // 100, 100)
    for _ in range(4):
        noise = draw(source, shape, generator)
        numbers = torch.empty(shape, dtype=torch.float64).normal_(generator=reference)
        assert torch.equal(noise, numbers.float())


def test_later_blocks_are_cut_from_the_first_ones():
    generator, source = seeded(), NoiseSource()
    shape = (2, MIN_DRAWN // 4)
    first = torch.cat([draw(source, shape, generator).flatten() for _ in range(2)])
    starts, signs = set(), set()
    for _ in range(10):
        block = draw(source, shape, generator)
        (start,) = (first.abs() == block[0, 0].abs()).nonzero()[:, 0].tolist()
        rows = first[start : start + block.numel()].view(shape)
        sign = block[:, :1] / rows[:, :1]
        torch.testing.assert_close(sign.abs(), torch.ones(2, 1))
        assert torch.equal(block, rows * sign)
        starts.add(start)
        signs.add(tuple(sign.flatten().tolist()))
    assert len(starts) == 10
    assert len(signs) > 1


def test_large_blocks_are_cut_from_twice_their_size():
    generator, source = seeded(), NoiseSource()
    shape = (3, MIN_DRAWN)
    first = [draw(source, shape, generator) for _ in range(2)]
    later = draw(source, shape, generator)
    assert torch.isin(later[:, :100].abs(), torch.cat(first).abs()).all()
    assert not any(torch.equal(later.abs(), block.abs()) for block in first)


@pytest.mark.parametrize("shape", [(500, 700), (2, 500, 700)])
def test_same_seed_gives_same_noise(shape):
    results = []
    for _ in range(2):
        generator, source = seeded(), NoiseSource()
        results.append([draw(source, shape, generator) for _ in range(6)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert len(shape) == 2 or torch.equal(results[0][-1][0], results[0][-1][1])


def test_blocks_of_several_sizes_and_types():
    generator, source = seeded(), NoiseSource()
    for dtype in (torch.float32, torch.float64, torch.float32):
        for shape in ((MIN_DRAWN // 2, 1), (3, 5), (0, 4), (MIN_DRAWN, 3), (1, 1)):
            noise = draw(source, shape, generator, dtype)
            assert torch.isfinite(noise).all()
    noise = draw(source, (500, 400), generator, scale=3.0)
    assert abs(noise.mean()) < 0.06
    assert abs(noise.std() - 3.0) < 0.06


@pytest.mark.parametrize("n_features", [4, 60])
def test_hidden_noise_has_the_moments_of_noise_on_the_input(n_features):
    """Also of fewer features than units, whose noise has fewer dimensions."""
    n, scale, generator = 200_000, 0.5, seeded()
    W = torch.randn(12, n_features, generator=generator) / n_features**0.5
    noise = HiddenNoise(W, 6, NoiseSource(), scale, generator)
    Z = torch.zeros(12, n)
    noise.add_(Z)
    covariance = scale**2 * torch.block_diag(W[:6] @ W[:6].T, W[6:] @ W[6:].T)
    torch.testing.assert_close(Z @ Z.T / n, covariance, rtol=0, atol=5e-3)
    assert Z.mean(dim=1).abs().max() < 5e-3


def test_hidden_noise_gives_the_gradient_of_noise_on_the_input():
    """In the mean: dz e', with a gradient dz that depends on the noise e."""
    n, scale, n_features, generator = 400_000, 0.5, 12, seeded()
    W = torch.randn(6, n_features, generator=generator) / n_features**0.5
    e = scale * torch.randn(n_features, n, generator=generator)
    expected = (W @ e).tanh() @ e.T / n
    noise = HiddenNoise(W, 3, NoiseSource(), scale, generator)
    Z = torch.zeros(6, n)
    noise.add_(Z)
    gradient = torch.ones_like(W)
    noise.add_gradient_(gradient, Z.tanh() / n)
    torch.testing.assert_close(gradient - 1.0, expected, rtol=0, atol=3e-3)


def test_gradient_varies_as_that_of_noise_on_the_input():
    """Of few samples, with many features, whose weights the noise hardly reaches."""
    n_features, generator = 20_000, seeded()
    W = torch.randn(6, n_features, generator=generator) / n_features**0.5
    dZ = torch.randn(6, 7, generator=generator)
    noise, source = None, NoiseSource()
    for _ in range(3):  # new numbers, and those that were drawn before
        noise = HiddenNoise(W, 3, source, 0.5, generator)
        noise.add_(torch.zeros(6, 7))
        noise.add_gradient_(gradient := torch.zeros_like(W), dZ)
        expected = 0.5 * dZ.norm(dim=1)
        torch.testing.assert_close(gradient.std(dim=1), expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("n_features", [5, 100])
def test_gradient_of_few_features_varies_as_that_of_noise_on_the_input(n_features):
    """With 40 units: each of them, and also what its weights see of its gradient."""
    n_draws, n, scale, generator = 3000, 8, 0.7, seeded()
    W = torch.randn(80, n_features, generator=generator) / n_features**0.5
    dZ = torch.randn(80, n, generator=generator)
    source, gradients = NoiseSource(), []
    for _ in range(n_draws):
        noise = HiddenNoise(W, 40, source, scale, generator)
        noise.add_(torch.zeros(80, n))
        noise.add_gradient_(gradient := torch.zeros_like(W), dZ)
        gradients.append(gradient)
    drawn = torch.stack(gradients)
    seen = (drawn * W).sum(dim=2, keepdim=True)
    variance = (scale * dZ.norm(dim=1, keepdim=True)) ** 2  # of dZ e', for noise e
    seen_variance = variance * W.square().sum(dim=1, keepdim=True)
    for numbers, expected in ((drawn, variance), (seen, seen_variance)):
        ratio = numbers.square().mean(dim=0) / expected
        assert abs(ratio.mean() - 1.0) < 0.02
        assert (ratio - 1.0).abs().max() < 0.25


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_hidden_noise_of_weights_without_a_root(value):
    """Zeros have no noise; what is not finite shows in the loss, not in an error."""
    W = torch.full((3, 8), value)
    noise = HiddenNoise(W, 3, NoiseSource(), 1.0, seeded())
    Z = torch.zeros(3, 5)
    noise.add_(Z)
    noise.add_gradient_(gradient := torch.zeros_like(W), Z + 1.0)
    if value == 0.0:
        assert Z.abs().max() < 1e-15
        assert torch.isfinite(gradient).all()
    else:
        assert not torch.isfinite(gradient).all()
