"""Display of scores and numbers of features along a path of radii."""

import numpy as np
from sklearn.utils import check_consistent_length

from skproj.inspection import _common
from skproj.linear_model._losses import TIES
from skproj.utils import _path_search
from skproj.utils._docs import shared_docs
from skproj.utils._state import store_parameters
from skproj.utils._wording import shorten

# What a linear model is scored by, unless the user names a score.
NAMES_OF_SCORES = dict.fromkeys(("squared_error", "huber"), "R2")
NAMES_OF_SCORES |= {"poisson": "minus half the Poisson deviance"}
NAMES_OF_SCORES |= dict.fromkeys(TIES, "gain in log partial likelihood")


@shared_docs(**_common.DOCS)
class EtaPathDisplay:
    """Score and number of kept features against the radius `eta`.

    Create it with `from_estimator` or `from_path`. The data are
    attributes, and ``params[i]`` are the parameters of the model at point `i`.

    Parameters
    ----------
    etas : array-like of shape (n_etas,)
        The radii, increasing. They may be infinite.
    n_features : array-like of shape (n_etas,), default=None
        Number of features that are kept, if it is known.
    mean_scores, std_scores : array-like of shape (n_etas,), default=None
        Mean and standard deviation of the score over the folds.
    params : list of dict, default=None
        Parameters of the model for each radius; None stands for
        ``{"eta": etas[i]}``.
    chosen_index : int, default=None
        Index of the chosen radius, if one was chosen.
    score_name : str, default="score"
        Name of the score.
    n_features_are_means : bool, default=False
        Whether `n_features` are means over the folds, which the legend then says.
    n_selected : int, default=None
        Number of features of the model that was fitted at the chosen radius, which the
        legend has as well if it is another one than on the path.
    note : str, default=""
        Second line of the label of the radii.

    Attributes
    ----------
    chosen_eta : float or None
        The chosen radius.
    ax_ : matplotlib Axes
        Axes of the scores; of the numbers of features if there are no scores.
    figure_ : matplotlib Figure
        Their figure.
    line_, line_features_, chosen_line_ : matplotlib Line2D or None
        The mean scores, the numbers of features, and the mark at the chosen radius.
    band_ : matplotlib PolyCollection or None
        One standard deviation above and below.
    ax_features_ : matplotlib Axes or None
        Axes of the numbers of features.
    {legend}

    See Also
    --------
    SupportDisplay : Which features are kept.
    skproj.feature_selection.ProjectionFeatureSelectorCV : Has such a path.

    Notes
    -----
    The axis of the radius is logarithmic if the radii span a factor of ten. An infinite
    radius, which constrains nothing, is drawn to the right of the finite ones.

    Where a search has tried other parameters too, or a radius several times, a radius
    has one point: the candidate that is most like the chosen one. The label of the axis
    says how many candidates there are, and in what the points differ. The chosen point
    of a :class:`~skproj.nn.SparseSupervisedAutoencoderCV` may be above the others,
    because its network was trained for one more stage, with less noise, or has a
    linear part, which may bring features of its own.

    A fit with ``params[i]`` starts elsewhere than the path did. The two agree up to the
    tolerance of the solver, and may keep other ones of several similar features: the
    models of the path itself are in `path_` of the selector. The samples of the folds
    have a part in the path of the autoencoder, and the importances of its features are
    in `importances_path_`; `final_noise` is a parameter of its `schedule`.

    {bilevel_reference}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import (
    ...     ProjectionFeatureSelector,
    ...     ProjectionFeatureSelectorCV,
    ... )
    >>> from skproj.inspection import EtaPathDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> selector = ProjectionFeatureSelectorCV(8, cv=3).fit(X, y)
    >>> display = EtaPathDisplay.from_estimator(selector)
    >>> display.chosen_eta == selector.eta_
    True
    """

    def __init__(
        self,
        *,
        etas,
        n_features=None,
        mean_scores=None,
        std_scores=None,
        params=None,
        chosen_index=None,
        score_name="score",
        n_features_are_means=False,
        n_selected=None,
        note="",
    ):
        store_parameters(**locals())
        self.etas = np.asarray(etas, dtype=np.float64)
        if params is None:
            self.params = [{"eta": eta} for eta in self.etas.tolist()]
        self.n_features, self.mean_scores, self.std_scores = (
            None if values is None else np.asarray(values)
            for values in (n_features, mean_scores, std_scores)
        )
        check_consistent_length(
            self.etas, self.n_features, self.mean_scores, self.std_scores, self.params
        )
        self.chosen_eta = None
        if chosen_index is not None:
            self.chosen_eta = float(self.etas[chosen_index])

    @classmethod
    def from_estimator(cls, estimator, *, score_name=None, ax=None):
        """Draw the path of an estimator that chose its radius by cross-validation.

        Parameters
        ----------
        estimator : estimator object
            A fitted :class:`~skproj.feature_selection.ProjectionFeatureSelectorCV`,
            :class:`~skproj.nn.SparseSupervisedAutoencoderCV` or search over a
            parameter `eta`; or a pipeline or another search with one of them. A further
            scorer of a search, called "n_features", gives the number of features. If
            other parameters vary too, the path is that of their chosen values, as far
            as the radii were tried with them. Of a successive halving, the last try of
            each radius counts.
        score_name : str, default=None
            Name of the score. None is the parameter `scoring` of the estimator, or
            the score that `refit` names, or "score" if `scoring` is a function.
        {ax}

        Returns
        -------
        display : EtaPathDisplay
            The display, drawn. The numbers of features are those of the path of all
            samples, where the estimator has them.

        {not_fitted}
        TypeError
            If it has no cross-validated path, or of other parameters only.
        ValueError
            If several parameters may be meant, or the chosen candidate has none.
        """

        def has_path(step):
            names = getattr(step, "cv_results_", ())
            has_radii = any(name.endswith(("param_eta", "__eta")) for name in names)
            return has_radii and hasattr(step, "best_index_")

        needed = "a cross-validated path (cv_results_, best_index_) of a parameter eta"
        step, _ = _common.find_step(estimator, has_path, needed)
        arguments = _read_search(step, score_name=score_name)
        path = getattr(step, "path_", None)
        counts = getattr(step, "n_features_path_", getattr(path, "n_selected", None))
        if counts is not None:
            counts = dict(zip(step.etas_, counts, strict=True))
            arguments |= {
                "n_features": [counts[eta] for eta in arguments["etas"]],
                "n_features_are_means": False,
                "n_selected": np.count_nonzero(step.get_support()),
            }
        return cls(**arguments).plot(ax)

    @classmethod
    def from_path(cls, path, *, ax=None):
        """Draw a path without scores.

        Parameters
        ----------
        path : EtaPath
            Result of :func:`~skproj.feature_selection.eta_path`.
        {drawn}
        """
        return cls(etas=path.etas, n_features=path.n_selected).plot(ax)

    def plot(self, ax=None):
        """Draw the path.

        {plot}
        """
        self.ax_ = ax = _common.single_axes(ax)
        self.figure_ = ax.figure
        self.line_ = self.band_ = self.chosen_line_ = None
        self.ax_features_ = self.line_features_ = None
        x = self._draw_radii(ax)
        if self.mean_scores is not None:
            self._draw_scores(ax, x)
        if self.n_features is not None:
            self._draw_counts(ax if self.mean_scores is None else ax.twinx(), x)
        if self.chosen_index is not None:
            style = {"color": "black", "linestyle": ":", "label": self._choice()}
            self.chosen_line_ = ax.axvline(x[self.chosen_index], **style)
        handles = (self.line_, self.band_, self.line_features_, self.chosen_line_)
        self.legend_ = _common.legend_above(ax, [x for x in handles if x is not None])
        return self

    def _draw_radii(self, ax):
        """Prepare the axis of the radii, and return their places on it."""
        inside = self.etas[np.isfinite(self.etas) & (self.etas > 0.0)]
        is_log = _common.spans_decades(inside)
        ax.set_xscale("log" if is_log else "linear")
        lines = ["Radius η", self.note] if self.note else ["Radius η"]
        if self.mean_scores is not None:
            n_lost = np.count_nonzero(~np.isfinite(self.mean_scores))
            lines += [f"{n_lost} without a finite score"] if n_lost else []
        ax.set_xlabel("\n".join(lines), parse_math=False)
        largest, x = inside.max(initial=0.0) or 1.0, self.etas.copy()
        # Radii that have no place on the axis get one beyond the others.
        beyond = {np.inf: (largest * (2.0 if is_log else 1.1), "∞", 0.03, "bottom")}
        if is_log:  # without features a score is the lowest, and a loss the highest
            beyond[0.0] = inside.min() / 2.0, "0", 0.5, "center"
        for eta, (place, name, y, va) in beyond.items():
            if np.any(self.etas == eta):
                x[self.etas == eta] = place
                style = {"rotation": 90, "ha": "right" if eta else "left", "va": va}
                style["transform"] = ax.get_xaxis_transform()
                ax.text(place, y, f"η = {name}", **style)
        return x

    def _draw_scores(self, ax, x):
        means, stds = self.mean_scores, self.std_scores
        style = {"color": _common.KEPT_COLOR, "marker": "o"}
        (self.line_,) = ax.plot(x, means, label=f"mean {self.score_name}", **style)
        if stds is not None:
            style = {"color": _common.KEPT_COLOR, "alpha": 0.2, "linewidth": 0.0}
            style["label"] = "± 1 standard deviation"
            self.band_ = ax.fill_between(x, means - stds, means + stds, **style)
        ax.set_ylabel(self.score_name[:1].upper() + self.score_name[1:])

    def _draw_counts(self, ax, x):
        self.ax_features_, counts = ax, self.n_features
        style = {"color": _common.CONTRAST_COLOR, "marker": "s", "linestyle": "--"}
        label = "number of features"
        if self.n_features_are_means:
            label = "features, mean of the folds"
        (self.line_features_,) = ax.plot(x, counts, label=label, **style)
        positive = counts[counts > 0]
        if _common.spans_decades(positive):
            # No features at all have a place on the axis as well.
            ax.set_yscale("symlog", linthresh=1.0)
            lowest = 0.0 if np.nanmin(counts) < 1 else 0.9
            ax.set_ylim(lowest, 1.2 * positive.max())
            steps = (1, 2, 5) if positive.max() < 500 else (1,)
            ticks = np.append(0, np.outer(10 ** np.arange(10), steps))
            ax.set_yticks(ticks[(ticks >= lowest) & (ticks <= positive.max())])
            ax.yaxis.set_major_formatter("{x:g}")
        else:
            ax.set_ylim(bottom=0.0)
            _common.whole_ticks(ax.yaxis)
        ax.set_ylabel("Number of features")

    def _choice(self):
        """Say which radius was chosen, and what it keeps."""
        label = f"chosen: η = {self.chosen_eta:.3g}"
        if self.n_features is None:
            return label
        n_kept = round(float(self.n_features[self.chosen_index]), 1)
        label += f", {n_kept:g} feature{'' if n_kept == 1 else 's'}"
        if self.n_features_are_means:
            label += " on average"
        elif self.n_selected not in (None, n_kept):
            label += f", {self.n_selected} in the fitted model"
        return label


def _name_of_score(estimator):
    """Return the name of the scorer, or of what stands for None."""
    scoring = getattr(estimator, "scoring", None)
    if isinstance(scoring, str):
        return scoring.replace("_", " ")
    if scoring is not None or not hasattr(estimator, "etas_"):
        return "score"
    if hasattr(estimator, "classes_"):
        return "negative log loss"
    return NAMES_OF_SCORES.get(getattr(estimator, "loss_", None), "score")


def _read_search(search, score_name=None):
    """Return the arguments of a display from a fitted search."""
    results, metric = search.cv_results_, getattr(search, "refit", None)
    metric = metric if f"mean_test_{metric}" in results else "score"
    if score_name is None:
        score_name = _name_of_score(search) if metric == "score" else metric
    name = _path_search.name_of_radius(results)
    params, chosen_row = list(results["params"]), int(search.best_index_)
    if params[chosen_row].get(name) is None:
        raise ValueError(f"The chosen candidate of the search has no {name!r}.")
    described = params
    if "n_resources" in results:  # a successive halving
        more = zip(params, results["n_resources"], strict=True)
        described = [{**candidate, "n_resources": n} for candidate, n in more]
    among = getattr(search, "path_rows_", None)
    if among is None and hasattr(search, "etas_"):
        among = np.flatnonzero(np.isin(results["param_eta"], search.etas_))
    rows = _rows_of_path(described, name, chosen_row, among)
    counts = _path_search.counts_of(results)
    return {
        "etas": [params[row][name] for row in rows],
        "n_features": None if counts is None else np.asarray(counts)[rows],
        "mean_scores": np.asarray(results[f"mean_test_{metric}"])[rows],
        "std_scores": np.asarray(results[f"std_test_{metric}"])[rows],
        "params": [params[row] for row in rows],
        "chosen_index": rows.index(chosen_row),
        "score_name": score_name,
        "n_features_are_means": True,
        "note": _note_on_rows(described, name, chosen_row, rows),
    }


def _note_on_rows(params, name, chosen_row, rows):
    """Say how many candidates have no point, and what else the points differ in."""
    chosen = params[chosen_row]
    differing = [_differing_parameters(row, chosen) for row in params]
    in_table = set().union(*differing)
    in_path = set().union(*(differing[row] for row in rows))
    parts = []
    if len(rows) < len(params):
        parts.append(f"{len(rows)} of {len(params)} candidates")
    for keys, where in ((in_table - in_path, ""), (in_path, " at the chosen η")):
        values = []
        for key in sorted(keys - {name}):
            value = chosen.get(key)
            value = f"{value:.3g}" if isinstance(value, float) else shorten(value)
            values.append(f"{key.rpartition('__')[2].replace('_', ' ')} = {value}")
        if values:
            parts.append(", ".join(values) + where)
    return "; ".join(parts)


def _rows_of_path(params, name, chosen_row, among=None):
    """Return a row of the table for each radius: that which is most like the chosen.

    `params` has a dict for each row, `name` is the radius in it, and only rows `among`
    others count, if they are given, and the chosen one. Of rows that are equally alike
    it is the last: a successive halving has a row for each try of a radius.
    """
    chosen, found = params[chosen_row], {}
    for row in range(len(params)) if among is None else [*among, chosen_row]:
        eta, distance = params[row].get(name), -1  # of the chosen one: it always stays
        if row != chosen_row:
            distance = len(_differing_parameters(params[row], chosen))
        if eta is not None and (eta not in found or distance <= found[eta][0]):
            found[eta] = distance, int(row)
    return [found[eta][1] for eta in sorted(found)]


def _differing_parameters(params, others):
    """Return the names of the parameters in which two candidates differ, as a set."""
    keys = params.keys() | others.keys()
    return {key for key in keys if not _same(params.get(key), others.get(key))}


def _same(value, other):
    # A search uses the same object again; arrays and estimators need no comparison.
    return value is other or (
        (np.isscalar(value) or isinstance(value, tuple | list)) and value == other
    )
