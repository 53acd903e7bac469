"""Adversarial groups of vectors for `projection_hoyer`, and what it promises of them.

`test_hoyer_level.py` and `test_hoyer_tensors.py` check some hundred inputs, and

    python tests/projection/fuzz_projections.py --balls hoyer_groups --count 36000

as many as wanted. Besides what is said in `check`, small inputs are compared with
`skproj.projection._reference`.
"""

import warnings
from typing import NamedTuple

import numpy as np
from fuzz_inputs import require

from skproj.projection import _reference, hoyer_sparsity, projection_hoyer

# How far the average sparsity may be from the target.
LEVEL = {"f": 1e-7, "d": 1e-10}
# How much smaller than that of the reference the sum of the products may be.
WORSE = {"f": 1e-5, "d": 1e-9}
# Entries up to which the reference is asked as well.
SMALL = 400


def _gaussian(rng, n):
    return rng.standard_normal(n)


def _near_ties(rng, n):
    return 1.0 + rng.standard_normal(n) * 10.0 ** -rng.integers(9, 18)


def _two_largest(rng, n):
    x = rng.uniform(0.0, 0.9, n)
    x[rng.permutation(n)[:2]] = 1.0
    return x


def _one_entry(rng, n):
    return np.where(np.arange(n) == rng.integers(n), rng.standard_normal(), 0.0)


def _few_near_ties(rng, n):
    x = rng.standard_normal(n)
    x[: n // 2] = x.max() * (1.0 - 1e-13 * rng.random(n // 2))
    return x


# One vector of n entries of each family.
FAMILIES = {
    "gaussian": _gaussian,
    "laplace": lambda rng, n: rng.laplace(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "student": lambda rng, n: rng.standard_t(3, n),
    "lognormal": lambda rng, n: np.exp(3.0 * rng.standard_normal(n)),
    "scales": lambda rng, n: rng.standard_normal(n) * np.exp(4.0 * rng.normal()),
    "integers": lambda rng, n: rng.integers(-3, 4, n).astype(float),
    "binary": lambda rng, n: rng.integers(0, 2, n).astype(float),
    "signs": lambda rng, n: rng.choice([-1.0, 1.0], n),
    "ternary": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n),
    "constant": lambda rng, n: np.full(n, rng.standard_normal()),
    "zeros": lambda rng, n: np.zeros(n),
    "one entry": _one_entry,
    "clipped": lambda rng, n: np.clip(rng.standard_normal(n), -0.5, 0.5),
    "rounded": lambda rng, n: np.round(rng.standard_normal(n), 1),
    "near ties": _near_ties,
    "few near ties": _few_near_ties,
    "two largest": _two_largest,
    "mostly zeros": lambda rng, n: rng.standard_normal(n) * (rng.random(n) < 0.2),
    "tiny": lambda rng, n: rng.standard_normal(n) * 10.0 ** -rng.integers(150, 290),
    "huge": lambda rng, n: rng.standard_normal(n) * 10.0 ** rng.integers(150, 290),
}
# Those that float32 can hold.
FAMILIES_OF_FLOAT32 = [name for name in FAMILIES if name not in ("tiny", "huge")]


class Case(NamedTuple):
    """A group of vectors, weights of the same sizes or None, and a sparsity."""

    families: tuple[str, ...]
    vectors: list[np.ndarray]
    weights: list[np.ndarray] | None
    sparsity: float

    def __str__(self):
        sizes = [len(x) for x in self.vectors[:6]]
        weighted = "" if self.weights is None else ", weighted"
        return (
            f"{'+'.join(self.families)}, {self.vectors[0].dtype}{weighted}, "
            f"{len(self.vectors)} vectors of {sizes} entries, sparsity {self.sparsity}"
        )


def make_case(seed, index):
    """Make input number `index` of a seed."""
    rng = np.random.default_rng([seed, index])
    dtype = np.float32 if rng.random() < 0.25 else np.float64
    known = FAMILIES_OF_FLOAT32 if dtype == np.float32 else list(FAMILIES)
    families = [known[index % len(known)]]
    if rng.random() < 0.25:
        families.append(known[rng.integers(len(known))])
    n_vectors = int(rng.choice([1, 2, 3, 8, 40]))
    size = int(rng.choice([2, 3, 5, 17, 64, 300]))
    ragged = rng.random() < 0.4
    sizes = rng.integers(2, size + 2, n_vectors) if ragged else [size] * n_vectors
    vectors = [
        FAMILIES[families[i % len(families)]](rng, n).astype(dtype)
        for i, n in enumerate(sizes)
    ]
    weights = None
    if rng.random() < 0.2:
        weights = [rng.uniform(0.1, 2.0, n) for n in sizes]
    usual = [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]
    sparsity = float(rng.choice(usual) if rng.random() < 0.7 else rng.random())
    return Case(tuple(families), vectors, weights, sparsity)


def _average(vectors, weights):
    return hoyer_sparsity(vectors, weights=weights).mean()


def _objective(vectors, results):
    """Sum of the products of the vectors with the directions of the results."""
    total = 0.0
    for x, p in zip(vectors, results, strict=True):
        x, p = x.astype(np.float64), p.astype(np.float64)
        if p.any():
            p = p / np.abs(p).max()
            total += x @ p / np.linalg.norm(p)
    return total


def check(case):
    """Check level, signs, zeros, idempotence, threads and, where small, optimality."""
    _, vectors, weights, sparsity = case
    kind = vectors[0].dtype.char
    before = _average(vectors, weights)
    results, multiplier = projection_hoyer(
        vectors, sparsity, weights=weights, return_multiplier=True
    )
    for x, p in zip(vectors, results, strict=True):
        require(p.dtype == x.dtype, "another dtype")
        require(np.isfinite(p).all(), "not finite")
        require((p * np.sign(x) >= 0.0).all(), "a sign flipped")
        require(not p[x == 0.0].any(), "a zero became an entry")
        vanished = (p == 0.0) & (x != 0.0)
        require(not np.signbit(p[vanished]).any(), "a negative zero")
    level = _average(results, weights)
    wanted = max(sparsity, before)
    if weights is None:
        require(
            abs(level - wanted) <= LEVEL[kind],
            f"average sparsity {level}, not {wanted}",
        )
    else:
        _check_weighted_level(case, level, wanted)
    require(multiplier >= 0.0, "a negative multiplier")

    again = projection_hoyer(results, sparsity, weights=weights)
    if weights is None or level >= sparsity - LEVEL[kind]:
        for p, q in zip(results, again, strict=True):
            require(np.array_equal(p, q), "not idempotent")
    if multiplier > 0.0:
        warm = projection_hoyer(
            vectors, sparsity, weights=weights, start=multiplier * 0.999
        )
        warm_level = _average(warm, weights)
        require(abs(warm_level - level) <= 2 * LEVEL[kind], "warm start: another level")
    if weights is None:
        _check_each(case)

    is_usual = not {"tiny", "huge"} & set(case.families)
    if is_usual and sum(map(len, vectors)) <= SMALL:
        expected = _reference.hoyer(vectors, sparsity, weights)
        best = _objective(vectors, expected)
        require(
            _objective(vectors, results) >= best - WORSE[kind] * abs(best),
            f"the sum of the products is {_objective(vectors, results)}, not {best}",
        )


def _check_weighted_level(case, level, wanted):
    """The level may be out of reach, if the entries of small weight are zero."""
    kind = case.vectors[0].dtype.char
    reachable = [
        _reference.hoyer_sparsity((w == w[x != 0].min(initial=np.inf)) * (x != 0.0), w)
        for x, w in zip(case.vectors, case.weights, strict=True)
    ]
    most = min(wanted, np.mean(reachable))
    require(level >= most - LEVEL[kind], f"average sparsity {level}, not {most}")
    require(level <= wanted + LEVEL[kind], f"average sparsity {level}, not {wanted}")


def _check_each(case):
    """Each vector by itself."""
    kind = case.vectors[0].dtype.char
    before = hoyer_sparsity(case.vectors)
    results = projection_hoyer(case.vectors, case.sparsity, per_vector=True)
    error = np.abs(hoyer_sparsity(results) - np.maximum(before, case.sparsity)).max()
    require(error <= LEVEL[kind], f"per vector: sparsity wrong by {error}")


def fuzz(seed, indices):
    """Check the inputs of some indices; return what failed, by index and input."""
    failures = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in indices:
            case = make_case(seed, index)
            try:
                check(case)
            except Exception as error:  # whatever it is, it is a finding
                failures[f"{index}: {case}"] = f"{type(error).__name__}: {error}"
    return failures
