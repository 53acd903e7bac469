"""Draws of survival times and predictions, and the scores of scikit-survival for them.

Run with scikit-survival installed, ``python tests/metrics/survival_helpers.py`` prints
the table `SCORES`.
"""

import numpy as np


def draw(seed):
    """Return training and test times, risks, `tau`, probabilities and their times.

    Some draws have ties of times, of risks, or of both; from 10 to 100 % of the samples
    have an event. The last training sample, with an event, is later than all others.
    """
    rng = np.random.default_rng(seed)
    parts = []
    share = rng.choice([0.1, 0.3, 0.6, 0.9, 1.0])
    for n_samples in rng.integers(8, 60, 2):
        y = np.empty(n_samples, dtype=[("event", bool), ("time", float)])
        y["event"], y["time"] = (
            rng.random(n_samples) < share,
            rng.exponential(5, n_samples),
        )
        if seed % 3:
            y["time"] = np.ceil(y["time"]) if seed % 3 == 1 else np.round(y["time"] / 2)
        parts.append(y)
    train, test = parts
    test[test["time"].argmin()]["event"] = True
    train[0] = True, 1.0 + max(train["time"].max(), test["time"].max())
    risk = rng.normal(0.0, 3.0, len(test)) - test["time"]
    if seed % 2:
        risk = np.round(risk)
    tau = None if seed % 4 == 0 else float(np.quantile(train["time"], 0.7)) + 0.5
    first, last = test["time"].min(), test["time"].max()
    times = first + (last - first) * np.linspace(0.0, 0.9, 7)
    probability = np.sort(rng.random((len(test), 7)), axis=1)[:, ::-1]
    return train, test, risk, tau, probability, times


def scores_of(library, kaplan_meier_estimator, seed):
    """Return the scores of a draw as a list, by the functions of a module."""
    train, test, risk, tau, probability, times = draw(seed)
    event, time = test["event"], test["time"]
    uno, *_ = library.concordance_index_ipcw(train, test, risk, tau)
    curves = [
        np.mean(kaplan_meier_estimator(event, time, reverse=reverse)[1])
        for reverse in (False, True)
    ]
    return [
        *library.concordance_index_censored(event, time, risk),
        uno,
        library.integrated_brier_score(train, test, probability, times),
        *curves,
    ]


# Of scikit-survival 0.28.0, a row for each seed from 0: the index of Harrell, the
# numbers of concordant, discordant and tied pairs and of pairs of equal times, the
# index of Uno, the integrated Brier score, and the means of the Kaplan-Meier curve and
# of that of the censoring.
SCORES = """
0.79500891266 446 115 0 0 0.79500891266 0.21730630938 0.48529411765 1
0.83963691377 539 90 32 40 0.867395902 0.21846645393 0.44904427079 0.55458126989
0.671875 43 21 0 0 0.66129032258 0.26318650707 0.29487179487 1
0.88235294118 119 15 2 0 0.87962962963 0.23817825899 0.47058823529 1
0.71206896552 826 334 0 21 0.71530766497 0.25413187176 0.29280793009 0.76062276118
0.81818181818 26 5 2 0 0.81398727172 0.23421605276 0.35185185185 1
0.73394495413 240 87 0 0 0.72799270468 0.19417741528 0.62208995352 0.69588425132
0.80205811138 643 144 39 0 0.79910714286 0.2295590403 0.31561461794 1
0.64516129032 100 55 0 0 0.65148514851 0.24529074993 0.23571428571 1
0.76201696513 781 225 55 0 0.75797868612 0.34181492639 0.59396726103 0.74225457278
0.83647798742 133 26 0 6 0.84284718641 0.20708330051 0.39121466769 0.68588820302
0.77075098814 188 51 14 53 0.78850784788 0.15773652372 0.64637887823 0.30765500795
"""

if __name__ == "__main__":
    import sksurv.metrics
    from sksurv.nonparametric import kaplan_meier_estimator

    for seed in range(12):
        row = scores_of(sksurv.metrics, kaplan_meier_estimator, seed)
        print(*(f"{value:.11g}" for value in row))
