"""The radius, or number of features, of an estimator that is told neither."""

from functools import partial

import numpy as np
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.blocks._duplicates import merge_duplicates
from skproj.blocks._row_blocks import take_rows
from skproj.linear_model._eta_path import make_etas
from skproj.linear_model._fold_scores import make_score, pool_scores, score_fold
from skproj.linear_model._losses import TIES
from skproj.linear_model._targets import has_columns, make_problem
from skproj.utils._path_search import choose_by_gain

# Radii to choose from, the folds that score them, and how often few samples are split.
N_ETAS = 20
N_FOLDS = 5
FEW_SAMPLES, N_REPEATS = 1000, 3
# Share of the best gain over the model without features that the chosen one keeps, and
# share below which no larger radius is tried with another division of the samples.
KEEP_GAIN, HOPELESS_GAIN = 0.95, 0.5
# Of more samples, so many are taken: of this number of entries, but not fewer than the
# last number.
MAX_SAMPLES, MAX_ENTRIES, MIN_SAMPLES = 10_000, 1 << 25, 1000

# Of the linear models that choose for another one.
SOLVER = {"projection": "l12", "max_iter": 1000, "tol": 1e-3}

NOTHING_LEARNED = (
    "No feature is known to matter: no linear model gains more over the one without "
    "features than the standard error of the gain. The smallest model is taken; give "
    "eta or n_features_to_select for another."
)

NO_LINEAR_MODEL = (
    "No linear model could choose how many features to select, and one is; give eta or "
    "n_features_to_select for another number."
)


def choose_radius(make, loss, X, y, rows, options, huber_epsilon=1.35):
    """Choose the radius of a linear model by the scores of samples left out.

    It is the smallest that keeps a share of what the best one gains over the model
    without features, as `choose_by_gain` finds it. Equal samples are merged before
    they are split, so that weights are the same as repetitions. Of blocks, the samples
    are read in a pass.

    Parameters
    ----------
    make : callable
        ``make(loss, X, y, rows)`` returns the problem of some samples.
    loss : str
    X : {ndarray, sparse matrix, RowBlocks} of shape (n_samples, n_features)
    y : ndarray
    rows : dict of ndarray
        Weights, offsets and strata, those that are given.
    options : dict
        Of `BallConstrainedProblem.solve`.
    huber_epsilon : float, default=1.35

    Returns
    -------
    eta : float
        If nothing can be learned, that of the smallest model with a feature.
    learns : bool
    """
    samples = _distinct_samples(X, y, rows)
    return _choose_for_samples(make, loss, *samples, options, huber_epsilon)


def _choose_for_samples(make, loss, X, y, rows, options, huber_epsilon=1.35):
    """Do that for distinct samples in memory."""
    problem = make(loss, X, y, rows)
    if problem.slope(None, options["projection"]) == 0.0:  # all radii are the same
        return 1.0, True
    etas = make_etas(N_ETAS, problem, **options)
    labels = y.ravel() if problem.classes is not None and not has_columns(y) else None
    if loss in TIES:
        labels = y["event"]
    weight = rows["sample_weight"]
    score = make_score(None, huber_epsilon, loss, problem.classes, y, weight)
    results, tests = [], []
    for folds in _divisions(labels, len(y)):
        if results:
            scores, weights, _ = pool_scores(results, tests, len(y))
            etas = etas[: _n_worth_trying(scores, weights)]
            results = [result.first(len(etas)) for result in results]
        for fold in folds:
            job = make, options, (etas, [problem.objective.l2_reg]), loss
            try:
                results.append(score_fold(*job, (X, y, rows), score, fold, {}))
            except ValueError:  # one class, or no event, to train with
                continue
            tests.append(fold[1])
    if not results:
        return float(etas[1]), False
    scores, weights, n_repeats = pool_scores(results, tests, len(y))
    choice = choose_by_gain(
        scores,
        weights,
        etas,
        KEEP_GAIN,
        null=0,
        eligible=etas > 0.0,
        n_repeats=n_repeats,
    )
    return float(etas[choice.rows[0]]), bool(choice.learns[0])


def _n_worth_trying(scores, weights):
    """Return how many of the radii, in rising order from 0, another division needs.

    Behind the last that keeps a share of the best gain, models are larger, slower to
    fit, and worse the larger they are.
    """
    means = np.average(scores, axis=0, weights=weights)
    gains = means - means[0]
    if not gains.max() > 0.0:  # or not finite
        return len(gains)
    return np.flatnonzero(gains >= HOPELESS_GAIN * gains.max())[-1] + 1


def choose_number(loss, X, y, weight, structure):
    """Choose how many features in the ball a model of another kind shall have.

    As many as the linear model in the l1,2 ball has that `choose_radius` finds, and one
    at least. The samples are those of positive weight; for the `structure` see
    `FeatureStructure`.

    Returns
    -------
    number : int
    doubt : str or None
        Why it is one although nothing says so, for a warning.
    """
    if structure.n_in_ball <= 1:
        return structure.n_in_ball, None
    try:
        support, _, learns = choose_support(loss, X, y, weight, structure)
    except ValueError as error:
        return 1, f"{NO_LINEAR_MODEL} {error}"
    kept = np.count_nonzero(support) - len(structure.forced)
    return max(int(kept), 1), None if learns and kept > 0 else NOTHING_LEARNED


def choose_support(loss, X, y, weight, structure):
    """Choose the features of the linear model of `choose_number`.

    Returns
    -------
    support : ndarray of bool of shape (n_features,)
    eta : float
    learns : bool
        Whether there is anything to learn.
    """
    make = partial(_make_problem, structure=structure)
    samples = _distinct_samples(X, y, {"sample_weight": weight})
    eta, learns = _choose_for_samples(make, loss, *samples, SOLVER)
    return _support(make(loss, *samples), eta), eta, learns


def support_at(eta, loss, X, y, weight, structure):
    """Return which features the linear model of `choose_number` has at a radius."""
    rows = {"sample_weight": weight}
    return _support(_make_problem(loss, X, y, rows, structure=structure), eta)


def _support(problem, eta):
    model = problem.models([problem.solve(eta, **SOLVER)])
    return np.array(model.supports[0], dtype=bool)


def _make_problem(loss, X, y, rows, l2_reg=0.0, *, structure):
    return make_problem(
        X,
        y,
        loss=loss,
        **rows,
        positive=False,
        fit_intercept=True,
        standardize=True,
        huber_epsilon=1.35,
        l2_reg=l2_reg,
        structure=structure,
    )


def _distinct_samples(X, y, rows):
    """Return distinct samples in memory, in an order of their own, or some of them."""
    rows = dict(rows)
    weight = rows.pop("sample_weight", None)
    weight = np.ones(len(y)) if weight is None else weight / weight.max()
    limit = min(max(MAX_ENTRIES // max(X.shape[1], 1), MIN_SAMPLES), MAX_SAMPLES)
    if isinstance(X, RowBlocks):
        chosen = _evenly(np.flatnonzero(weight), limit)
        X = take_rows(X, chosen).take_columns(np.arange(X.shape[1]))
        y, weight = y[chosen], weight[chosen]
        rows = {name: values[chosen] for name, values in rows.items()}
    codes = [
        np.unique(column, return_inverse=True)[1].ravel()
        for column in (*np.atleast_2d(y.T), *rows.values())
    ]
    _, labels = np.unique(np.column_stack(codes), axis=0, return_inverse=True)
    X = X.tocsr() if sparse.issparse(X) else np.ascontiguousarray(X)
    chosen, weight, _ = merge_duplicates(X, labels.ravel(), weight)
    places = _evenly(np.arange(len(chosen)), limit)
    chosen, weight = chosen[places], weight[places]
    rows = {name: values[chosen] for name, values in rows.items()}
    return X[chosen], y[chosen], rows | {"sample_weight": weight}


def _evenly(indices, limit):
    """Return at most so many of the indices, evenly spaced."""
    if len(indices) <= limit:
        return indices
    return indices[np.linspace(0, len(indices) - 1, limit).astype(np.intp)]


def _divisions(labels, n_samples):
    """Yield the folds of shuffled samples, stratified by labels if there are some."""
    random_state = np.random.RandomState(0)
    n_folds = min(N_FOLDS, n_samples)
    for _ in range(N_REPEATS if n_samples < FEW_SAMPLES else 1):
        order = random_state.permutation(n_samples)
        if labels is not None:
            order = order[np.argsort(labels[order], kind="stable")]
        of_samples = np.empty(n_samples, dtype=np.intp)
        of_samples[order] = np.arange(n_samples) % n_folds
        yield [
            (np.flatnonzero(of_samples != i), np.flatnonzero(of_samples == i))
            for i in range(n_folds)
        ]
