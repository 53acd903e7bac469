"""The path of the ball-constrained linear models over the radii."""

from skproj.feature_selection._linear_selector import DOCS
from skproj.feature_selection._projection_selector import ProjectionFeatureSelector
from skproj.linear_model._eta_path import (
    check_etas,
    collect_path,
    make_etas,
    solve_path,
    warn_of_unfinished,
)
from skproj.linear_model._targets import choose_loss
from skproj.utils._docs import shared_docs

# Arguments that are no parameters of the selector.
NOT_OF_MODEL = ("X", "y", "etas", "n_etas", "sample_weight", "offset", "strata")


@shared_docs(**DOCS)
def eta_path(
    X,
    y,
    *,
    etas=None,
    n_etas=20,
    projection="l1inf",
    loss="auto",
    sample_weight=None,
    offset=None,
    strata=None,
    class_weight=None,
    positive=False,
    fit_intercept=True,
    standardize=True,
    huber_epsilon=1.35,
    l2_reg=0.0,
    feature_weights=None,
    always_keep=None,
    never_keep=None,
    feature_groups=None,
    max_iter=1000,
    tol=1e-4,
    n_threads=1,
):
    r"""Fit a linear model constrained to a ball for a path of radii.

    {problem}

    The groups of the norm are the rows of `W`, one per feature. From the smallest
    radius to the largest, each model starts where the one before ended, which takes
    less time than separate fits, and gives the same up to `tol`.

    Parameters
    ----------
    {data_or_blocks}
    {targets}
    etas : array-like of shape (n_etas,), default=None
        The radii; they are sorted. If None, `n_etas` radii: 0, for no feature, and a
        geometric progression from nearly the largest that keeps a single feature (or
        those that tie with it) to the largest that matters. Doubling that would lower
        the loss by less than 1 % of what the features have gained, or its slope there
        is 0.4 % of that at zero (5 % for survival times). The progression spans a
        factor of 4 at least, and 1000 at most, after its first radius.
    n_etas : int, default=20
        Number of radii, if `etas` is None; 1 is that of a single feature, 2 are 0 and
        that one.
    projection : str or callable, default="l1inf"
    {projection_loss}
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; those of weight zero count as absent.
    {offset_and_strata}
    {class_weight}
    {positive}
    {fit_intercept}
    {standardize}
    {huber_epsilon}
    {l2_reg}
    {feature_structure}
    {solver}
    {n_threads}

    Returns
    -------
    etas : ndarray of shape (n_etas,)
        The radii, increasing: from sparse to dense.
    coefs : ndarray of shape (n_etas, n_outputs, n_features)
        Coefficients in the units of `X` and `y`. One output for two classes or a
        single target, else one per class or target.
    n_selected : ndarray of shape (n_etas,)
        Number of selected features, those of `always_keep` included.
    dual_gaps : ndarray of shape (n_etas,)
        Duality gaps, as `duality_gap_` of :class:`ProjectionFeatureSelector`.
    intercepts : ndarray of shape (n_etas, n_outputs)
        Intercepts in the units of `X` and `y`.
    n_iters : ndarray of shape (n_etas,)
        Number of gradients.

    Raises
    ------
    ValueError
        If `etas` has a negative radius, if `X`, `y` or `offset` has NaN or
        infinity, if `y`, `offset` or `strata` does not suit `loss`, or if the
        coefficients overflow.

    Warns
    -----
    ConvergenceWarning
        If a model reaches `max_iter`.

    See Also
    --------
    ProjectionFeatureSelectorCV : Choose a radius of the path.
    sklearn.linear_model.lasso_path : The path of the penalised squared error.

    Notes
    -----
    The result is a named tuple. Its order is that of
    :func:`~sklearn.linear_model.lasso_path` with the number of features added; there,
    penalties decrease, so that both go from sparse to dense.

    The solver takes projected gradient steps with momentum [1]_, and steps of Newton's
    method, see :class:`ProjectionFeatureSelector`.

    References
    ----------
    .. [1] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
       linear inverse problems", SIAM Journal on Imaging Sciences 2(1), 2009,
       :doi:`10.1137/080716542`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import eta_path
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> path = eta_path(X, y, etas=[0.1, 1.0, 10.0])
    >>> path.coefs.shape
    (3, 1, 30)
    >>> path.n_selected
    array([ 1,  3, 12])
    """
    arguments = dict(locals())
    selector = ProjectionFeatureSelector(
        **{name: value for name, value in arguments.items() if name not in NOT_OF_MODEL}
    )
    selector._validate_params()
    etas = check_etas(n_etas if etas is None else etas)
    X, y, rows = selector._validate(X, y, sample_weight, offset, strata)
    loss = choose_loss(loss, y)
    problem = selector._make_problem(loss, X, y, rows, l2_reg)
    options = selector._solver_options()
    etas = make_etas(etas, problem, **options)
    fits = list(solve_path(problem, etas, **options))
    n_unfinished = sum(not fit.converged for fit in fits)
    warn_of_unfinished(n_unfinished, len(fits), max_iter, tol, stacklevel=2)
    return collect_path(problem, etas, fits, X.dtype)
