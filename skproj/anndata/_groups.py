"""Groups of the cells, and folds of a cross-validation over them."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from skproj.utils._optional import import_optional
from skproj.utils._splits import make_splits
from skproj.utils._wording import join_names

REST = "rest"  # name of the other cells where a single group is told from them
MAX_LISTED = 10  # names in an error
MAX_INTEGER_GROUPS = 50  # of a column that is not categorical


@dataclass(frozen=True)
class Groups:
    """A column of `adata.obs` as groups."""

    name: str  # of the column
    categories: object  # pandas.Index of all groups, with those that no cell is in
    present: np.ndarray  # which of them have cells and take part
    # The group of each cell, as a place in `present`; -1 for cells without a label and
    # those of groups that take no part.
    codes: np.ndarray

    @classmethod
    def of(cls, name, labels):
        """Return the groups of a categorical that have cells."""
        present, codes = np.unique(labels.codes, return_inverse=True)
        if len(present) > 0 and present[0] == -1:
            present, codes = present[1:], codes - 1
        return cls(name, labels.categories, present, codes)

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
        return self.codes >= 0

    def as_column(self, codes):
        """Return groups as a categorical with the categories of the column."""
        pandas = import_optional("pandas", extra="anndata")
        return pandas.Categorical.from_codes(
            self.present[codes], categories=self.categories
        )


def read_groups(adata, groupby):
    """Return the `Groups` that a column of `adata.obs` makes, all that have cells."""
    pandas = import_optional("pandas", extra="anndata")
    column = read_column(adata.obs, groupby, "groupby", "adata.obs")
    if pandas.api.types.is_float_dtype(column.dtype):
        raise ValueError(
            f"groupby={groupby!r} must be a column of labels, but it holds numbers; "
            "make it categorical if they are labels."
        )
    return Groups.of(groupby, pandas.Categorical(column))


def choose_groups(groups, chosen, reference):
    """Return the `Groups` that take part, and the code of the reference or None.

    `chosen` is "all", or has values or names of groups. `reference` is "rest", or the
    value or name of a group, which takes part in any case. A single group is told from
    all other cells with a label.
    """
    if len(set(groups.names)) < len(groups.names):
        raise ValueError(
            f"groupby={groups.name!r} has different groups of the same name, such as "
            "1 and '1'."
        )
    references = []
    if not (isinstance(reference, str) and reference == REST):
        references = [reference]
        _check_named(references, groups, "reference")
    if not (isinstance(chosen, str) and chosen == "all"):
        if isinstance(chosen, str) or not isinstance(chosen, Collection):
            raise ValueError(f'groups must be "all" or a list, got {chosen!r}.')
        _check_named(chosen, groups, "groups")
        wanted = {str(name) for name in [*chosen, *references]}
        if len(wanted) == 1 and not references and len(groups.names) > 1:
            return merge_others(groups, *wanted), 1
        groups = keep_groups(groups, wanted)
    if not references:
        return groups, None
    return groups, groups.names.tolist().index(str(reference))


def keep_groups(groups, names):
    """Return some of the `Groups`; the other cells are as without a label."""
    kept = np.flatnonzero([name in names for name in groups.names])
    place = np.full(len(groups.names) + 1, -1)  # the last is for cells without a label
    place[kept] = np.arange(len(kept))
    return replace(groups, present=groups.present[kept], codes=place[groups.codes])


def merge_others(groups, name):
    """Return a group and `REST`, all the others together, as `Groups`."""
    others = set(groups.names) - {name}
    if name == REST or (REST in others and len(others) > 1):
        raise ValueError(
            f"groupby={groups.name!r} has a group {REST!r}, which is the name of all "
            "other cells where groups has a single one: rename it."
        )
    pandas = import_optional("pandas", extra="anndata")
    codes = np.where(groups.has_label, groups.names[groups.codes] != name, -1)
    labels = pandas.Categorical.from_codes(codes, categories=[name, REST])
    return Groups.of(groups.name, labels)


def _check_named(wanted, groups, parameter):
    unknown = [name for name in wanted if str(name) not in groups.names]
    if unknown:
        raise ValueError(
            f"{parameter} has {join_or_none(unknown)}, and groupby={groups.name!r} no "
            f"such group with cells; the groups are {join_or_none(groups.names)}."
        )


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
    return join_names(names, at_most=MAX_LISTED) or "none"


def make_folds(adata, groups, *, cv, donor_key, random_state):
    """Split the cells that take part.

    Cells of a donor, by the column `donor_key` of `adata.obs`, stay together. A fold is
    a tuple of training and test cells, as places among the cells that take part.
    """
    codes = groups.codes[groups.has_label]
    _check_sizes(adata, groups, np.bincount(codes, minlength=len(groups.present)), cv)
    donors, name = None, ""
    if donor_key is not None:
        name = f"donor_key={donor_key!r}"
        donors = read_complete_column(
            adata.obs[groups.has_label], donor_key, "donor_key"
        )
    return make_splits(
        cv,
        codes[:, np.newaxis],
        groups.names[codes],
        classifier=True,
        groups=donors,
        random_state=random_state,
        groups_name=name,
    )


def read_complete_column(table, name, parameter):
    """Return a column of `adata.obs` as text, without missing values."""
    column = read_column(table, name, parameter, "adata.obs")
    if column.isna().any():
        raise ValueError(f"{parameter}={name!r} has missing values.")
    return column.astype(str).to_numpy()


def _check_sizes(adata, groups, sizes, cv):
    if len(sizes) < 2:
        found = f"only one, {groups.names[0]!r}" if len(sizes) else "none"
        raise ValueError(
            f"groupby={groups.name!r} must have at least two groups of cells; it has "
            f"{found}."
        )
    small = np.flatnonzero(sizes < cv)
    pandas = import_optional("pandas", extra="anndata")
    if pandas.api.types.is_integer_dtype(adata.obs[groups.name].dtype) and (
        len(small) > 0 or len(sizes) > MAX_INTEGER_GROUPS
    ):
        raise ValueError(
            f"groupby={groups.name!r} must be a column of labels, but it holds "
            f"{len(sizes)} different numbers, {len(small)} of them in fewer cells than "
            f"cv={cv}; make it categorical if they are labels, or cut it into ranges "
            "with pandas.cut."
        )
    if len(small) == 0:
        return
    text = ", ".join(f"{groups.names[i]} ({sizes[i]})" for i in small[:MAX_LISTED])
    if len(small) > MAX_LISTED:
        text += f" and {len(small) - MAX_LISTED} more"
    raise ValueError(
        f"cv={cv} needs at least {cv} cells of each group; too small are {text}: merge "
        "them, set their labels to NaN, leave them out of groups, or lower cv."
    )
