"""Display of the survival of samples of different predicted risk."""

import numbers

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from skproj.inspection import _common
from skproj.metrics import kaplan_meier_estimator
from skproj.utils._docs import shared_docs
from skproj.utils._survival import read_survival

# Of the numbers at risk: points from the axes to the title, and from row to row.
TITLE_OFFSET, ROW_HEIGHT = -46.0, -13.0
# Where it is clear which is which, the number is not needed.
GROUP_NAMES = {2: ("low", "high"), 3: ("low", "medium", "high")}
LINE_STYLES = ("-", "--", "-.")


@shared_docs(**_common.DOCS)
class SurvivalCurvesDisplay:
    """Kaplan-Meier curves of samples of low to high predicted risk [1]_.

    Create it with `from_predictions`. The curves of good predictions lie apart. A tick
    on a curve is a censored sample.

    Parameters
    ----------
    y_true : structured ndarray or DataFrame of shape (n_samples,)
        Events and times, see :doc:`/survival` for the form.
    group : array-like of int of shape (n_samples,)
        The group of each sample, from 0, the lowest risk.
    group_names : list of str, default=None
        None stands for "low risk", "medium risk" and "high risk", or for numbers.

    Attributes
    ----------
    {axes}
    lines_ : list of matplotlib Line2D
        The curves, the lowest risk first. The legend has the events and the samples.

    See Also
    --------
    skproj.metrics.kaplan_meier_estimator : The numbers of a curve.

    {kaplan_meier_reference}

    Examples
    --------
    >>> from skproj import ProjectionFeatureSelector
    >>> from skproj.datasets import make_survival
    >>> from skproj.inspection import SurvivalCurvesDisplay
    >>> X, y = make_survival(n_features=50, return_X_y=True, random_state=0)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=5).fit(X, y)
    >>> risk = X @ selector.coef_[0]
    >>> display = SurvivalCurvesDisplay.from_predictions(y, risk)
    >>> display.group_names
    ['low risk', 'medium risk', 'high risk']
    """

    def __init__(self, *, y_true, group, group_names=None):
        self.y_true = read_survival(y_true, "y_true")
        self.group = column_or_1d(group)
        check_consistent_length(self.y_true, self.group)
        if self.group.dtype.kind not in "biu" or self.group.min() < 0:
            raise ValueError(f"group must hold integers from 0, got {group!r}.")
        n_groups = int(self.group.max()) + 1
        if group_names is None:
            words = GROUP_NAMES.get(n_groups, np.arange(1, n_groups + 1))
            group_names = [f"{word} risk" for word in words]
        if len(group_names) != n_groups:
            raise ValueError(
                f"group_names must have a name for each of {n_groups} groups, got "
                f"{len(group_names)}."
            )
        self.group_names = list(group_names)

    @classmethod
    def from_predictions(cls, y_true, y_score, *, n_groups=3, ax=None, at_risk=False):
        """Divide samples into groups of about the same size by their risk, and draw.

        Parameters
        ----------
        y_true : structured ndarray or DataFrame of shape (n_samples,)
            Events and times, see :doc:`/survival` for the form.
        y_score : array-like of shape (n_samples,)
            Predicted risk, such as the logarithm of the hazard; larger is an earlier
            event.
        n_groups : int, default=3
            Number of groups: 3 are thirds. Samples of equal risk stay together.
        {ax}
        at_risk : bool, default=False
            Whether to write below the axes how many samples of each group are at risk,
            those without an event or censoring before that time.

        {display}

        Raises
        ------
        ValueError
            If `y_true` is not of that form, if `y_score` has another number of
            samples, or if there are more groups than samples.
        """
        y_true = read_survival(y_true, "y_true")
        y_score = column_or_1d(y_score, dtype=np.float64)
        check_consistent_length(y_true, y_score)
        if np.isnan(y_score).any():
            raise ValueError("y_score must be numbers, got NaN among them.")
        limits = {"min_val": 1, "max_val": len(y_true)}
        check_scalar(n_groups, "n_groups", numbers.Integral, **limits)
        share_below = (rankdata(y_score) - 0.5) / len(y_score)
        # Equal risks may leave groups empty.
        group = np.unique((n_groups * share_below).astype(int), return_inverse=True)[1]
        return cls(y_true=y_true, group=group).plot(ax, at_risk=at_risk)

    def plot(self, ax=None, *, at_risk=False):
        """Draw the curves.

        Parameters
        ----------
        {ax}
        at_risk : bool, default=False
            Whether to write the numbers at risk below the axes.

        {display}
        """
        self.ax_ = ax = _common.single_axes(ax)
        self.figure_, self.lines_ = ax.figure, []
        styles = _common.looks(len(self.group_names), LINE_STYLES)
        for i, (color, line) in enumerate(styles):
            y = self.y_true[self.group == i]
            times, probability = kaplan_meier_estimator(y["event"], y["time"])
            times = np.concatenate([[0.0], times, [y["time"].max(initial=0.0)]])
            probability = np.append(1.0, probability)
            probability = np.append(probability, probability[-1])
            n_events = np.count_nonzero(y["event"])
            label = f"{self.group_names[i]}: {n_events} events of {len(y)}"
            style = {"where": "post", "color": color, "linestyle": line}
            self.lines_ += ax.step(times, probability, label=label, **style)
            censored = np.sort(y["time"][~y["event"]])
            places = np.searchsorted(times[:-1], censored, side="right") - 1
            marks = {"color": color, "markersize": 5, "alpha": 0.7}
            ax.plot(censored, probability[places], "|", **marks)
        ax.set_xlim(left=0.0)
        ax.set(ylim=(0.0, 1.02), xlabel="Time", ylabel="Share without event")
        self.legend_ = _common.legend_above(ax, self.lines_)
        if at_risk:
            self._write_at_risk()
        return self

    def _write_at_risk(self):
        low, high = self.ax_.get_xlim()
        times = [time for time in self.ax_.get_xticks() if low <= time <= high]
        self.ax_.set_xticks(times)
        place = {"xycoords": self.ax_.get_xaxis_transform(), "va": "center"}
        place |= {"textcoords": "offset points"}
        self.ax_.annotate("At risk", (low, 0.0), (0.0, TITLE_OFFSET), **place)
        for i, line in enumerate(self.lines_):
            offset = 0.0, TITLE_OFFSET + ROW_HEIGHT * (i + 1)
            style = {"color": line.get_color(), "ha": "center", **place}
            for time in times:
                n_left = np.sum(self.y_true["time"][self.group == i] >= time)
                self.ax_.annotate(f"{n_left}", (time, 0.0), offset, **style)
