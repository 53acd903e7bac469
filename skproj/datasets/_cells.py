"""Sparse tables of single cells with known markers, in blocks of rows."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse
from scipy.optimize import brentq

from skproj.datasets._arguments import draw_seed
from skproj.datasets._omics import SPREAD_OF_MEANS

# Standard deviations, on the log scale, of the library sizes and of batches.
SPREAD_OF_LIBRARIES = 0.3
BATCH_STRENGTH = 0.2
N_BATCHES = 4

# Mean of the log fold changes of the markers.
EFFECT_SIZE = 1.2

# Squared coefficient of variation that the counts of a gene have beyond Poisson counts.
DISPERSION = 0.5

# Markers are neither rare nor the most abundant genes, which are in all cells.
MARKER_QUANTILES = (0.5, 0.95)

# A part of the rows, which has random numbers of its own, has about so many draws. Its
# arrays stay in the cache, and take a few megabytes.
MAX_DRAWS_OF_PART = 2**18
MAX_ROWS_OF_PART = 512

# Nodes of the integral over the library sizes, and tolerance of the logarithm of the
# scale of the means, which is about that of the relative error of the density.
N_NODES = 7
TOLERANCE = 1e-4


class CellModel:
    r"""The genes of a synthetic table of cells, and its rows.

    .. math::

        c_{ij} &\sim \text{Poisson}(g_{ij}) \\
        g_{ij} &\sim \text{Gamma}\left(
            \text{shape} = s_i e^{\beta_{t_i j} + \delta_{b_i j}} / \phi, \;
            \text{scale} = \phi \, m_j\right) \\
        x_{ij} &= \log\left(1 + c_{ij} \,
            \frac{\sum_l m_l}{\sum_l c_{il}}\right)

    Cell `i` has the library size :math:`s_i`, the type :math:`t_i` and the batch
    :math:`b_i`; gene `j` has the mean :math:`m_j`, a log fold change in the type that
    it marks, and a shift in each batch. A row depends on its place and on the model,
    not on the number of rows or on the blocks in which they are drawn.

    A count is negative binomial. It is drawn as the sum of a Poisson number of parts
    with logarithmic sizes [1]_: the parts of a cell are drawn together, each with the
    gene to which it belongs, so that time and memory are proportional to the non-zero
    entries. The scale of the means is the root of the expected density.

    Parameters
    ----------
    n_vars : int
        Number of genes.
    density : float
        Expected share of non-zero entries.
    n_types, n_markers : int
        Number of types, and of genes that mark each of them. No gene marks two.
    seed : int
        Seed of all that is random.

    Attributes
    ----------
    marker_of : ndarray of shape (n_vars,)
        The type that each gene marks, -1 for none.
    fold_change : ndarray of shape (n_vars,)
        Factor of the mean of each marker in its type, 1 for the others.
    gene_mean : ndarray of shape (n_vars,)
        Expected count of each gene in a library of size one, without the effects of
        type and batch.

    References
    ----------
    .. [1] A. W. Kemp, "Efficient generation of logarithmically distributed
       pseudo-random variables", Applied Statistics 30(3) (1981),
       :doi:`10.2307/2346348`.
    """

    def __init__(self, n_vars, *, density, n_types, n_markers, seed):
        n_all = n_types * n_markers
        if n_all > n_vars:
            raise ValueError(
                f"n_types * n_markers must be at most n_vars={n_vars}, got {n_all}."
            )
        self.n_vars, self.n_types, self.n_batches = n_vars, n_types, N_BATCHES
        self._seed = [int(value) for value in draw_seed(seed)]
        rng = np.random.default_rng(self._seed)
        mean = rng.lognormal(0.0, SPREAD_OF_MEANS, n_vars)
        by_mean = np.argsort(mean)
        low, high = (round(q * n_vars) for q in MARKER_QUANTILES)
        # Few genes: as many as are needed, the most abundant ones last.
        low = max(0, min(low, n_vars - n_all))
        high = max(high, low + n_all)
        markers = rng.permutation(by_mean[low:high])[:n_all]
        self.marker_of = np.full(n_vars, -1)
        self.marker_of[markers] = np.arange(n_all) % n_types
        self.fold_change = np.ones(n_vars)
        self.fold_change[markers] = np.exp(EFFECT_SIZE * rng.uniform(0.5, 1.5, n_all))

        # Of the rate of each gene, by type and batch.
        factors = np.exp(rng.normal(0.0, BATCH_STRENGTH, (N_BATCHES, n_vars)))
        factors = np.repeat(factors[np.newaxis], n_types, axis=0)
        for k in range(n_types):
            factors[k] *= np.where(self.marker_of == k, self.fold_change, 1.0)
        scale = _scale_for_density(mean, factors, density)
        self.gene_mean = scale * mean
        self._set_tables(factors)

    def _set_tables(self, factors):
        """Set what the draws of rows need, for each pair of a type and a batch."""
        rate = _draw_rate(self.gene_mean)
        rates = (factors * rate).reshape(-1, self.n_vars)
        self._total_rate = rates.sum(axis=1)
        tables = [_alias_table(row / row.sum()) for row in rates]
        self._share, self._alias = (
            np.stack(table) for table in zip(*tables, strict=True)
        )
        # Of the logarithmic distribution of the size of a draw.
        self._log_rest = -np.log1p(DISPERSION * self.gene_mean).astype(np.float32)
        self.expected_total = float(self.gene_mean.sum())
        largest = self._total_rate.max()
        self.part_rows = int(np.clip(MAX_DRAWS_OF_PART // largest, 1, MAX_ROWS_OF_PART))

    def blocks(self, n_obs):
        """Draw the rows in order, a block of at most `part_rows` at a time.

        Yields
        ------
        block : SimpleNamespace
            The first row `start`, the CSR matrix `X`, and arrays `type` and `batch`.
        """
        for part, start in enumerate(range(0, n_obs, self.part_rows)):
            X, types, batches = self._part(part)
            rows = slice(n_obs - start)
            yield SimpleNamespace(
                start=start, X=X[rows], type=types[rows], batch=batches[rows]
            )

    def _part(self, part):
        """Draw one part of the rows: a CSR matrix, types and batches."""
        seed = np.random.SeedSequence(self._seed, spawn_key=(part,))
        rng = np.random.default_rng(seed)
        n_rows, n_vars = self.part_rows, self.n_vars
        types = rng.integers(self.n_types, size=n_rows)
        batches = rng.integers(self.n_batches, size=n_rows)
        library_size = rng.lognormal(
            -0.5 * SPREAD_OF_LIBRARIES**2, SPREAD_OF_LIBRARIES, n_rows
        )
        table = types * self.n_batches + batches
        n_draws = rng.poisson(library_size * self._total_rate[table])
        rows = np.repeat(np.arange(n_rows), n_draws)
        genes = self._draw_genes(np.repeat(table, n_draws), rng)

        kind = np.int32 if n_rows * n_vars < 2**31 else np.int64
        keys = rows.astype(kind) * kind(n_vars) + genes.astype(kind)
        keys.sort()
        sizes = self._draw_sizes(keys % kind(n_vars), rng)
        is_first = np.ones(keys.size, dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
        starts = np.flatnonzero(is_first)
        counts = np.add.reduceat(sizes, starts) if keys.size else sizes
        rows, genes = np.divmod(keys[starts], kind(n_vars))
        total = np.bincount(rows, weights=counts, minlength=n_rows)
        scale = self.expected_total / np.maximum(total, 1.0)
        data = np.log1p(counts * scale.astype(np.float32)[rows])
        indptr = np.zeros(n_rows + 1, dtype=np.int32)
        np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
        X = sparse.csr_matrix(
            (data, genes.astype(np.int32), indptr), shape=(n_rows, n_vars)
        )
        return X, types, batches

    def _draw_genes(self, table, rng):
        """Draw a gene for each number of a table, by its alias method."""
        bits = rng.integers(2**64, size=table.size, dtype=np.uint64)
        genes = ((bits >> np.uint64(32)) * np.uint64(self.n_vars)) >> np.uint64(32)
        place = table * self.n_vars + genes.astype(np.intp)
        keep = bits.astype(np.uint32) < self._share.ravel()[place]
        return np.where(keep, genes, self._alias.ravel()[place])

    def _draw_sizes(self, genes, rng):
        """Draw from the logarithmic distribution of each gene, by Kemp's method."""
        q = -np.expm1(
            rng.random(genes.size, dtype=np.float32) * self._log_rest.take(genes)
        )
        with np.errstate(divide="ignore"):  # q = 0 gives the size 1
            q = -np.log(q)
        # The smallest number above zero: q may be rounded to one.
        np.maximum(q, np.float32(1e-6), out=q)
        sizes = rng.standard_exponential(genes.size, dtype=np.float32) / q
        return np.floor(sizes) + np.float32(1.0)


def _draw_rate(mean):
    """Return the rate of draws of genes whose counts have a mean.

    A negative binomial count is the sum of a Poisson number of draws, each of which has
    a size from a logarithmic distribution.
    """
    return np.log1p(DISPERSION * mean) / DISPERSION


def _scale_for_density(mean, factors, density):
    """Return the factor of the means that gives the share of non-zero entries."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    sizes = np.exp(SPREAD_OF_LIBRARIES * nodes - 0.5 * SPREAD_OF_LIBRARIES**2)
    weights /= weights.sum()

    def excess(log_scale):
        rate = _draw_rate(np.exp(log_scale) * mean)
        share = 0.0
        for of_type in factors:
            rates = of_type * rate
            for size, weight in zip(sizes, weights, strict=True):
                share -= weight * np.expm1(-size * rates).mean() / len(factors)
        return np.log(share) - np.log(density)

    return np.exp(brentq(excess, -40.0, 40.0, xtol=TOLERANCE))


def _alias_table(probabilities):
    """Return the shares, of 2**32, and the aliases of the alias method of Vose."""
    n = len(probabilities)
    share = probabilities * n
    alias = np.arange(n)
    small = list(np.flatnonzero(share < 1.0))
    large = list(np.flatnonzero(share >= 1.0))
    share = share.tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        share[high] -= 1.0 - share[low]
        if share[high] < 1.0:
            small.append(large.pop())
    # What is left over is one up to rounding, and its own alias.
    share = np.clip(np.array(share) * 2.0**32, 0.0, 2.0**32 - 1.0)
    return share.astype(np.uint32), alias.astype(np.uint32)
