"""A sparse table of single cells of any size, which the benchmarks of blocks read.

    python benchmarks/_cells.py cells.zarr --n-obs 200000 --n-vars 20000

The file is a zarr store in the layout of AnnData: `X` is a CSR matrix of float32, ready
for a selector, and `obs` has the column ``cell_type``.
"""

import argparse

import numpy as np
from scipy import sparse
from scipy.optimize import brentq
from sklearn.utils import check_random_state

# Standard deviations, on the log scale, of the means, the library sizes and batches.
SPREAD_OF_MEANS, SPREAD_OF_LIBRARIES, BATCH_STRENGTH = 1.5, 0.3, 0.2
N_BATCHES = 4
# Mean of the log fold changes of the markers, and their place among the means: they are
# neither rare nor the most abundant genes, which are in all cells.
EFFECT_SIZE, MARKER_QUANTILES = 1.2, (0.5, 0.95)
# Squared coefficient of variation that the counts of a gene have beyond Poisson counts.
DISPERSION = 0.5
# A part of the rows, which has random numbers of its own, has about so many draws.
MAX_DRAWS_OF_PART, MAX_ROWS_OF_PART = 2**18, 512
# Nodes of the integral over the library sizes, and tolerance of the logarithm of the
# scale of the means, which is about that of the relative error of the density.
N_NODES, TOLERANCE = 7, 1e-4


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
    not on the number of rows.

    A count is negative binomial. It is drawn as the sum of a Poisson number of parts
    with logarithmic sizes [1]_: the parts of a cell are drawn together, each with the
    gene to which it belongs, so that time and memory are proportional to the non-zero
    entries. The scale of the means is the root of the expected density.

    References
    ----------
    .. [1] A. W. Kemp, "Efficient generation of logarithmically distributed
       pseudo-random variables", Applied Statistics 30(3) (1981),
       :doi:`10.2307/2346348`.
    """

    def __init__(self, n_vars, *, density=0.05, n_types=10, n_markers=30, seed=0):
        n_all = n_types * n_markers
        if n_all > n_vars:
            raise ValueError(f"{n_all} markers are more than {n_vars} genes.")
        self.n_vars, self.n_types = n_vars, n_types
        seeds = check_random_state(seed).randint(2**32, size=4, dtype=np.uint32)
        self._seed = seeds.tolist()
        rng = np.random.default_rng(self._seed)
        mean = rng.lognormal(0.0, SPREAD_OF_MEANS, n_vars)
        low, high = (round(q * n_vars) for q in MARKER_QUANTILES)
        # Few genes: as many as are needed, the most abundant ones last.
        low = max(0, min(low, n_vars - n_all))
        high = max(high, low + n_all)
        markers = rng.permutation(np.argsort(mean)[low:high])[:n_all]
        self.marker_of = np.full(n_vars, -1)
        self.marker_of[markers] = np.arange(n_all) % n_types
        fold_change = np.ones(n_vars)
        fold_change[markers] = np.exp(EFFECT_SIZE * rng.uniform(0.5, 1.5, n_all))

        # Of the rate of each gene, by type and batch.
        factors = np.exp(rng.normal(0.0, BATCH_STRENGTH, (N_BATCHES, n_vars)))
        factors = np.repeat(factors[np.newaxis], n_types, axis=0)
        for k in range(n_types):
            factors[k] *= np.where(self.marker_of == k, fold_change, 1.0)
        self.gene_mean = scale_for_density(mean, factors, density) * mean
        rates = (factors * draw_rate(self.gene_mean)).reshape(-1, n_vars)
        self._total_rate = rates.sum(axis=1)
        tables = [alias_table(row / row.sum()) for row in rates]
        self._share, self._alias = map(np.stack, zip(*tables, strict=True))
        # Of the logarithmic distribution of the size of a draw.
        self._log_rest = -np.log1p(DISPERSION * self.gene_mean).astype(np.float32)
        largest = self._total_rate.max()
        self.part_rows = int(np.clip(MAX_DRAWS_OF_PART // largest, 1, MAX_ROWS_OF_PART))

    def draw(self, n_obs):
        """Return a CSR matrix of so many rows, and the types of the cells."""
        parts = map(self._draw_part, range(-(-n_obs // self.part_rows)))
        X, types = zip(*parts, strict=True)
        return sparse.vstack(X, "csr")[:n_obs], np.concatenate(types)[:n_obs]

    def _draw_part(self, part):
        seed = np.random.SeedSequence(self._seed, spawn_key=(part,))
        rng = np.random.default_rng(seed)
        n_rows, n_vars = self.part_rows, self.n_vars
        types = rng.integers(self.n_types, size=n_rows)
        batches = rng.integers(N_BATCHES, size=n_rows)
        library_size = rng.lognormal(
            -0.5 * SPREAD_OF_LIBRARIES**2, SPREAD_OF_LIBRARIES, n_rows
        )
        table = types * N_BATCHES + batches
        n_draws = rng.poisson(library_size * self._total_rate[table])
        rows = np.repeat(np.arange(n_rows), n_draws)
        keys = rows * n_vars + self._draw_genes(np.repeat(table, n_draws), rng)
        keys.sort()
        sizes = self._draw_sizes(keys % n_vars, rng)
        keys, places = np.unique(keys, return_inverse=True)
        rows, genes = np.divmod(keys, n_vars)
        shape = n_rows, n_vars
        counts = sparse.csr_matrix((np.bincount(places, sizes), (rows, genes)), shape)
        total = np.asarray(counts.sum(axis=1)).ravel()
        scale = self.gene_mean.sum() / np.maximum(total, 1.0)
        X = sparse.diags(scale.astype(np.float32)) @ counts.astype(np.float32)
        return X.log1p().tocsr(), types

    def _draw_genes(self, table, rng):
        """Draw a gene for each number of a table, by its alias method."""
        bits = rng.integers(2**64, size=table.size, dtype=np.uint64)
        genes = ((bits >> np.uint64(32)) * np.uint64(self.n_vars)) >> np.uint64(32)
        place = table * self.n_vars + genes.astype(np.intp)
        keep = bits.astype(np.uint32) < self._share.ravel()[place]
        return np.where(keep, genes.astype(np.intp), self._alias.ravel()[place])

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


def draw_rate(mean):
    """Return the rate of draws of genes whose counts have a mean.

    A negative binomial count is the sum of a Poisson number of draws, each of which has
    a size from a logarithmic distribution.
    """
    return np.log1p(DISPERSION * mean) / DISPERSION


def scale_for_density(mean, factors, density):
    """Return the factor of the means that gives the share of non-zero entries."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    sizes = np.exp(SPREAD_OF_LIBRARIES * nodes - 0.5 * SPREAD_OF_LIBRARIES**2)
    weights /= weights.sum()

    def excess(log_scale):
        rate = draw_rate(np.exp(log_scale) * mean)
        share = 0.0
        for of_type in factors:
            rates = of_type * rate
            for size, weight in zip(sizes, weights, strict=True):
                share -= weight * np.expm1(-size * rates).mean() / len(factors)
        return np.log(share) - np.log(density)

    return np.exp(brentq(excess, -40.0, 40.0, xtol=TOLERANCE))


def alias_table(probabilities):
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


def main():
    """Write a table."""
    import anndata
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a zarr store to write")
    parser.add_argument("--n-obs", type=int, default=10_000)
    parser.add_argument("--n-vars", type=int, default=2000)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = CellModel(options.n_vars, density=options.density, seed=options.seed)
    X, types = model.draw(options.n_obs)
    names = pd.Categorical.from_codes(types, [f"type{k}" for k in range(model.n_types)])
    obs = pd.DataFrame(
        {"cell_type": names}, index=[f"cell{i}" for i in range(options.n_obs)]
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(options.n_vars)])
    anndata.AnnData(X, obs=obs, var=var).write_zarr(options.path)


if __name__ == "__main__":
    main()
