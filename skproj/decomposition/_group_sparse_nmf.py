"""Nonnegative matrix factorisation with factors of a given Hoyer sparsity."""

from __future__ import annotations

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
from sklearn.utils import check_array

from skproj._typing import ArrayLike, Integer, Number, RandomState
from skproj.decomposition._factorization import (
    Factorization,
    SparsityConstraint,
    Statistics,
    multiply,
    sum_squares,
    update_online,
)
from skproj.decomposition._initial_factors import initial_factors
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._docs import shared_docs
from skproj.utils._features import in_order
from skproj.utils._state import VersionedState, store_parameters
from skproj.utils._validation import (
    SUPPORTED_DTYPES,
    Interval,
    StrOptions,
    _fit_context,
    atomic_fit,
    check_is_fitted,
    validate_data,
)

# Steps per component that the solution of a small least squares problem may take.
NNLS_STEPS = 100

# The error has to fall by more than `tol` in so many iterations.
N_ITER_NO_CHANGE = 10

# Stack level of the caller of `fit_transform`, which `fit` may have called.
WARN_AT_CALLER = 6


FIT_DOCS = {
    "data": """
    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Nonnegative data, float32 or float64. CSR and CSC matrices are used as they are.
    y : None
        Ignored.
    W : array-like of shape (n_samples, n_components), default=None
        Initial `W`, if ``init="custom"``.
    H : array-like of shape (n_components, n_features), default=None
        Initial `H`, if ``init="custom"``.
    """,
    "problems": """
    {raises}

    Warns
    -----
    ConvergenceWarning
        If the error still falls after `max_iter` iterations.
    """,
    "raises": """
    Raises
    ------
    ValueError
        If a parameter or the data is unsuitable.
    """,
}


@shared_docs()
class GroupSparseNMF(
    VersionedState,
    DocumentationLink,
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
    sparsity is met, so that no penalty has to be tuned, and it holds on average: a
    component that needs many entries keeps them, and others become sparser [1]_.

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
    weights_W : array-like of shape (n_samples,), default=None
        Weights of the samples in the sparsity of `W`, not negative: components use
        samples with a larger weight less. None means 1, see the notes.
    weights_H : array-like of shape (n_features,), default=None
        Weights of the features in the sparsity of `H`. A Series is read by the names
        in its index.
    mode : {"group", "column"}, default="group"
        Whether the sparsity holds on average over the components ("group"), or for
        each of them by itself ("column", as in [2]_).
    init : {"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}, default=None
        Initial matrices:

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
    forget_factor : float, default=0.7
        Factor of what `partial_fit` has learnt from earlier batches, at each new one,
        as in :class:`sklearn.decomposition.MiniBatchNMF`: 1 forgets nothing, 0 all.
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
        Number of iterations. `partial_fit` removes it, as the two before.
    n_steps_ : int
        Number of calls of `partial_fit`, which alone sets this and the next two.
    gram_ : ndarray of shape (n_components, n_components)
        Sum over the batches of ``W.T @ W``, with earlier ones forgotten.
    cross_ : ndarray of shape (n_features, n_components)
        Sum over the batches of ``X.T @ W``.
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
    With weights v, the sparsity of a vector is that of :func:`hoyer_sparsity
    <skproj.projection.hoyer_sparsity>`, :math:`(\|v\|_2 - \sum_i v_i |x_i| / \|x\|_2)
    / (\|v\|_2 - \min_i v_i)` [1]_. It needs ``mode="group"``.

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

    The problem is not convex: the result depends on `init`.

    {group_sparse_reference}
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

    components_: np.ndarray
    n_components_: int
    reconstruction_err_: float
    loss_curve_: list[float]
    n_iter_: int
    n_steps_: int

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [
            Interval(numbers.Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "sparsity_W": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "sparsity_H": [Interval(numbers.Real, 0, 1, closed="both"), None],
        "weights_W": ["array-like", None],
        "weights_H": ["array-like", None],
        "mode": [StrOptions({"group", "column"})],
        "init": [
            StrOptions({"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}),
            None,
        ],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "forget_factor": [Interval(numbers.Real, 0, 1, closed="both")],
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
        ("components_", "cross_", "gram_", "n_components_", "n_steps_"),
    )

    def __init__(
        self,
        n_components: Integer | str = "auto",
        *,
        sparsity_W: Number | None = None,
        sparsity_H: Number | None = None,
        weights_W: ArrayLike | None = None,
        weights_H: ArrayLike | None = None,
        mode: str = "group",
        init: str | None = None,
        max_iter: Integer = 500,
        tol: Number = 1e-4,
        forget_factor: Number = 0.7,
        random_state: RandomState = None,
    ) -> None:
        store_parameters(**locals())

    @shared_docs(**FIT_DOCS)
    def fit(self, X, y=None, W=None, H=None):
        """Factorise X.

        {data}

        Returns
        -------
        self : object
            The fitted estimator.

        {problems}
        """
        self.fit_transform(X, y, W=W, H=H)
        return self

    @shared_docs(**FIT_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit_transform(self, X, y=None, W=None, H=None):
        """Factorise X and return the factor W.

        {data}

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            The coefficients of the samples. They meet `sparsity_W`; without it they
            are those that `transform` returns.

        {problems}
        """
        X = self._validate_data(X, reset=True)
        square = sum_squares(X)
        run = Factorization(
            X,
            square,
            *self._initial_factors(X, W, H),
            constraint_W=self._constraint("W", X.shape[0]),
            constraint_H=self._constraint("H", X.shape[1]),
        )
        self._iterate(run)
        self.components_ = run.best_H.T.astype(X.dtype, order="C")
        self.n_components_ = len(self.components_)
        run.H = self.components_.T.astype(np.float64, order="C")
        run.W = self._solve(X) if self.sparsity_W is None else run.best_W
        W = run.W.astype(X.dtype)
        self.reconstruction_err_ = run.error()
        self._set_fitted(
            {name: vars(self)[name] for name in self._fitted_attributes[0]}
        )
        return W

    @shared_docs(**FIT_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def partial_fit(self, X, y=None, W=None, H=None):
        """Update the components for a batch of samples.

        The coefficients of the batch are found for the present components, and the
        components updated once for these and those of earlier batches. `sparsity_W`
        and `weights_W` apply to the samples of the batch. The first call makes initial
        components from its batch; after `fit` it begins with those of `fit`, and
        without memory of its data. A component that becomes zero stays zero.

        {data}

        Returns
        -------
        self : object
            The estimator.

        {raises}
        """
        is_first = not hasattr(self, "components_")
        self._validate_params()  # of later calls nobody else does
        X = self._validate_data(X, reset=is_first)
        sum_squares(X)
        constraint_W = self._constraint("W", X.shape[0])
        constraint_H = self._constraint("H", X.shape[1])
        if is_first:
            _, H = self._initial_factors(X, W, H)
            H = H if constraint_H is None else constraint_H.project(H)
            self.components_ = H.T
            self.n_components_ = H.shape[1]
        elif W is not None or H is not None:
            raise ValueError("W and H must be None after the first call.")
        elif self.n_components not in ("auto", self.n_components_):
            raise ValueError(
                f"n_components must stay {self.n_components_} after the first call, "
                f"got {self.n_components}."
            )
        past = Statistics(self.gram_, self.cross_) if hasattr(self, "gram_") else None
        H, statistics = update_online(
            X,
            self._solve(X),
            self.components_.T.astype(np.float64, order="C"),
            past,
            self.forget_factor,
            constraint_W,
            constraint_H,
        )
        self._set_fitted(
            {
                "components_": H.T.astype(X.dtype, order="C"),
                "n_components_": H.shape[1],
                "n_steps_": getattr(self, "n_steps_", 0) + 1,
                "gram_": statistics.gram,
                "cross_": statistics.cross,
            }
        )
        return self

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

    def _constraint(self, factor, n_entries):
        """Return the projection of a factor, or None."""
        name = f"weights_{factor}"
        weights = getattr(self, name)
        if weights is not None:
            if factor == "H":  # whose Series may have another order than the columns
                names = getattr(self, "feature_names_in_", None)
                weights = in_order(weights, n_entries, names, name)
            weights = check_array(
                weights, ensure_2d=False, dtype=float, input_name=name
            )
            if weights.shape != (n_entries,):
                raise ValueError(
                    f"{name} must have shape ({n_entries},), got {weights.shape}."
                )
            if weights.min() < 0.0 or weights.max() == 0.0:
                raise ValueError(f"{name} must not be negative, and not all zero.")
            if self.mode == "column":
                raise ValueError(f'{name} must be None with mode="column".')
        sparsity = getattr(self, f"sparsity_{factor}")
        if sparsity is None:
            return None
        return SparsityConstraint(sparsity, weights, self.mode == "column", n_entries)

    def _initial_factors(self, X, W, H):
        return initial_factors(
            X,
            W,
            H,
            n_components=self.n_components,
            init=self.init,
            random_state=self.random_state,
        )

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
        norm = np.sqrt(run.square)
        for _ in range(self.max_iter):
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(**arguments)
            self.loss_curve_.append(run.iterate())
            stop = task.call_on_fit_task_end(**arguments)
            if stop or self._has_converged(norm):
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
            and len(curve) > N_ITER_NO_CHANGE
            and curve[-1 - N_ITER_NO_CHANGE] - curve[-1] <= self.tol * norm
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
