"""Selections of features on the two halves of random splits."""

import warnings
from functools import partial
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.parallel import delayed

from skproj.blocks._passes import run_together
from skproj.blocks._row_blocks import RowBlocks, take_rows
from skproj.linear_model._cox import null_residuals
from skproj.linear_model._design import StandardizedDesign
from skproj.linear_model._targets import has_columns, looks_like_labels, plain_target
from skproj.utils._moments import mean_and_deviation, normalized_weights
from skproj.utils._splits import check_groups
from skproj.utils._stability import stability_index
from skproj.utils._survival import is_survival, read_target
from skproj.utils._tasks import report_tasks, run_tasks
from skproj.utils._validation import _check_method_params, _check_sample_weight

# Two in each half.
MIN_SAMPLES = 4

DEFAULT_THRESHOLD = 0.75

# Of data in blocks, so many pairs of halves share the passes and the memory.
PAIRS_TOGETHER = 8

# A half on which few features are selected, or none, counts like any other.
EXPECTED_WARNINGS = (
    r"No feature is selected|No feature was selected"
    r"|Only \d+ features (are|could be) selected"
)


def check_target(y):
    """Return the target as an array; that of survival times is structured."""
    y = read_target(y)
    if is_survival(y):
        return y
    return check_array(plain_target(y), ensure_2d=False, dtype=None, input_name="y")


def drop_weightless(X, y, groups, fit_params):
    """Leave out the samples of weight zero, so that halves are made of the others.

    `groups` may be None. `fit_params` has a `sample_weight`, which is returned as an
    array.
    """
    weight = _check_sample_weight(fit_params["sample_weight"], X)
    fit_params = fit_params | {"sample_weight": weight}
    rows = np.flatnonzero(weight)
    if len(rows) < MIN_SAMPLES:
        raise ValueError(
            f"sample_weight must have at least {MIN_SAMPLES} nonzero entries, got "
            f"{len(rows)}."
        )
    if len(rows) == X.shape[0]:
        return X, y, groups, fit_params
    return (
        take_rows(X, rows),
        None if y is None else y[rows],
        None if groups is None else _safe_indexing(groups, rows),
        _check_method_params(X, fit_params, indices=rows),
    )


def select_on_all(candidates, common, seeds, n_jobs, progress):
    """Yield the results of `_select_on_halves` for all seeds.

    `common` are its arguments from `X` to `fit_params`, `progress` the last ones of
    `run_tasks`. Of data in blocks, several pairs of halves share the passes.
    """
    if isinstance(common[0], RowBlocks):
        calls = [
            partial(_select_on_halves, candidates, *common, seed) for seed in seeds
        ]
        together = (
            _run_quietly(run_together, calls[start : start + PAIRS_TOGETHER])
            for start in range(0, len(calls), PAIRS_TOGETHER)
        )
        return report_tasks(chain.from_iterable(together), *progress)
    calls = (
        delayed(_run_quietly)(_select_on_halves, candidates, *common, seed)
        for seed in seeds
    )
    return run_tasks(calls, n_jobs, *progress)


def _run_quietly(function, *arguments):
    """Ignore the warnings that few features are selected, in all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=EXPECTED_WARNINGS)
        return function(*arguments)


def _select_on_halves(candidates, X, y, groups, stratified, fit_params, seed):
    """Select features on the halves of a random split with clones of the candidates.

    `groups` are numbers of groups that stay together, or None. If `stratified`, both
    halves get the same number of samples, or of groups, of each class.

    Returns masks of shape (2, n_candidates, n_features), and those of as many features
    of the largest F statistic, of shape (2, n_features), or (2, 0) without `y`.
    """
    random_state = np.random.RandomState(seed)
    # Numbered here: what comes with the task may be lost with the worker that has it.
    labels = number_classes(y) if stratified else None
    strata = np.zeros(X.shape[0], dtype=int) if labels is None else labels
    supports, baseline = [], []
    if groups is None:
        halves = draw_halves(strata, random_state)
    else:
        halves = draw_group_halves(strata, groups, random_state)
    for rows in halves:
        half = take_rows(X, rows)
        target = None if y is None else y[rows]
        params = _check_method_params(X, fit_params, indices=rows)
        seed = random_state.randint(2**31 - 1)
        fitted = [seeded(c, seed).fit(half, target, **params) for c in candidates]
        support = np.array([selected_by(estimator) for estimator in fitted])
        supports.append(support)
        n_selected = np.count_nonzero(support.any(axis=0))
        columns = np.zeros(0, dtype=bool)
        if y is not None:
            classes = None if labels is None else labels[rows]
            explained = univariate_scores(
                half, target, classes, params.get("sample_weight")
            )
            columns = np.zeros(len(explained), dtype=bool)
            columns[np.argsort(-explained, kind="stable")[:n_selected]] = True
        baseline.append(columns)
    return np.array(supports), np.array(baseline)


def count_selections_of_halves(
    path_supports, baseline_supports, threshold, max_false_selections, stacklevel
):
    """Return the fitted attributes that follow from the selections of all halves.

    The supports have the shape (n_halves, n_values, n_features), those of the baseline
    (n_halves, n_features), or (n_halves, 0) if there is none.
    """
    supports = path_supports.any(axis=1)
    mean_n_features = float(supports.sum(axis=1).mean())
    threshold, n_false = _choose_threshold(
        threshold, max_false_selections, mean_n_features, supports.shape, stacklevel + 1
    )
    results = {
        "expected_false_selections_": n_false,
        "mean_n_features_": mean_n_features,
        "path_probabilities_": path_supports.mean(axis=0),
        "supports_": supports,
        "threshold_": threshold,
    }
    for prefix, masks in (("", supports), ("baseline_", baseline_supports)):
        if masks.size > 0:
            stability, interval = stability_index(masks)
            results |= {
                f"{prefix}selection_probabilities_": masks.mean(axis=0),
                f"{prefix}stability_": stability,
                f"{prefix}stability_interval_": interval,
            }
    return results


def _choose_threshold(threshold, max_false, mean_n_features, shape, stacklevel):
    """Return the threshold, and the bound on the number of false selections."""
    n_halves, n_features = shape
    smallest = mean_n_features**2 / n_features  # the bound for a threshold of 1
    if max_false is None:
        threshold = float(threshold or DEFAULT_THRESHOLD)
    else:
        wanted = 0.5 * (smallest / max_false + 1.0)
        if wanted > 1.0:
            warnings.warn(
                f"max_false_selections={max_false:g} cannot be reached: threshold 1 "
                f"bounds the expected number by {smallest:.3g}, because the estimator "
                f"selects {mean_n_features:.3g} features on average and may select "
                f"{np.sqrt(max_false * n_features):.3g}.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
        # Probabilities are multiples of one over the number of halves.
        threshold = float(np.ceil(min(wanted, 1.0) * n_halves - 1e-9) / n_halves)
    return threshold, smallest / (2.0 * threshold - 1.0) if threshold > 0.5 else np.inf


def is_stratified(stratify, y):
    """Whether `y` holds labels; raises an error if they cannot be stratified."""
    if stratify == "auto":
        if is_survival(y):  # an event, or a censored sample, may be the only one
            return np.bincount(y["event"], minlength=2).min() != 1
        stratify = not has_columns(y) and looks_like_labels(y)
    if stratify:
        number_classes(y)
    return bool(stratify)


def number_classes(y):
    """Return the class number of each sample; the largest class comes last.

    Samples with and without an event are the classes of survival times.
    """
    if is_survival(y):
        y = y["event"]
    if has_columns(y):
        raise ValueError(
            f"stratify=True needs a y of one column, got {y.shape[1]} columns."
        )
    classes, labels, sizes = np.unique(
        y.ravel(), return_inverse=True, return_counts=True
    )
    if sizes.min() == 1:
        raise ValueError(
            "Each class needs a sample in each half, but class "
            f"{classes[sizes.argmin()]} has only 1 sample; if y does not hold "
            "labels, use stratify=False."
        )
    by_size = np.argsort(sizes, kind="stable")
    return np.argsort(by_size)[labels]


def draw_halves(strata, random_state):
    """Return the rows of two halves of the same size, with the same shares of strata.

    If the number of samples is odd, a sample of the last stratum is left out.
    """
    shuffled = random_state.permutation(len(strata))
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    even = shuffled[: len(strata) // 2 * 2]
    return np.sort(even[::2]), np.sort(even[1::2])


def number_groups(groups, n_samples, labels=None):
    """Return the number of the group of each sample.

    A ValueError refuses too few groups for two halves, and a label in one group only.
    """
    groups, codes = check_groups(groups, n_samples, "groups")
    if codes.max() + 1 < MIN_SAMPLES:
        raise ValueError(
            f"groups must have at least {MIN_SAMPLES} different values, two for each "
            f"half, got {codes.max() + 1}."
        )
    if labels is not None:
        labels = labels["event"] if is_survival(labels) else labels.ravel()
        for label in np.unique(labels):
            own = np.unique(codes[labels == label])
            if len(own) == 1:
                raise ValueError(
                    "Each class needs a group in each half, but all samples of class "
                    f"{label} are in group {groups[codes == own[0]][0]}."
                )
    return codes


def draw_group_halves(strata, groups, random_state):
    """Return the rows of two halves of the groups, each with the samples of its groups.

    A group counts to the stratum of most of its samples. If the number of groups is
    odd, one is left out.
    """
    counts = np.zeros((groups.max() + 1, strata.max() + 1), dtype=int)
    np.add.at(counts, (groups, strata), 1)
    halves = draw_halves(counts.argmax(axis=1), random_state)
    return tuple(np.flatnonzero(np.isin(groups, half)) for half in halves)


def seeded(estimator, seed):
    """Return a clone that draws the same numbers wherever it is fitted."""
    estimator = clone(estimator)
    seeds = {
        name: seed
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return estimator.set_params(**seeds)


def selected_by(estimator):
    """Return the mask of the features that a fitted estimator selects."""
    if hasattr(estimator, "get_support"):
        return np.asarray(estimator.get_support())
    generated = [f"x{i}" for i in range(estimator.n_features_in_)]
    names = getattr(estimator, "feature_names_in_", generated)
    try:
        kept = estimator.get_feature_names_out(names)
    except AttributeError:  # it has none, or a step of a pipeline has none
        kept = None
    support = np.isin(names, [] if kept is None else kept)
    if kept is None or np.count_nonzero(support) != len(kept):
        raise ValueError(
            "estimator must have get_support once it is fitted, or be a pipeline of "
            "selectors and of steps that keep the names of the features, got "
            f"{estimator!r}."
        )
    return support


def univariate_scores(X, y, classes, sample_weight):
    """Return the share of each feature's variance that the target explains.

    The F statistic of an analysis of variance, or of a linear regression, grows with
    it. For several targets it is the sum of the shares. It is zero for constant
    features. The integers `classes` are used instead of `y` if they are not None. Of
    survival times, the residuals of equal hazards are explained: the result grows with
    the score test of a Cox model of the feature.
    """
    weights = normalized_weights(sample_weight, X.shape[0])
    targets = columns_of_target(y, classes, weights)
    if not isinstance(X, RowBlocks):
        X = check_array(
            X, accept_sparse="csr", dtype=np.float64, ensure_all_finite="allow-nan"
        )
        if np.isnan(X.data if sparse.issparse(X) else X).any():
            X = SimpleImputer(keep_empty_features=True).fit_transform(X)
    weighted = weights[:, np.newaxis] * targets
    design = StandardizedDesign.from_data(X, weights, weighted, center=True, scale=True)
    return np.square(design.transposed_dot(weighted)).sum(axis=1)


def columns_of_target(y, classes, weights):
    """Return a target as columns of mean zero, for a quadratic loss.

    The integers `classes` are used instead of `y` if they are not None. Of survival
    times, these are the residuals of equal hazards.
    """
    if is_survival(y):
        classes, y = None, null_residuals(y, weights)
    if classes is None and y.dtype.kind not in "biuf":
        classes = y.ravel()
    if classes is None:
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    else:
        targets = (classes[:, np.newaxis] == np.unique(classes)).astype(np.float64)
    mean, scale = mean_and_deviation(targets, weights)
    if classes is not None:
        scale = np.sqrt(mean)
    targets = targets - mean
    return np.divide(targets, scale, out=np.zeros_like(targets), where=scale > 0.0)
