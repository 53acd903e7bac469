"""Noise that is drawn once and cut from changing places."""

import pytest
import torch

from skproj.nn._training._noise import MIN_DRAWN, NoiseSource


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
        assert torch.equal(noise, torch.empty(shape).normal_(generator=reference))


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
