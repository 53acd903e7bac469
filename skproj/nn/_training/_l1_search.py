"""Search for the l1 weight that leaves a given number of weights."""

import math
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

# Bounds of one step, as factors of the l1 weight, while all counts so far are too large
# or all are too small.
INCREASE_BOUNDS = (1.05, 10.0)
DECREASE_BOUNDS = (0.1, 0.95)
# The largest step for several layers, in logarithms of their l1 weights.
MAX_LOG_STEP = 2.0

# Bounds of a step inside the bracket, as shares of its width.
BRACKET_SHARE_BOUNDS = (0.05, 0.95)
# The narrowest bracket, in logarithms of the l1 weight: counts jump there.
MIN_BRACKET_WIDTH = 1e-4
# A count below this share of the target is that of a network that has broken down, and
# says little about l1 weights that are only a little smaller.
MIN_USABLE_COUNT_SHARE = 0.1

# Bounds of the slope of a count over its l1 weight, on logarithmic axes.
SLOPE_BOUNDS = (0.2, 5.0)
# Weights of Broyden's update for the slope of a layer over its own l1 weight, and over
# that of another layer.
OWN_UPDATE_WEIGHT, OTHER_UPDATE_WEIGHT = 1.0, 0.3
# Added to the squared length of a step, in logarithms of the l1 weights: shorter steps
# change the slopes little, because counts of few weights jump.
SQUARED_STEP_FLOOR = 0.01


def find_l1_weight(
    train,
    count,
    target,
    *,
    total=None,
    alpha_init=1e-3,
    tol=0.01,
    surplus=0,
    max_iter=20,
    callback=None,
):
    r"""Find the l1 weight with which training leaves a given number of weights.

    .. math::

        \min_W \; \text{loss}(W) + \alpha \|W\|_1 \quad \text{or} \quad
        \min_W \; \text{loss}(W) + \sum_k \alpha_k \|W_k\|_1

    The larger :math:`\alpha`, the fewer weights are not zero. The search trains the
    model with one :math:`\alpha` after the other until the count is right, for all
    weights together, or for each layer with an :math:`\alpha_k` of its own.

    Parameters
    ----------
    train : callable
        ``train(alpha)`` trains a model, for as long as a model is to be trained, and
        returns it. `alpha` is a float, or for several layers an array of shape
        (n_layers,). Each call must start from the same weights and random numbers: a
        model that went on from the last one would keep losing weights.
    count : callable
        ``count(model)`` returns the number of nonzero weights, or for several layers
        an array of them.
    target : int or array-like of int of shape (n_layers,)
        The number of nonzero weights to find, or one for each layer. A layer for which
        it is 0 is trained with an infinite `alpha`.
    total : int or array-like of int of shape (n_layers,), default=None
        The number of weights, zero or not. Where it equals `target`, `alpha` is 0.
    alpha_init : float, default=1e-3
        The first l1 weight, finite and positive.
    tol : float, default=0.01
        Largest difference between count and target, relative to the target.
    surplus : int or array-like of int of shape (n_layers,), default=0
        Number of weights beyond the target that is accepted as well: the caller will
        remove them.
    max_iter : int, default=20
        Largest number of models to train.
    callback : callable, default=None
        ``callback(alpha, count, model)`` is called after each step. The search ends
        when it returns True.

    Returns
    -------
    result : Bunch
        The closest model and how it was found:

        - `alpha` : float or ndarray of shape (n_layers,)
        - `model` : what `train` returned for `alpha`
        - `count` : int or ndarray of int of shape (n_layers,)
        - `converged` : bool, whether the count is close enough
        - `history` : dict of ndarray, `alpha` and `count` of each step
        - `n_iter` : int, number of models trained

        Where no count is close enough and a `surplus` is positive, it is the closest
        model of those that have at least as many weights as wanted, if there is one.

    Raises
    ------
    ValueError
        If an argument is unsuitable, or `count` returns another number of layers.

    Warns
    -----
    ConvergenceWarning
        If no count is close enough after `max_iter` steps, or if the count jumps
        over the target.

    See Also
    --------
    SparseMLPClassifier : A network that is trained by this search.

    Notes
    -----
    For one target, the search keeps an :math:`\alpha` with too many weights and one
    with too few, and interpolates the logarithm of the count linearly in that of
    :math:`\alpha`. For several layers, whose counts depend on all
    :math:`\alpha_k`, there are no such brackets: each step moves all of them by
    Broyden's method, which learns from the steps how the layers depend on each other.
    Half a dozen steps are common in both cases.

    The method differs from that of the paper in that each step trains for the same
    number of epochs from a fixed start, whatever the count is on the way.

    References
    ----------
    .. [1] L. Shen, R. Wang, Y. Xu, M. Yan, "Sparse deep learning models
       with the l1 regularization", :arxiv:`2408.02801`.

    Examples
    --------
    The lasso is a model with one layer:

    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Lasso
    >>> from skproj.nn import find_l1_weight
    >>> X, y = make_regression(n_samples=100, n_features=40, noise=9.0, random_state=0)
    >>> result = find_l1_weight(
    ...     lambda alpha: Lasso(alpha).fit(X, y),
    ...     lambda model: np.count_nonzero(model.coef_),
    ...     target=7,
    ... )
    >>> result.count
    7
    """
    result = search_l1_weight(
        train,
        count,
        target,
        total=total,
        alpha_init=alpha_init,
        tol=tol,
        surplus=surplus,
        max_iter=max_iter,
        callback=callback,
    )
    if not result.converged:
        warnings.warn(
            f"The search for the l1 weight ended after {result.n_iter} steps with "
            f"{result.count} nonzero weights, where {target} were wanted: allow more "
            "steps, a larger tolerance or longer training.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def search_l1_weight(
    train, count, target, *, total, alpha_init, tol, surplus, max_iter, callback
):
    """Search as `find_l1_weight`, without a warning."""
    target, total = _check_target(target, total)
    surplus = _check_settings(alpha_init, tol, surplus, max_iter, target)
    is_free = (target > 0) & (target != total)
    fixed = np.where(target == 0, math.inf, 0.0)
    method = (_Bracket if target.ndim == 0 else _Broyden)(target, alpha_init)
    steps = []
    best = above = None
    alpha = method.alpha
    while len(steps) < max_iter:
        alpha = np.where(is_free, alpha, fixed)
        model = train(_plain(alpha))
        counts = np.asarray(count(model))
        if counts.shape != target.shape:
            raise ValueError(
                f"count must return an array of shape {target.shape}, that of target, "
                f"but its shape is {counts.shape}."
            )
        deviation = np.abs(counts - target) / np.maximum(target, 1)
        step = _Step(
            alpha, counts, model, float(np.max(deviation, where=is_free, initial=0.0))
        )
        steps.append(step._replace(model=None))
        best = _closer(step, best)
        if (counts >= target).all():
            above = _closer(step, above)
        in_surplus = (counts >= target) & (counts <= target + surplus)
        converged = bool(np.all((deviation <= tol) | in_surplus | ~is_free))
        if converged:
            best = step
        wants_end = callback is not None and callback(
            _plain(alpha), _plain(counts), model
        )
        if converged or wants_end:
            break
        with np.errstate(over="ignore"):
            alpha = method.next_alpha(np.where(is_free, counts, target))
        # Where the count hardly depends on it, it leaves the range of numbers.
        if alpha is None or not (np.isfinite(alpha) & (alpha > 0.0) | ~is_free).all():
            break
    if not converged and np.any(surplus) and above is not None:
        best = above
    return Bunch(
        alpha=_plain(best.alpha),
        model=best.model,
        count=_plain(best.counts),
        converged=converged,
        history={
            "alpha": np.array([step.alpha for step in steps]),
            "count": np.array([step.counts for step in steps]),
        },
        n_iter=len(steps),
    )


class _Step(NamedTuple):
    """A trained model, and its largest deviation from a target, relative to that."""

    alpha: np.ndarray
    counts: np.ndarray
    model: object
    deviation: float


def _closer(step, other):
    return step if other is None or step.deviation < other.deviation else other


def _plain(array):
    """Turn an array without axes into a number."""
    return array.item() if array.ndim == 0 else array


def _check_target(target, total):
    """Return both as arrays of integers; a total that is not known is -1."""
    target = np.asarray(target)
    if target.ndim > 1 or target.dtype.kind not in "iu" or (target < 0).any():
        raise ValueError(
            "target must be a non-negative integer, or an array of one for each "
            f"layer, got {target!r}."
        )
    total = np.full_like(target, -1) if total is None else np.asarray(total)
    if total.shape != target.shape:
        raise ValueError(
            f"total must have the shape of target, {target.shape}, got {total.shape}."
        )
    if ((target > total) & (total >= 0)).any():
        raise ValueError(f"target={target} exceeds total={total}.")
    return target, total


def _check_settings(alpha_init, tol, surplus, max_iter, target):
    """Return the surplus as an array."""
    if not 0 < alpha_init < math.inf:
        raise ValueError(f"alpha_init must be positive and finite, got {alpha_init!r}.")
    if not tol >= 0:
        raise ValueError(f"tol must not be negative, got {tol!r}.")
    if not max_iter >= 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter!r}.")
    surplus = np.asarray(surplus)
    if surplus.shape not in [(), target.shape] or not (surplus >= 0).all():
        raise ValueError(
            "surplus must be a non-negative number, or an array of one for each "
            f"layer, got {surplus!r}."
        )
    return surplus


class _Bracket:
    """The next l1 weight for one target, between one too small and one too large.

    Parameters
    ----------
    target : ndarray of int of shape ()
    alpha_init : float

    Notes
    -----
    The interpolation is that of Anderson and Björck: an end that stays where it is
    counts less and less, so that the bracket does not shrink from one side only.
    """

    def __init__(self, target, alpha_init):
        self.target = float(target)
        self.alpha = np.array(alpha_init, dtype=float)
        # Log of alpha, and log of the count relative to the target, where there are
        # too many weights (True), and too few (False).
        self._ends = {}
        self._slope = 1.0  # of log count over log alpha, with the sign changed
        self._last = None

    def next_alpha(self, count):
        """Return the next l1 weight, or None if there is nothing between the ends."""
        place = math.log(self.alpha)
        excess = math.log(max(count, 0.5) / max(self.target, 0.5))
        end = excess > 0
        if end in self._ends:
            old_place, old_excess = self._ends[end]
            if count > 0:
                slope = -(excess - old_excess) / (place - old_place)
                self._slope = min(max(slope, SLOPE_BOUNDS[0]), SLOPE_BOUNDS[1])
            if end == self._last and len(self._ends) == 2:
                other_place, other_excess = self._ends[not end]
                rest = 1.0 - excess / old_excess
                self._ends[not end] = (
                    other_place,
                    other_excess * (rest if rest > 0.0 else 0.5),
                )
        self._ends[end] = place, excess
        self._last = end
        following = (
            self._between() if len(self._ends) == 2 else self._beyond(place, excess)
        )
        if following is None:
            return None
        self.alpha = np.exp(following)
        return self.alpha

    def _between(self):
        (left, many), (right, few) = self._ends[True], self._ends[False]
        if right - left <= MIN_BRACKET_WIDTH:
            return None
        if few < math.log(MIN_USABLE_COUNT_SHARE):
            share = min(many / self._slope / (right - left), 0.5)
        else:
            share = many / (many - few)
        low, high = BRACKET_SHARE_BOUNDS
        return left + min(max(share, low), high) * (right - left)

    def _beyond(self, place, excess):
        """Go on in one direction, along the slope of two points if there are two."""
        step = excess / self._slope
        low, high = INCREASE_BOUNDS if excess > 0 else DECREASE_BOUNDS
        return place + min(max(step, math.log(low)), math.log(high))


class _Broyden:
    """The next l1 weights for a target of each layer.

    Parameters
    ----------
    target : ndarray of int of shape (n_layers,)
    alpha_init : float

    Notes
    -----
    A quasi-Newton method for the logarithms of the counts, as functions of those of the
    l1 weights. Its matrix of slopes starts as if no layer depended on another one.
    """

    def __init__(self, target, alpha_init):
        self.target = np.maximum(target, 0.5)
        self.alpha = np.full(target.shape, float(alpha_init))
        self._slopes = -np.eye(len(target))
        self._update_weights = np.where(
            self._slopes, OWN_UPDATE_WEIGHT, OTHER_UPDATE_WEIGHT
        )
        self._step = np.zeros(target.shape)
        self._excess = None

    def next_alpha(self, counts):
        """Return the next l1 weights."""
        excess = np.log(np.maximum(counts, 0.5) / self.target)
        if self._excess is not None:
            self._update_slopes(excess - self._excess)
        self._excess = excess
        # A nearly singular matrix would give a step that is far too long.
        step = np.linalg.lstsq(self._slopes, -excess, rcond=0.02)[0]
        self._step = step.clip(-MAX_LOG_STEP, MAX_LOG_STEP)
        self.alpha = self.alpha * np.exp(self._step)
        return self.alpha

    def _update_slopes(self, changes):
        """Make the slopes explain the changes of the counts by the last step."""
        errors = changes - self._slopes @ self._step
        directions = self._update_weights * self._step
        lengths = (directions * self._step).sum(axis=1) + SQUARED_STEP_FLOOR
        self._slopes += (errors / lengths)[:, np.newaxis] * directions
        own = np.diag(self._slopes).clip(-SLOPE_BOUNDS[1], -SLOPE_BOUNDS[0])
        np.fill_diagonal(self._slopes, own)
