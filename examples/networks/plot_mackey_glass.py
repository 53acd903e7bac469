"""
Forecasting a chaotic series with few weights
=============================================

:class:`~skproj.nn.SparseMLPRegressor` takes the share of zero weights as a parameter
and searches for the l1 penalty. This example shows the forecast error against the
number of weights.
"""

# %%
# The Mackey-Glass series
# -----------------------
# The series is chaotic: the solution of the delay differential equation
#
# .. math:: x'(t) = \frac{0.2 \, x(t - 17)}{1 + x(t - 17)^{10}} - 0.1 \, x(t)
#
# at times 1 apart, after a transient. Each row of the data has 12 values of the series,
# 3 time steps apart; the target is the value 12 steps later. Consecutive rows are
# nearly equal, so the test data are the later part of the series, after a gap.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import SparseMLPRegressor


def mackey_glass(n_values, delay=17, n_steps=10, n_discarded=1000):
    """Integrate the equation by Heun's method, with `n_steps` in a unit of time."""
    x = [0.5] * (delay * n_steps + 1)
    production = [0.2 * value / (1.0 + value**10) for value in x]
    for _ in range((n_discarded + n_values) * n_steps):
        now, later = production[-delay * n_steps - 1 : -delay * n_steps + 1]
        slope = now - 0.1 * x[-1]
        slope_later = later - 0.1 * (x[-1] + slope / n_steps)
        x.append(x[-1] + (slope + slope_later) / (2.0 * n_steps))
        production.append(0.2 * x[-1] / (1.0 + x[-1] ** 10))
    return np.array(x[::-n_steps][:n_values][::-1])


series = mackey_glass(800 + 33 + 12)
lags = 3 * np.arange(12)
X = series[np.arange(800)[:, np.newaxis] + lags]
y = series[33 + 12 :]
X_train, X_test, y_train, y_test = X[:450], X[500:], y[:450], y[500:]


def relative_error(forecast):
    return np.mean((forecast - y_test) ** 2) / np.var(y_test)


# %%
# Models with decreasing numbers of weights
# -----------------------------------------
# A network with 40 hidden units has 520 weights. ``target_sparsity=0.0`` trains the
# dense network; for the other values the search needs several trainings. The sparse
# networks are trained three times in a row: dense, with the penalty, and without the
# penalty. For a fair comparison, the dense network is trained for three times as many
# epochs.
models, errors = {}, {}
print(f"{'zeros':>6} {'weights':>8} {'lags used':>10} {'trainings':>10} {'error':>8}")
for sparsity in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98):
    network = SparseMLPRegressor(
        (40,),
        target_sparsity=sparsity,
        max_epochs=60 if sparsity else 180,
        random_state=0,
    )
    model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
    models[sparsity] = model
    errors[sparsity] = relative_error(model.predict(X_test))
    n_weights = sum(np.count_nonzero(W) for W in network.coefs_)
    n_lags = np.count_nonzero(network.coefs_[0].any(axis=1))
    print(
        f"{sparsity:6.0%} {n_weights:8} {n_lags:4} of {X.shape[1]:2} "
        f"{network.n_search_iter_:10} {errors[sparsity]:8.2%}"
    )

# %%
# Error and forecasts
# -------------------
# The error increases slowly at first: with a fifth of the weights it is half a percent
# of the variance. From 90 % zeros on it increases fast; with a dozen weights the
# forecast still follows the series, but misses its peaks. The dotted line is the error
# of a forecast by the current value.
figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
n_weights = [
    sum(np.count_nonzero(W) for W in model[-1].coefs_) for model in models.values()
]
axis.loglog(n_weights, list(errors.values()), "o-", color="#0072B2", label="network")
axis.axhline(
    relative_error(X_test[:, -1]), color="black", ls=":", label="current value"
)
for count, (sparsity, error) in zip(n_weights, errors.items(), strict=True):
    axis.annotate(
        f"{sparsity:.0%}",
        (count, error),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
    )
axis.set_xticks(n_weights, n_weights)
axis.set_yticks([0.001, 0.01, 0.1, 1.0], ["0.1 %", "1 %", "10 %", "100 %"])
axis.set_ylim(1e-3, 4.0)
axis.minorticks_off()
axis.set_xlabel("nonzero weights (above the points: share of zeros)")
axis.set_ylabel("mean squared error\n(share of the variance)")
axis.grid(alpha=0.3)
axis.legend()

# %%
# Forecasts of a part of the test series at two sparsities:
figure, axis = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
# sphinx_gallery_thumbnail_number = 2
shown = slice(100, 250)
axis.plot(y_test[shown], color="0.6", linewidth=4, label="series")
for sparsity, color, style in [(0.9, "#0072B2", "-"), (0.98, "#D55E00", "--")]:
    forecast = models[sparsity].predict(X_test)
    axis.plot(
        forecast[shown], color=color, linestyle=style, label=f"{sparsity:.0%} zeros"
    )
axis.set_xlabel("time")
axis.set_ylabel("value, forecast 12 steps ahead")
axis.grid(alpha=0.3)
axis.set_ylim(0.35, 1.5)
axis.legend(loc="upper center", ncols=3)

# %%
# This is one series, one seed and a small network: at high sparsity, another seed can
# change the error by a factor. The page :doc:`/prescribed_sparsity` has means over
# three seeds, and magnitude pruning for comparison.
plt.show()
