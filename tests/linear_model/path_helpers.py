"""Random problems of the linear models, and their objective by its definition."""

from typing import NamedTuple

import cvxpy as cp
import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import logsumexp, xlogy

from skproj.linear_model._ball_constrained import (
    BallConstrainedFit,
    BallConstrainedProblem,
)
from skproj.linear_model._feature_structure import make_structure
from skproj.linear_model._targets import make_problem
from skproj.projection import (
    projection_l1_ball,
    projection_l1inf_ball,
    projection_l12_ball,
)
from skproj.utils._survival import DTYPE

PROJECTIONS = {
    "l1": projection_l1_ball,
    "l12": lambda W, eta: projection_l12_ball(W, eta, axis=1),
    "l1inf": lambda W, eta: projection_l1inf_ball(W, eta, axis=1),
}
INNER_ORDER = {"l1": 1, "l12": 2, "l1inf": np.inf}
HUBER_EPSILON = 0.8
LABELLED = ("binary", "multinomial", "labels")


def survival(event, time):
    """Return survival times as the linear models take them."""
    y = np.empty(len(time), dtype=DTYPE)
    y["event"], y["time"] = event, time
    return y


class PlainProblem:
    """The definition of a problem in dense matrices of float64.

    The arguments are those of `make_problem`. The logits are ``D @ V + F @ b`` with the
    standardised and weighted columns D of the ball and the unpenalised columns F.
    """

    def __init__(
        self,
        X,
        y,
        *,
        loss,
        sample_weight=None,
        structure=None,
        fit_intercept=True,
        standardize=True,
        l2_reg=0.0,
        offset=None,
        strata=None,
        positive=False,
    ):
        X = X.toarray() if sparse.issparse(X) else np.asarray(X)
        self.X = X.astype(np.float64)
        n_samples, n_features = X.shape
        weights = np.ones(n_samples) if sample_weight is None else sample_weight
        self.weights = weights / weights.sum()
        mean = self.weights @ self.X
        constant = np.ptp(self.X[weights > 0.0], axis=0) == 0.0
        deviation = np.sqrt(self.weights @ (self.X - mean) ** 2)
        scale = np.where(constant | (not standardize), 1.0, deviation)
        Z = self.X / scale
        if fit_intercept:
            Z = np.where(constant, 0.0, Z - mean / scale)
        structure = make_structure(n_features) if structure is None else structure
        columns = structure.features_of_columns
        factors = np.ones(len(columns))
        if structure.weights is not None:
            factors = structure.weights
        self.D = Z[:, columns] / factors
        self.ridge = l2_reg * factors[:, np.newaxis] ** -2.0
        self.F = Z[:, structure.forced]
        if fit_intercept and loss not in ("cox", "cox_efron"):
            self.F = np.column_stack([self.F, np.ones(n_samples)])
        self.sizes = structure.sizes
        if self.sizes is None:
            self.sizes = np.ones(structure.n_groups, int)
        self.loss, self.positive = loss, positive
        self.offset = 0.0 if offset is None else offset[:, np.newaxis]
        self.target_scale = 1.0
        self.several_labels = loss == "log_loss" and y.ndim == 2
        if loss in ("cox", "cox_efron"):
            self.targets = None
            self._list_events(y, np.zeros(n_samples) if strata is None else strata)
            return
        self.targets = y.reshape(n_samples, -1).astype(np.float64)
        if loss in ("squared_error", "huber") and standardize:
            errors = self.targets - self.weights @ self.targets
            self.target_scale = np.sqrt(self.weights @ errors**2)
            self.targets = self.targets / self.target_scale
        if loss == "log_loss" and y.ndim == 1:
            self.targets = (y[:, np.newaxis] == np.unique(y)).astype(np.float64)
            if self.targets.shape[1] == 2:
                self.targets = self.targets[:, 1:]

    def _list_events(self, y, strata):
        """List the weights at risk at each event, without the share of the tied."""
        rows, means, least = [], [], []
        event, time = y["event"] & (self.weights > 0.0), y["time"]
        for i in np.flatnonzero(event):
            among = strata == strata[i]
            tied = np.flatnonzero(among & event & (time == time[i]))
            share = np.sum(tied < i) / len(tied) if self.loss == "cox_efron" else 0.0
            row = np.where(among & (time >= time[i]), self.weights, 0.0)
            row[tied] *= 1.0 - share
            rows.append(row)
            means.append(self.weights[tied].mean())
            least.append(np.log(row[tied].sum()))
        self.rows, self.means = np.array(rows), np.array(means)
        self.seen = np.where(event, self.weights, 0.0)
        self.least = self.means @ np.array(least)

    def value_and_residuals(self, logits):
        """Return the mean loss and its derivative, for logits without the offset."""
        logits, weights = logits + self.offset, self.weights[:, np.newaxis]
        if self.targets is None:
            with np.errstate(divide="ignore"):
                masses = np.log(self.rows) + logits[:, 0]
            totals = logsumexp(masses, axis=1)
            value = self.means @ totals - self.seen @ logits[:, 0] - self.least
            hazards = self.means @ np.exp(masses - totals[:, np.newaxis])
            return value, (hazards - self.seen)[:, np.newaxis]
        targets, errors = self.targets, logits - self.targets
        if self.loss == "squared_error":
            values, slopes = 0.5 * errors**2, errors
        elif self.loss == "huber":
            slopes = np.clip(errors, -HUBER_EPSILON, HUBER_EPSILON)
            values = slopes * (errors - 0.5 * slopes)
        elif self.loss == "poisson":
            with np.errstate(over="ignore"):
                means = np.exp(logits)
            slopes = means - targets
            values = xlogy(targets, targets) - targets * logits + slopes
        elif self.several_labels or targets.shape[1] == 1:
            slopes = 0.5 + 0.5 * np.tanh(0.5 * logits) - targets
            values = np.logaddexp(0.0, logits) - targets * logits
        else:
            logits = logits - logsumexp(logits, axis=1, keepdims=True)
            values, slopes = -targets * logits, np.exp(logits) - targets
        return np.sum(weights * values), weights * slopes

    def objective(self, V, b):
        """Return the mean loss and the ridge penalty."""
        value, _ = self.value_and_residuals(self.D @ V + self.F @ b)
        return value + 0.5 * np.sum(self.ridge * V**2)

    def gradient(self, V, b):
        """Return the gradients of the objective."""
        residuals = self.residuals(V, b)
        return self.D.T @ residuals + self.ridge * V, self.F.T @ residuals

    def norm(self, V, ball):
        """Return the norm of coefficients, group by group."""
        groups = np.split(V, np.cumsum(self.sizes)[:-1])
        return sum(np.linalg.norm(group.ravel(), INNER_ORDER[ball]) for group in groups)

    def project(self, V, ball, eta):
        """Project onto the ball; a group is a row that is filled up with zeros."""
        if self.positive:
            V = np.maximum(V, 0.0)
        if not np.isfinite(eta):
            return V
        used = np.arange(self.sizes.max(initial=0)) < self.sizes[:, np.newaxis]
        rows = np.zeros((*used.shape, V.shape[1]))
        rows[used] = V
        projected = PROJECTIONS[ball](rows.reshape(len(rows), -1), eta)
        return projected.reshape(rows.shape)[used]

    def descend(self, V, b, ball, eta, n_steps):
        """Take accelerated projected gradient steps; return the least objective."""
        last = ahead = (V, b)
        best, curvature, momentum = self.objective(V, b), 1.0, 1.0
        for _ in range(n_steps):
            start, slopes = self.objective(*ahead), self.gradient(*ahead)
            curvature *= 0.7
            while True:
                V, b = (a - g / curvature for a, g in zip(ahead, slopes, strict=True))
                new = self.project(V, ball, eta), b
                moves = [x - a for x, a in zip(new, ahead, strict=True)]
                square = sum(np.vdot(move, move) for move in moves)
                linear = sum(map(np.vdot, slopes, moves))
                value = self.objective(*new)
                allowed = start + linear + 0.5 * curvature * square
                if not value > allowed + 1e-14 * abs(start) or curvature > 1e18:
                    break
                curvature *= 2.0
            best = min(best, value)
            steps = [x - old for x, old in zip(new, last, strict=True)]
            if sum(map(np.vdot, moves, steps)) < 0.0:
                momentum = 1.0
            following = 0.5 + np.sqrt(0.25 + momentum**2)
            push, momentum = (momentum - 1.0) / following, following
            ahead = tuple(x + push * step for x, step in zip(new, steps, strict=True))
            last = new
        return best

    def residuals(self, V, b):
        """Return the derivative of the mean loss; all minima have the same one."""
        return self.value_and_residuals(self.D @ V + self.F @ b)[1]

    def point(self, problem, fit):
        """Return the coefficients V and b of a fit, from those in units of the data.

        `b` is the one of least squares, and the last value its largest error.
        """
        coef, intercept = problem.original_units(fit)
        logits = (self.X @ coef + intercept) / self.target_scale
        rest = (logits - self.D @ fit.coef)[self.weights > 0.0]
        F = self.F[self.weights > 0.0]
        if self.targets is None:
            rest, F = rest - rest.mean(axis=0), F - F.mean(axis=0)
        b = np.linalg.lstsq(F, rest, rcond=None)[0]
        return fit.coef, b, np.abs(F @ b - rest).max(initial=0.0)


def solve_by_cvxpy(plain, ball, penalty=None, eta=None):
    """Return V and b of the least penalised objective, or of the least in the ball."""
    n_outputs = 1 if plain.targets is None else plain.targets.shape[1]
    V = cp.Variable((plain.D.shape[1], n_outputs))
    b = cp.Variable((plain.F.shape[1], n_outputs)) if plain.F.shape[1] else None
    logits = plain.D @ V + plain.offset
    if b is not None:
        logits += plain.F @ b
    objective = _cvxpy_loss(plain, logits)
    if plain.ridge.any():
        objective += 0.5 * cp.sum_squares(cp.multiply(np.sqrt(plain.ridge), V))
    starts = np.cumsum(plain.sizes) - plain.sizes
    groups = [V[i : i + size] for i, size in zip(starts, plain.sizes, strict=True)]
    norm = sum(cp.norm(cp.vec(group, order="C"), INNER_ORDER[ball]) for group in groups)
    constraints = [V >= 0.0] if plain.positive else []
    if penalty is None:
        constraints.append(norm <= eta)
    else:
        objective += penalty * norm
    cp.Problem(cp.Minimize(objective), constraints).solve(solver="CLARABEL")
    return V.value, np.zeros((0, n_outputs)) if b is None else b.value


def _cvxpy_loss(plain, logits):
    weights, targets = plain.weights, plain.targets
    if targets is None:
        terms = [
            cp.log_sum_exp(logits[row > 0.0, 0] + np.log(row[row > 0.0]))
            for row in plain.rows
        ]
        value = plain.means @ cp.hstack(terms) - plain.seen @ logits[:, 0]
        return value - plain.least
    linear = cp.sum(cp.multiply(targets, logits), axis=1)
    if plain.loss == "squared_error":
        losses = 0.5 * cp.sum(cp.square(logits - targets), axis=1)
    elif plain.loss == "huber":
        losses = 0.5 * cp.sum(cp.huber(logits - targets, HUBER_EPSILON), axis=1)
    elif plain.loss == "poisson":
        losses = cp.exp(logits[:, 0]) - linear
        losses += (xlogy(targets, targets) - targets)[:, 0]
    elif plain.several_labels or targets.shape[1] == 1:
        losses = cp.sum(cp.logistic(logits), axis=1) - linear
    else:
        losses = cp.log_sum_exp(logits, axis=1) - linear
    return weights @ losses


def draw_targets(loss, logits, rng):
    """Return targets that depend on the logits of three outputs."""
    n_samples = len(logits)
    if loss == "binary":
        return (logits[:, 0] > np.median(logits[:, 0])).astype(int)
    if loss == "multinomial":
        classes = logits.argmax(axis=1)
        classes[:3] = range(3)
        return classes
    if loss == "labels":
        labels = (logits[:, :2] > 0.0).astype(int)
        labels[:2] = [[0, 1], [1, 0]]
        return labels
    if loss == "poisson":
        counts = rng.poisson(np.exp(np.clip(logits[:, 0], -3.0, 2.0)))
        counts[0] += 1
        return counts
    if loss in ("cox", "cox_efron"):
        time = np.exp(-logits[:, 0])
        if rng.random() < 0.5:
            time = np.ceil(np.argsort(np.argsort(time)) * 6.0 / n_samples)
        event = rng.random(n_samples) < 0.7
        event[0] = True
        return survival(event, time)
    return logits[:, 0] if rng.random() < 0.5 else 5.0 * logits[:, :2] + 30.0


def random_problem(loss, ball, rng):
    """Draw the arguments of `make_problem`, and the share of a typical radius.

    The columns may be tied, constant, equal or opposite to others, or all collinear.
    """
    n_samples, n_features = rng.integers(6, 41), rng.integers(1, 31)
    X = rng.standard_normal((n_samples, n_features))
    if rng.random() < 0.1:
        X = np.outer(X[:, 0], rng.standard_normal(n_features))
    if rng.random() < 0.3:
        X = np.round(X)
    if rng.random() < 0.3:
        X[rng.random(X.shape) < 0.6] = 0.0
    logits = 2.0 * X[:, rng.integers(0, n_features, 3)]
    logits += rng.standard_normal(logits.shape)
    y = draw_targets(loss, logits, rng)
    standardize = rng.random() < 0.8
    if standardize and rng.random() < 0.3:
        X = X * 10.0 ** rng.uniform(-3.0, 3.0, n_features)
    if rng.random() < 0.3:
        X = X + rng.standard_normal(n_features)
    others = rng.integers(0, n_features, n_features)
    kind = rng.random(n_features)
    X = np.where(kind < 0.1, X[:, others], np.where(kind > 0.9, -X[:, others], X))
    X[:, rng.random(n_features) < 0.05] = rng.choice([0.0, 0.1, -7.0])
    weights = None
    if rng.random() < 0.5:
        weights = rng.uniform(0.2, 3.0, n_samples)
        weights[3:] *= rng.random(n_samples - 3) < 0.8
    parameters = {}
    if rng.random() < 0.3:
        parameters["feature_weights"] = rng.uniform(0.3, 3.0, n_features)
    if n_samples > 25 and n_features > 4 and rng.random() < 0.3:
        parameters["always_keep"], parameters["never_keep"] = [1], [2]
    if ball != "l1" and n_features > 8 and rng.random() < 0.4:
        groups = [[0, 3, 4], [5, 6], [7, 0]], np.arange(n_features) // 3
        parameters["feature_groups"] = groups[rng.integers(2)]
    X = X.astype(rng.choice([np.float32, np.float64, np.float64]))
    container = [
        np.ascontiguousarray,
        np.asfortranarray,
        sparse.csr_array,
        sparse.csc_array,
    ][rng.integers(4)]
    arguments = {
        "X": container(X),
        "y": y,
        "loss": "log_loss" if loss in LABELLED else loss,
        "sample_weight": weights,
        "structure": make_structure(n_features, **parameters),
        "fit_intercept": bool(rng.random() < 0.8),
        "standardize": bool(standardize),
        "l2_reg": float(rng.choice([0.0, 10.0 ** rng.uniform(-3.0, 0.0)])),
    }
    return arguments, 10.0 ** rng.uniform(-6.0, 1.2)


def make_problems(arguments):
    """Return the problem of these arguments, and its definition."""
    plain = PlainProblem(**arguments)
    return make_problem(**arguments, huber_epsilon=HUBER_EPSILON), plain


def draw(loss, n_samples=40, n_features=12, weighted=True, **options):
    """Return the arguments of `make_problem` for standardised data."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    logits = X[:, :3] + rng.standard_normal((n_samples, 3))
    weights = rng.uniform(0.3, 2.0, n_samples) if weighted else np.ones(n_samples)
    weights /= weights.sum()
    X -= weights @ X
    X /= np.sqrt(weights @ X**2)
    if loss in ("squared_error", "huber"):
        y = logits[:, :2] - weights @ logits[:, :2]
        y /= np.sqrt(weights @ y**2)
    else:
        y = draw_targets(loss, logits, rng)
    name = "log_loss" if loss in LABELLED else loss
    return {"X": X, "y": y, "loss": name, "sample_weight": weights, **options}


def check_matched(arguments, ball, V, b, atol=1e-4):
    """Compare the model in a ball with the penalised model `V` and `b` of that norm.

    That is the minimum over the ball. Without `atol` its coefficients are not unique.
    """
    problem, plain = make_problems(arguments)
    eta, value = plain.norm(V, ball), plain.objective(V, b)
    fit = problem.solve(eta, ball, tol=1e-10, max_iter=50000)
    found, free, error = plain.point(problem, fit)
    assert fit.converged
    assert error < 1e-9
    assert plain.norm(found, ball) <= eta * (1.0 + 1e-12)
    assert_allclose(fit.objective, plain.objective(found, free), rtol=1e-10)
    assert_allclose(fit.objective, value, rtol=1e-6)
    assert fit.objective - value <= fit.gap + 1e-12
    expected = plain.residuals(V, b)
    assert_allclose(plain.residuals(found, free), expected, atol=1e-4)
    if atol is not None:
        assert_allclose(found, V, atol=atol)
    for tol in (1e-1, 1e-2, 1e-3, 1e-4):
        early = problem.solve(eta, ball, tol=tol)
        assert early.gap <= tol * max(early.objective, 1.0)
        assert early.objective - value <= early.gap + 1e-12


class Case(NamedTuple):
    """A random problem, its definition, and what to solve it for."""

    seed: int
    rng: np.random.Generator
    problem: BallConstrainedProblem
    plain: PlainProblem
    ball: str
    eta: float
    tol: float
    rounding: float  # relative, in the objective

    def solve(self, eta=None, **options):
        """Solve to the tolerance of the case."""
        options = {"tol": self.tol, "max_iter": 20000, **options}
        fit = self.problem.solve(eta or self.eta, self.ball, **options)
        assert fit.converged, self.seed
        return fit

    def start(self, coef, intercept):
        """Return a fit to start from, of which nothing else is known."""
        return BallConstrainedFit(
            coef=coef,
            intercept=intercept,
            objective=np.inf,
            gap=np.inf,
            n_iter=0,
            converged=False,
        )

    def check(self, fit, best=None):
        """Check a fit by the definition; return the least objective that is known."""
        V, b, error = self.plain.point(self.problem, fit)
        assert error <= self.rounding * (1.0 + np.abs(V).sum()), self.seed
        assert self.plain.norm(V, self.ball) <= self.eta * (1.0 + 1e-12), self.seed
        objective = self.plain.objective(V, b)
        rounding = self.rounding * max(objective, 1.0)
        assert abs(fit.objective - objective) <= rounding, self.seed
        if best is None:
            best = self.plain.descend(V, b, self.ball, self.eta, n_steps=30)
        assert objective - best <= fit.gap + 0.1 * rounding, self.seed
        return best

    def check_equal(self, fit, other):
        """Check that two fits are as good as their gaps say."""
        difference = abs(fit.objective - other.objective)
        gap = max(fit.gap, other.gap)
        rounding = 0.1 * self.rounding * max(fit.objective, 1.0)
        assert difference <= gap + rounding, self.seed


def random_cases(loss, ball, n_cases, draw_options=None):
    """Yield cases; ``draw_options(n_samples, rng)`` returns further arguments."""
    for seed in range(n_cases):
        rng = np.random.default_rng([seed, *map(ord, loss + ball)])
        arguments, share = random_problem(loss, ball, rng)
        if draw_options is not None:
            arguments |= draw_options(len(arguments["y"]), rng)
        problem, plain = make_problems(arguments)
        # Columns that the unpenalised ones explain have no typical radius.
        eta = share * min(problem.natural_radius(ball), 1e3)
        single = arguments["X"].dtype == np.float32
        accuracy = (1e-4, 1e-4) if single else (1e-6, 1e-9)
        yield Case(seed, rng, problem, plain, ball, eta, *accuracy)
