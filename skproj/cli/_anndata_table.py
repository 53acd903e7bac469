"""Annotated data as a table."""

import warnings

import numpy as np
from scipy import sparse

from skproj.cli._checks import WANTED_BY_MODEL, check_unique, convert, require
from skproj.cli._entries import tidy_obs
from skproj.cli._errors import AT_ONCE, CommandError
from skproj.cli._rows import rows_to_use
from skproj.persistence._panel._text_tables import clean_names
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names


def read_anndata(options):
    path, layer = options.path, options.layer
    anndata = import_optional("anndata", extra="anndata")
    read = anndata.read_zarr if options.suffix == ".zarr" else anndata.read_h5ad
    with warnings.catch_warnings():
        # Names of features are checked below; those of rows may be equal.
        warnings.filterwarnings("ignore", ".* names are not unique")
        adata = read(path)
    names = clean_names(map(str, adata.var_names), options.wanted)
    check_unique(names, path)
    if layer is not None and layer not in adata.layers:
        known = join_names(adata.layers) if adata.layers else "there are none"
        raise CommandError(f"{path} has no layer {layer!r}; layers: {known}.")
    obs = tidy_obs(adata.obs, options)
    adata.obs, adata.obs_names, adata.var_names = obs, obs.index, names
    kept = rows_to_use(obs, options) if options.complete else True
    adata = adata if np.all(kept) else adata[kept].copy()
    return AnnDataTable(adata, path, layer)


class AnnotatedTable:
    """Annotated data: the features are in a matrix, the other columns in `obs`.

    The attributes are those of a `FrameTable`; `columns` are the features.
    """

    row_label = "obs_name"
    reading = {}  # noqa: RUF012

    def __init__(self, obs, columns, path):
        self.path = path
        self.columns = columns
        self.row_names = obs.index
        self.n_rows = len(obs)
        self._obs = obs

    @property
    def label_names(self):
        return list(self._obs)

    def feature_names(self, target, drop, others=(), errors=AT_ONCE):
        """Return the names of the features that are left over, see `FrameTable`."""
        for name in (target, *others):
            with errors:
                require([name], self.label_names, self.path, "column of obs")
        with errors:
            require(drop, self.columns, self.path, "feature")
        dropped = set(drop)
        return [name for name in self.columns if name not in dropped]

    def target(self, name):
        return self._obs[name]

    labels = target

    def other_columns(self, drop):
        """Return the names of the columns of `obs`, which may name groups."""
        return list(self._obs)

    def text_columns(self, names):
        """Return no names: the features of annotated data are numbers."""
        return []

    date_columns = text_columns

    def places(self, names):
        require(names, self.columns, self.path, "feature", WANTED_BY_MODEL)
        place = {name: j for j, name in enumerate(self.columns)}
        return [place[name] for name in names]


class AnnDataTable(AnnotatedTable):
    """Annotated data in memory; a layer takes the place of X."""

    def __init__(self, adata, path, layer):
        super().__init__(adata.obs, [str(name) for name in adata.var_names], path)
        self._matrix = adata.X if layer is None else adata.layers[layer]
        if self._matrix is None:
            raise CommandError(f"{path} has no X; name a layer with --layer.")

    def numbers(self, names, *, dtype=None, can_drop=True, allow_missing=False):
        """Return features as an array or a CSR matrix, see `FrameTable.numbers`."""
        places = self.places(names)
        X = self._matrix
        if sparse.issparse(X):
            X = X.tocsr()
        if names != self.columns:
            X = X[:, places]
        if X.dtype != np.float32:
            X = X.astype(np.float64)
        options = {"can_drop": can_drop, "allow_missing": allow_missing}
        return convert(X, dtype, names, self.path, **options)

    def frame(self, names):
        pd = import_optional("pandas", extra="cli")
        X = self.numbers(names)
        X = X.toarray() if sparse.issparse(X) else X
        return pd.DataFrame(X, index=self.row_names, columns=names)
