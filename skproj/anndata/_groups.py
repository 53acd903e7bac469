"""Groups of the cells, and folds of a cross-validation over them."""

from dataclasses import dataclass

import numpy as np

from skproj.utils._optional import import_optional
from skproj.utils._splits import make_splits
from skproj.utils._wording import join_names


@dataclass(frozen=True)
class Groups:
    """A column of `adata.obs` as groups.

    Attributes
    ----------
    name : str
        Name of the column.
    categories : pandas.Index
        All groups, with those that no cell is in.
    present : ndarray of int of shape (n_groups,)
        Which of them have cells.
    codes : ndarray of int of shape (n_cells,)
        The group of each cell, as a place in `present`; -1 for cells without a label.
    """

    name: str
    categories: object
    present: np.ndarray
    codes: np.ndarray

    @property
    def values(self):
        """Values of the column for the groups that have cells, an array."""
        return np.asarray(self.categories[self.present])

    @property
    def names(self):
        """Names of the groups that have cells, an array of str."""
        return np.array([str(name) for name in self.categories[self.present]], object)

    @property
    def has_label(self):
        """Whether a cell is in a group, of shape (n_cells,)."""
        return self.codes >= 0

    def as_column(self, codes):
        """Return groups as a categorical with the categories of the column."""
        pandas = import_optional("pandas", extra="anndata")
        return pandas.Categorical.from_codes(
            self.present[codes], categories=self.categories
        )


def read_groups(adata, groupby):
    """Return the `Groups` that a column of `adata.obs` makes."""
    pandas = import_optional("pandas", extra="anndata")
    column = read_column(adata.obs, groupby, "groupby", "adata.obs")
    if pandas.api.types.is_float_dtype(column.dtype):
        raise ValueError(
            f"groupby={groupby!r} must be a column of labels, but it holds numbers; "
            "make it categorical if they are labels."
        )
    labels = pandas.Categorical(column)
    present, codes = np.unique(labels.codes, return_inverse=True)
    if len(present) > 0 and present[0] == -1:
        present, codes = present[1:], codes - 1
    return Groups(groupby, labels.categories, present, codes)


def read_column(table, name, parameter, where):
    """Return a column of `adata.obs` or `adata.var`; the error lists the columns."""
    if not isinstance(name, str) or name not in table.columns:
        raise ValueError(
            f"{parameter}={name!r} is not a column of {where}; "
            f"the columns are {join_or_none(table.columns)}."
        )
    return table[name]


def join_or_none(names):
    """Return the first names in quotes, or "none"."""
    return join_names(names, at_most=10) or "none"


def make_folds(adata, groups, *, cv, batch_key, random_state):
    """Split the cells that have a label.

    Cells of a batch, by the column `batch_key` of `adata.obs`, stay together. A fold is
    a tuple of training and test cells, as places among the cells that have a label.
    """
    codes = groups.codes[groups.has_label]
    sizes = np.bincount(codes, minlength=len(groups.present))
    if len(sizes) < 2:
        found = f"only one, {groups.names[0]!r}" if len(sizes) else "none"
        raise ValueError(
            f"groupby={groups.name!r} must have at least two groups of cells; it has "
            f"{found}."
        )
    small = [
        f"{name} ({size})"
        for name, size in zip(groups.names, sizes, strict=True)
        if size < cv
    ]
    if small:
        raise ValueError(
            f"cv={cv} needs at least {cv} cells of each group; too small are "
            f"{', '.join(small)}: merge them, set their labels to NaN, or lower cv."
        )
    batches, name = None, ""
    if batch_key is not None:
        name = f"batch_key={batch_key!r}"
        batches = read_column(adata.obs, batch_key, "batch_key", "adata.obs")
        batches = batches[groups.has_label]
        if batches.isna().any():
            raise ValueError(f"{name} has missing values.")
        batches = batches.astype(str).to_numpy()
    return make_splits(
        cv,
        codes[:, np.newaxis],
        groups.names[codes],
        classifier=True,
        groups=batches,
        random_state=random_state,
        groups_name=name,
    )
