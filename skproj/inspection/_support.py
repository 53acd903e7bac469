"""Display of the importances of features, and which of them are kept."""

import numbers

import numpy as np
from sklearn.utils import check_consistent_length, check_scalar

from skproj.inspection import _common
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional

# Attributes with importances, the preferred one first, and their names.
IMPORTANCE_NAMES = {
    "selection_probabilities_": "selection probability",
    "feature_importances_": "importance",
    "scores_": "score",
}


@shared_docs(**_common.DOCS)
class SupportDisplay:
    """Ranked importances of the features, and which of them are kept.

    Create it with `from_estimator`. After a stability selection [1]_ the importances
    are the probabilities with which features are selected.

    Parameters
    ----------
    importances : array-like of shape (n_features,)
        Importance of each feature.
    support : array-like of bool of shape (n_features,)
        Whether it is kept.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features; None stands for x0, x1 and so on.
    importance_name : str, default="importance"
        Name of the importances.
    threshold : float, default=None
        From which importance on features are kept, if there is such a number.

    Attributes
    ----------
    ranking : ndarray of int of shape (n_features,)
        The features from the most to the least important: the columns of `X` that the
        bars stand for, from the top.
    {axes}
    bars_ : matplotlib BarContainer
        A bar for each of the first features of `ranking`.
    threshold_line_ : matplotlib Line2D or None
        The line at the threshold.

    See Also
    --------
    EtaPathDisplay : How the number of features depends on the radius.
    WeightsDisplay : The weights behind the importances.

    {stability_reference}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelector
    >>> from skproj.inspection import SupportDisplay
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=3).fit(X, y)
    >>> display = SupportDisplay.from_estimator(selector)
    >>> display.feature_names[display.ranking[:3]].tolist()
    ['worst concave points', 'worst radius', 'mean concave points']
    """

    def __init__(
        self,
        *,
        importances,
        support,
        feature_names=None,
        importance_name="importance",
        threshold=None,
    ):
        self.importances = np.asarray(importances)
        self.support = np.asarray(support, dtype=bool)
        check_consistent_length(self.importances, self.support)
        n = len(self.importances)
        self.feature_names = _common.names_of_features(None, None, n, feature_names)
        self.importance_name = importance_name
        self.threshold = threshold
        self.ranking = np.argsort(-self.importances, kind="stable")

    @classmethod
    def from_estimator(cls, estimator, *, feature_names=None, max_features=20, ax=None):
        """Draw what a selector has kept.

        Parameters
        ----------
        estimator : estimator object
            A fitted estimator with `get_support` and `feature_importances_` or
            `scores_`, or a pipeline or search with one. If it has
            `selection_probabilities_`, these are drawn, with the line of its
            `threshold_`.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None takes those that the estimator was fitted with.
        max_features : int, default=20
            Largest number of features to draw.
        {drawn}

        {not_fitted}
        TypeError
            If it does not select features, or has no importances.
        ValueError
            If the number of `feature_names` is wrong.
        """
        step, before = _common.find_step(
            estimator,
            lambda step: (
                hasattr(step, "get_support")
                and _common.first_of(step, IMPORTANCE_NAMES)
            ),
            "get_support, and feature_importances_ or scores_",
        )
        attribute = _common.first_of(step, IMPORTANCE_NAMES)
        values = np.asarray(getattr(step, attribute))
        names = _common.names_of_features(step, before, len(values), feature_names)
        is_probability = attribute == "selection_probabilities_"
        display = cls(
            importances=values,
            support=step.get_support(),
            feature_names=names,
            importance_name=IMPORTANCE_NAMES[attribute],
            threshold=getattr(step, "threshold_", None) if is_probability else None,
        )
        return display.plot(ax, max_features=max_features)

    def plot(self, ax=None, *, max_features=20):
        """Draw the importances.

        Parameters
        ----------
        {ax}
        max_features : int, default=20
            Largest number of features to draw: the first of `ranking`, as the label
            of the axis says. Features of importance zero are left out, unless they are
            kept. What is not finite has a bar at the end of the axis, or none, and its
            value beside it.

        {display}

        Raises
        ------
        ValueError
            If `max_features` is not positive.
        """
        check_scalar(max_features, "max_features", numbers.Integral, min_val=1)
        worth_drawing = (self.importances != 0) | self.support
        candidates = self.ranking[worth_drawing[self.ranking]]
        drawn = candidates[:max_features]
        kept = self.support[drawn]
        self.ax_ = ax = _common.single_axes(ax, n_bars=len(drawn))
        self.figure_ = ax.figure
        values = self.importances[drawn]
        longest = 1.1 * np.abs(values[np.isfinite(values)]).max(initial=0.0) or 1.0
        widths = np.nan_to_num(values, posinf=longest, neginf=-longest)
        self.bars_ = ax.barh(np.arange(len(drawn)), widths)
        for bar, is_kept in zip(self.bars_, kept, strict=True):
            bar.set(**(_common.KEPT if is_kept else _common.REMOVED))
        texts = [
            f"{x}".replace("inf", "∞") if not np.isfinite(x) else "" for x in values
        ]
        ax.bar_label(self.bars_, texts, padding=2)
        _common.label_bars(ax, self.feature_names[drawn])
        patch = import_optional("matplotlib.patches", extra="plot").Patch
        n_all, n_kept = len(self.support), np.count_nonzero(self.support)
        handles = [patch(label=f"kept: {n_kept} of {n_all}", **_common.KEPT)]
        if not kept.all():
            label = f"not kept: {n_all - n_kept} of {n_all}"
            handles.append(patch(label=label, **_common.REMOVED))
        self.threshold_line_ = None
        if self.threshold is not None:
            style = {"color": _common.CONTRAST_COLOR, "linestyle": "--"}
            label = f"threshold: {self.threshold:.3g}"
            self.threshold_line_ = ax.axvline(self.threshold, label=label, **style)
            handles.append(self.threshold_line_)
        ax.set_xlabel(self.importance_name.capitalize())
        if len(drawn) < len(candidates):
            ax.set_ylabel(f"First {len(drawn)} of {len(candidates)} features")
        self.legend_ = _common.legend_above(ax, handles)
        return self
