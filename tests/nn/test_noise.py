"""Noise that is drawn once and cut from changing places."""

import torch
from torch.testing import assert_close

from skproj.nn._training._noise import MIN_DRAWN, NoiseSource


def seeded():
    return torch.Generator().manual_seed(0)


def draw(source, shape, generator, dtype=torch.float32):
    return source.draw(torch.empty(shape, dtype=dtype), generator)


def test_first_numbers_are_new():
    generator, reference, source = seeded(), seeded(), NoiseSource()
    shape = (MIN_DRAWN // 4 // 100, 100)
    for _ in range(4):
        noise = draw(source, shape, generator)
        assert torch.equal(noise, torch.empty(shape).normal_(generator=reference))


def test_later_blocks_are_cut_from_the_first_ones():
    generator, source = seeded(), NoiseSource()
    shape = (MIN_DRAWN // 4, 2)
    first = torch.cat([draw(source, shape, generator).flatten() for _ in range(2)])
    later = [draw(source, shape, generator).flatten() for _ in range(10)]
    starts = set()
    for block in later:
        (start,) = (first == block[0]).nonzero()[:, 0].tolist()
        assert torch.equal(block, first[start : start + len(block)])
        starts.add(start)
    assert len(starts) == 10


def test_large_blocks_are_cut_from_twice_their_size():
    generator, source = seeded(), NoiseSource()
    shape = (3, MIN_DRAWN)
    first = torch.cat([draw(source, shape, generator).flatten() for _ in range(2)])
    later = draw(source, shape, generator).flatten()
    assert later[0] in first
    assert not torch.equal(later, first[: len(later)])


def test_same_seed_gives_same_noise():
    results = []
    for _ in range(2):
        generator, source = seeded(), NoiseSource()
        results.append([draw(source, (200, 700), generator) for _ in range(5)])
    assert_close(*results, rtol=0, atol=0)


def test_blocks_of_several_sizes_and_types():
    generator, source = seeded(), NoiseSource()
    for dtype in (torch.float32, torch.float64, torch.float32):
        for shape in ((MIN_DRAWN // 2, 1), (3, 5), (0, 4), (MIN_DRAWN, 3), (1, 1)):
            noise = draw(source, shape, generator, dtype)
            assert noise.shape == shape
            assert noise.dtype == dtype
            assert torch.isfinite(noise).all()
    noise = draw(source, (500, 400), generator)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1.0) < 0.02
