"""Nonnegative matrix factorisation with factors of a given Hoyer sparsity."""

import numbers
import warnings
from functools import partial

import numpy as np
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.extmath import randomized_svd

from skproj._kernels._hals import descend_coordinates
from skproj.projection import projection_hoyer
from skproj.utils._state import VersionedState
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    nothing_half_fitted,
    validate_data,
)

SUPPORTED_DTYPES = [np.float64, np.float32]

# An update of one factor takes at most so many steps, and ends when one of them moves
# the factor by no more than this share of the first.
UPDATE_STEPS = 10
UPDATE_DELTA = 0.1
FIRST_PACE = 0.1

# Steps per component that the solution of a small least squares problem may take.
NNLS_STEPS = 100

# The error has to fall by more than `tol` in so many iterations.
PATIENCE = 10

# Entries of the residual that are in memory at a time.
BLOCK_ENTRIES = 1_000_000

# From a method called by `fit_transform`, through it and its decorators.
WARN_AT_CALLER = 6


class GroupSparseNMF(
    VersionedState,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    r"""Nonnegative matrix factorisation with factors of a given sparsity.

    .. math::

        \min_{W \ge 0, \, H \ge 0} \; \|X - W H\|_F \quad \text{subject to} \quad
        \operatorname{mean}_k \operatorname{sp}(H_{k:}) \ge s_H, \;
        \operatorname{mean}_k \operatorname{sp}(W_{:k}) \ge s_W, \qquad
        \operatorname{sp}(x) = \frac{\sqrt{n} - \|x\|_1 / \|x\|_2}{\sqrt{n} - 1}

    The Hoyer sparsity sp is 0 if all entries are equal and 1 if all but one are zero.
    Either constraint may be left out; without both this is
    :class:`sklearn.decomposition.NMF`, whose interface this estimator has. The
    sparsity is a value that is met, not a penalty to be searched for, and it holds on
    average: a component that needs many entries is left them, and others pay [1]_.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components; "auto" is that of `H` if ``init="custom"`` and the number
        of features otherwise.
    sparsity_W : float, default=None
        Least average Hoyer sparsity of the columns of `W`, between 0 and 1: how few
        samples use a component. None does not constrain `W`.
    sparsity_H : float, default=None
        Least average Hoyer sparsity of the rows of `H`, the components: how few
        features they have. None does not constrain `H`.
    mode : {"group", "column"}, default="group"
        Whether the sparsity holds on average over the components ("group"), or for
        each of them by itself ("column", as in [2]_).
    init : {"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}, default=None
        Where the iterations start:

        - None: "nndsvd" if there are not more components than samples or features,
          "random" otherwise.
        - "random": uniform random numbers.
        - "nndsvd": the positive parts of the singular vectors [3]_.
        - "nndsvda", "nndsvdar": the same, with zeros replaced by the number with which
          constant factors would give the mean of `X`, or by small random shares of it.
        - "custom": the matrices `W` and `H` that `fit_transform` is given.
    max_iter : int, default=500
        Largest number of iterations.
    tol : float, default=1e-4
        The iterations end when ten of them have lowered the error by no more than this
        share of the norm of `X`. With 0 there are `max_iter` of them.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial matrices.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The factor `H`, in the dtype of `X`.
    n_components_ : int
        Number of components.
    reconstruction_err_ : float
        Frobenius norm of ``X - W @ H`` for the matrix `W` that `fit_transform` returns.
    loss_curve_ : list of float
        This norm at the start and after each iteration.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string column names.

    See Also
    --------
    sklearn.decomposition.NMF : The factorisation with penalties.
    skproj.projection.projection_hoyer : The projection behind the constraints.

    Notes
    -----
    A Hoyer sparsity is not a share of zeros: normally distributed numbers that a
    threshold brings to 0.6 have about 72 % zeros, at 0.8 about 93 %. A component that
    is zero counts as sparsity 1. With a single sample (or feature) the vectors of that
    factor have one entry and no sparsity, and are not constrained.

    `transform` computes `W` of new samples for the fitted `H`: the nonnegative least
    squares solution, sample by sample. A constraint on `W` couples the samples of `fit`
    and says nothing about others. So with `sparsity_W`, and only then, `fit_transform`
    returns another matrix than `transform` does for the same samples. In a pipeline,
    whose next step gets the one in training and the other later, constrain `H`.

    Factors are updated in turn: an unconstrained one by coordinate descent (HALS), a
    constrained one by accelerated projected gradient steps, of which those that raise
    the error are undone. Before that, the norms of each column of `W` and its row of
    `H` are made equal. A component that has become zero restarts from the column of `X`
    that is described worst. Sparse `X` is never made dense as a whole. Apart from the
    products with `X` all is computed in float64.

    The problem is not convex: what is found depends on `init`.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       Transactions on Machine Learning Research (2022), :arxiv:`1912.03896`.
    .. [2] P. O. Hoyer, "Non-negative matrix factorization with sparseness
       constraints", Journal of Machine Learning Research 5 (2004),
       :arxiv:`cs/0408058`.
    .. [3] C. Boutsidis, E. Gallopoulos, "SVD based initialization: A head start for
       nonnegative matrix factorization", Pattern Recognition 41 (2008),
       :doi:`10.1016/j.patcog.2007.09.010`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skproj.decomposition import GroupSparseNMF
    >>> from skproj.projection import hoyer_sparsity
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = GroupSparseNMF(10, sparsity_H=0.7, random_state=0)
    >>> W = model.fit_transform(X)
    >>> W.shape, model.components_.shape
    ((1797, 10), (10, 64))
    >>> round(float(hoyer_sparsity(model.components_, axis=1).mean()), 6)
    0.7
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [
            Interval(numbers.Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "sparsity_W": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "sparsity_H": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "mode": [StrOptions({"group", "column"})],
        "init": [
            StrOptions({"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}),
            None,
        ],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }
    _fitted_attributes = (
        (
            "components_",
            "loss_curve_",
            "n_components_",
            "n_iter_",
            "reconstruction_err_",
        ),
    )

    def __init__(
        self,
        n_components="auto",
        *,
        sparsity_W=None,
        sparsity_H=None,
        mode="group",
        init=None,
        max_iter=500,
        tol=1e-4,
        random_state=None,
    ):
        self.n_components = n_components
        self.sparsity_W = sparsity_W
        self.sparsity_H = sparsity_H
        self.mode = mode
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X, y=None, W=None, H=None):
        """Factorise X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative data, float32 or float64. CSR and CSC matrices are used as they
            are.
        y : None
            Ignored.
        W : array-like of shape (n_samples, n_components), default=None
            Where to start, if ``init="custom"``.
        H : array-like of shape (n_components, n_features), default=None
            Where to start, if ``init="custom"``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable.

        Warns
        -----
        ConvergenceWarning
            If the error still falls after `max_iter` iterations.
        """
        self.fit_transform(X, y, W=W, H=H)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def fit_transform(self, X, y=None, W=None, H=None):
        """Factorise X and return the factor W.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative data, float32 or float64. CSR and CSC matrices are used as they
            are.
        y : None
            Ignored.
        W : array-like of shape (n_samples, n_components), default=None
            Where to start, if ``init="custom"``.
        H : array-like of shape (n_components, n_features), default=None
            Where to start, if ``init="custom"``.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            The coefficients of the samples. They meet `sparsity_W`; without it they
            are those that `transform` returns.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable.

        Warns
        -----
        ConvergenceWarning
            If the error still falls after `max_iter` iterations.
        """
        X = self._validate_data(X, reset=True)
        square = sum_squares(X)
        run = Factorization(
            X,
            square,
            *self._initial_factors(X, W, H),
            sparsity_W=self.sparsity_W,
            sparsity_H=self.sparsity_H,
            per_vector=self.mode == "column",
        )
        self._iterate(run)
        self.components_ = run.best_H.T.astype(X.dtype, order="C")
        self.n_components_ = len(self.components_)
        run.H = self.components_.T.astype(np.float64, order="C")
        run.W = self._solve(X) if self.sparsity_W is None else run.best_W
        W = run.W.astype(X.dtype)
        self.reconstruction_err_ = run.error()
        return W

    def transform(self, X):
        """Find the coefficients of samples for the fitted components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative data.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            The solution of a nonnegative least squares problem for each sample.
        """
        check_is_fitted(self)
        X = self._validate_data(X, reset=False)
        return self._solve(X).astype(X.dtype)

    def inverse_transform(self, X):
        """Compute data from coefficients.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_components)
            Coefficients of the components.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The sums of the components that they stand for.
        """
        check_is_fitted(self)
        X = check_array(X, accept_sparse=("csr", "csc"), dtype=SUPPORTED_DTYPES)
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X must have a column for each of the {self.n_components_} "
                f"components, got {X.shape[1]} columns."
            )
        return X @ self.components_

    def _validate_data(self, X, *, reset):
        """Check X; it comes back in an order that matrix products can read."""
        X = validate_data(
            self,
            X,
            accept_sparse=("csr", "csc"),
            dtype=SUPPORTED_DTYPES,
            ensure_non_negative=True,
            reset=reset,
        )
        if sparse.issparse(X):
            if not X.has_canonical_format:
                # Squares are taken of stored entries, so none may be stored in parts.
                X = X.copy()
                X.sum_duplicates()
            return X
        return X if X.flags.f_contiguous else np.ascontiguousarray(X)

    def _initial_factors(self, X, W, H):
        """Return W and the transpose of H in float64."""
        if self.init == "custom":
            return self._custom_factors(X, W, H)
        if W is not None or H is not None:
            raise ValueError('W and H are only used with init="custom".')
        n_components = X.shape[1] if self.n_components == "auto" else self.n_components
        n_most = min(X.shape)
        init = self.init or ("nndsvd" if n_components <= n_most else "random")
        random_state = check_random_state(self.random_state)
        if init == "random":
            return tuple(
                random_state.uniform(size=(n_rows, n_components)) for n_rows in X.shape
            )
        if n_components > n_most:
            raise ValueError(
                f"init={init!r} needs n_components <= min(n_samples, n_features) = "
                f'{n_most}, got {n_components}; use init="random".'
            )
        W, H = split_singular_vectors(X, n_components, random_state)
        if init != "nndsvd":
            filling = np.sqrt(X.mean(dtype=np.float64) / n_components)
            for factor in (W, H):
                zero = factor == 0.0
                factor[zero] = filling
                if init == "nndsvdar":
                    factor[zero] *= random_state.uniform(0.0, 0.01, zero.sum())
        return W, H

    def _custom_factors(self, X, W, H):
        if W is None or H is None:
            raise ValueError('init="custom" needs both W and H.')
        checks = {"dtype": np.float64, "ensure_non_negative": True, "copy": True}
        W = check_array(W, input_name="W", **checks)
        H = check_array(H, input_name="H", **checks)
        n_components = len(H) if self.n_components == "auto" else self.n_components
        for name, factor, shape in (
            ("W", W, (X.shape[0], n_components)),
            ("H", H, (n_components, X.shape[1])),
        ):
            if factor.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {factor.shape}.")
        return np.ascontiguousarray(W), np.ascontiguousarray(H.T)

    def _iterate(self, run):
        """Run the iterations and tell the callbacks."""
        arguments = {
            "estimator": self,
            "X": run.X,
            "reconstruction_attributes": lambda: {
                "components_": run.H.T.astype(run.X.dtype, order="C"),
                "n_components_": run.H.shape[1],
            },
        }
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(**arguments)
        self.loss_curve_ = [run.best_error]
        for _ in range(self.max_iter):
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(**arguments)
            self.loss_curve_.append(run.iterate())
            stop = task.call_on_fit_task_end(**arguments)
            if stop or self._has_converged(np.sqrt(run.square)):
                break
        else:
            if self.tol > 0.0:
                warnings.warn(
                    f"The error still falls after max_iter={self.max_iter} iterations. "
                    "Increase max_iter or tol.",
                    ConvergenceWarning,
                    stacklevel=WARN_AT_CALLER,
                )
        self.n_iter_ = len(self.loss_curve_) - 1
        context.call_on_fit_task_end(**arguments)

    def _has_converged(self, norm):
        curve = self.loss_curve_
        return (
            self.tol > 0.0
            and len(curve) > PATIENCE
            and curve[-1 - PATIENCE] - curve[-1] <= self.tol * norm
        )

    def _solve(self, X):
        """Solve the nonnegative least squares problem of each sample."""
        basis, triangle = np.linalg.qr(self.components_.T.astype(np.float64))
        solve = partial(nnls, triangle, maxiter=NNLS_STEPS * self.n_components_)
        return np.array([solve(target)[0] for target in multiply(X, basis)])

    @property
    def _n_features_out(self):
        """Number of columns of what `transform` returns."""
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class Factorization:
    """An approximation ``W @ H.T`` of a matrix, and how to improve it.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    square : float
        Sum of the squares of X.
    W : ndarray of float64 of shape (n_samples, n_components)
    H : ndarray of float64 of shape (n_features, n_components)
    sparsity_W, sparsity_H : float or None
        Hoyer sparsity of the columns of the factors.
    per_vector : bool
        Whether each column has it, or all of them on average.

    Attributes
    ----------
    best_W, best_H : ndarray
        The factors with the least error, `best_error`.
    """

    def __init__(self, X, square, W, H, *, sparsity_W, sparsity_H, per_vector):
        self.X = X
        self.square = square
        self.per_vector = per_vector
        self.sparsity_W = sparsity_W
        self.sparsity_H = sparsity_H
        # Squared errors below this are lost in the rounding of the sums they come from.
        self.rounding = 1e3 * np.finfo(X.dtype).eps * square
        self.W, self.H = W, H
        self.balance()
        self.project_both()
        self.rescale()
        self.best_error = np.inf
        self.keep_best(self.error())

    def project(self, factor, sparsity):
        """Give the columns of a factor their sparsity."""
        if sparsity is None:
            return factor
        return projection_hoyer(
            factor, sparsity, axis=0, per_vector=self.per_vector, n_threads=1
        )

    def project_both(self):
        self.W = self.project(self.W, self.sparsity_W)
        self.H = self.project(self.H, self.sparsity_H)

    def rescale(self):
        """Multiply W by the number that makes the error least."""
        reach = np.sum((self.W.T @ self.W) * (self.H.T @ self.H))
        if reach > 0.0:
            self.W *= np.sum(multiply(self.X, self.H) * self.W) / reach

    def error(self, cross=None):
        """Return the norm of the residual, for free if ``cross = X @ H`` is known."""
        if cross is None and sparse.issparse(self.X):
            cross = multiply(self.X, self.H)
        if cross is not None:
            fitted = np.sum((self.W.T @ self.W) * (self.H.T @ self.H))
            square = self.square - 2.0 * np.sum(self.W * cross) + fitted
            if square > self.rounding:
                return float(np.sqrt(square))
        return float(np.sqrt(sum(np.sum(block * block) for block in self.residuals())))

    def residuals(self):
        """Yield ``X - W @ H.T``, a few rows at a time."""
        n_samples, n_features = self.X.shape
        for rows in gen_batches(n_samples, max(1, BLOCK_ENTRIES // n_features)):
            block = self.X[rows]
            block = block.toarray() if sparse.issparse(block) else block
            yield block - self.W[rows] @ self.H.T

    def iterate(self):
        """Update both factors once and return the norm of the residual."""
        self.balance()
        self.revive()
        self.H = self.update(
            self.H, self.W.T @ self.W, multiply(self.X.T, self.W), self.sparsity_H
        )
        cross = multiply(self.X, self.H)
        self.W = self.update(self.W, self.H.T @ self.H, cross, self.sparsity_W)
        error = self.error(cross)
        self.keep_best(error)
        return error

    def keep_best(self, error):
        """Copy the factors if they are the best so far."""
        if error < self.best_error:
            self.best_error = error
            self.best_W, self.best_H = self.W.copy(), self.H.copy()

    def balance(self):
        """Make the norms of both factors equal in each component.

        The projection of a group takes more from columns that are shorter, so the
        balance decides where the zeros will be.
        """
        norms_W, norms_H = (np.linalg.norm(F, axis=0) for F in (self.W, self.H))
        alive = (norms_W > 0.0) & (norms_H > 0.0)
        self.W[:, ~alive] = self.H[:, ~alive] = 0.0
        ratios = np.sqrt(norms_H[alive] / norms_W[alive])
        self.W[:, alive] *= ratios
        self.H[:, alive] /= ratios

    def revive(self):
        """Let components that are zero describe the features described worst."""
        dead = np.flatnonzero(~self.W.any(axis=0))
        if len(dead) == 0 or self.error() ** 2 <= self.rounding:
            return
        missing = self.missing()
        worst = np.argsort(-missing, kind="stable")[: len(dead)]
        worst = worst[missing[worst] > 0.0]
        dead = dead[: len(worst)]
        columns = self.X[:, worst]
        columns = columns.toarray() if sparse.issparse(columns) else columns
        self.W[:, dead] = np.maximum(columns - self.W @ self.H[worst].T, 0.0)
        self.H[worst, dead] = 1.0
        self.balance()
        self.project_both()

    def missing(self):
        """Sum the squares of the positive part of the residual, for each feature."""
        if not sparse.issparse(self.X):
            return sum(
                np.sum(np.maximum(block, 0.0) ** 2, axis=0)
                for block in self.residuals()
            )
        # Where X is zero, nothing is missing.
        X = self.X.tocoo()
        missing = np.zeros(X.shape[1])
        for part in gen_batches(X.nnz, max(1, BLOCK_ENTRIES // self.H.shape[1])):
            rows, columns = X.row[part], X.col[part]
            fitted = np.sum(self.W[rows] * self.H[columns], axis=1)
            squares = np.maximum(X.data[part] - fitted, 0.0) ** 2
            missing += np.bincount(columns, squares, minlength=len(missing))
        return missing

    def update(self, factor, gram, cross, sparsity):
        """Move a factor F towards the least ``<F @ gram / 2 - cross, F>``."""
        if sparsity is None:
            descend_coordinates(gram, cross, factor, UPDATE_DELTA, UPDATE_STEPS)
            return factor
        return self.descend_gradient(factor, gram, cross, sparsity)

    def descend_gradient(self, current, gram, cross, sparsity):
        """Take accelerated projected gradient steps that do not raise the error."""
        largest_curvature = np.linalg.norm(gram, 2)
        if largest_curvature == 0.0:
            return current

        def step_from(point):
            moved = point - (point @ gram - cross) / largest_curvature
            moved = self.project(np.maximum(moved, 0.0), sparsity)
            return moved, np.sum(moved * (0.5 * (moved @ gram) - cross))

        start = point = current
        value = np.sum(current * (0.5 * (current @ gram) - cross))
        pace, first_move = FIRST_PACE, None
        for _ in range(UPDATE_STEPS):
            new, new_value = step_from(point)
            if new_value > value and point is not current:
                pace = FIRST_PACE
                new, new_value = step_from(current)
            if new_value > value:
                # The projection is not the nearest point, so even a plain step can.
                break
            move = np.linalg.norm(new - current)
            first_move = move if current is start else first_move
            square = pace * pace
            next_pace = 0.5 * (np.sqrt(square * square + 4.0 * square) - square)
            momentum = pace * (1.0 - pace) / (square + next_pace)
            point = new + momentum * (new - current)
            current, value, pace = new, new_value, next_pace
            if move <= UPDATE_DELTA * first_move:
                break
        return current


def sum_squares(X):
    """Return the sum of the squares of X, if X is fit to be computed with."""
    values = X.data if sparse.issparse(X) else X.ravel(order="K")
    square = np.einsum("i,i->", values, values, dtype=np.float64)
    # No product with X, which are sums in its dtype, comes near ten times this bound.
    bound = np.sqrt(square) * np.sqrt(max(X.shape))
    if bound > 0.1 * np.finfo(X.dtype).max or (square == 0.0 and values.any()):
        raise ValueError(
            "The entries of X are too large or too small to compute with in "
            f"{X.dtype}; rescale X."
        )
    return square


def multiply(X, factor):
    """Return ``X @ factor`` in float64, computed in the dtype of X."""
    # Where the entries of X fit float32, products with those of a factor may not.
    scale = np.abs(factor).max() or 1.0
    return scale * (X @ (factor / scale).astype(X.dtype, copy=False)).astype(np.float64)


def split_singular_vectors(X, n_components, random_state):
    """Return nonnegative factors, the larger parts of pairs of singular vectors."""
    U, values, Vt = randomized_svd(
        X, n_components, power_iteration_normalizer="QR", random_state=random_state
    )
    U, V, values = (np.float64(part) for part in (U, Vt.T, values))
    positive, negative = (
        (np.maximum(sign * U, 0.0), np.maximum(sign * V, 0.0)) for sign in (1.0, -1.0)
    )
    sizes = [
        np.linalg.norm(u, axis=0) * np.linalg.norm(v, axis=0)
        for u, v in (positive, negative)
    ]
    chosen = sizes[0] >= sizes[1]
    W, H = (np.where(chosen, p, n) for p, n in zip(positive, negative, strict=True))
    return tuple(np.ascontiguousarray(F * np.sqrt(values)) for F in (W, H))
