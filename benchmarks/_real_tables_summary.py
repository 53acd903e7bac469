"""Sum up the fits of ``real_tables.py``: for each table, and over all of them."""

from itertools import combinations

import numpy as np
from _results import mean_and_error

BEHIND = 2.0  # standard errors that count as behind


def group_fits(fits):
    """Return fits in the order of the folds, as ``{table: {method: fits}}``."""
    groups = {}
    for fit in sorted(fits, key=lambda fit: (fit.repeat, fit.fold)):
        groups.setdefault(fit.table, {}).setdefault(fit.method, []).append(fit)
    return groups


def accuracies(fits):
    """Accuracy by repeat and fold."""
    return {(fit.repeat, fit.fold): fit.accuracy for fit in fits}


def difference(fits, others):
    """Mean difference of accuracy over the folds of both, and its standard error.

    The error is at least that of a single sample, as equal differences in a few folds
    do not make it zero. Without a common fold the result is None.
    """
    ours, theirs = accuracies(fits), accuracies(others)
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    values = [ours[key] - theirs[key] for key in common]
    mean, error = mean_and_error(values)
    return mean, max(np.nan_to_num(error), 1.0 / fits[0].n_samples)


def jaccard(fit, other):
    """Size of the intersection of two selections by that of their union."""
    if fit.support == other.support:
        return 1.0
    # Those that vary may differ a little from fold to fold; next to a selection they
    # stand for all columns.
    supports = [
        set(range(item.n_features))
        if item.support == "all"
        else set(map(int, item.support.split()))
        for item in (fit, other)
    ]
    return len(supports[0] & supports[1]) / len(supports[0] | supports[1])


def stability(fits):
    """Mean Jaccard index of the outer folds, within each repeat."""
    pairs = [
        jaccard(fit, other)
        for fit, other in combinations(fits, 2)
        if fit.repeat == other.repeat
    ]
    return np.mean(pairs) if pairs else np.nan


def mean_of(fits, field):
    """Mean of a field."""
    return np.mean([getattr(fit, field) for fit in fits])


def selects(groups, method):
    """Whether a method leaves out features of any table."""
    return any(
        fit.support != "all"
        for by_method in groups.values()
        for fit in by_method.get(method, ())
    )


def number(value, digits, sign=False):
    """Write a number; nothing for one that is unknown."""
    return "" if np.isnan(value) else f"{value:{'+' if sign else ''}.{digits}f}"


def table_rows(by_method, titles):
    """Rows for one table, the first with the titles."""
    yield [
        "method",
        "accuracy",
        "balanced accuracy",
        "log loss",
        "kept",
        "stability",
        "CPU seconds",
    ]
    for method, title in titles.items():
        if method not in by_method:
            continue
        fits = by_method[method]
        mean, error = mean_and_error([fit.accuracy for fit in fits])
        yield [
            title,
            f"{mean:.3f} ± {error:.3f}",
            number(mean_of(fits, "balanced_accuracy"), 3),
            number(mean_of(fits, "log_loss"), 3),
            number(mean_of(fits, "kept"), 0),
            number(stability(fits), 2),
            number(mean_of(fits, "cpu"), 1),
        ]


def differences_to(groups, method, reference):
    """Differences of a method to another one, by table, where both have fits."""
    result = {}
    for name, by_method in groups.items():
        if method in by_method and reference in by_method:
            found = difference(by_method[method], by_method[reference])
            if found is not None:
                result[name] = found
    return result


def mean_ranks(groups):
    """Mean rank of each method, and on how many tables.

    Methods that lack more than a tenth of the tables are left out, and then tables
    that lack a method.
    """
    methods = dict.fromkeys(name for item in groups.values() for name in item)
    least = 0.9 * len(groups)
    methods = [
        name
        for name in methods
        if sum(name in by_method for by_method in groups.values()) >= least
    ]
    scores = np.array(
        [
            [mean_of(by_method[name], "accuracy") for name in methods]
            for by_method in groups.values()
            if all(name in by_method for name in methods)
        ]
    )
    if not scores.size:
        return {}, 0
    # Ties share their mean rank.
    above = (scores[:, None, :] > scores[:, :, None] + 1e-9).sum(axis=2)
    equal = (np.abs(scores[:, None, :] - scores[:, :, None]) <= 1e-9).sum(axis=2)
    ranks = above + (equal + 1) / 2
    return dict(zip(methods, ranks.mean(axis=0), strict=True)), len(scores)


def pooled_rows(groups, titles, reference):
    """Rows with the mean over all tables, the first with the titles."""
    yield [
        "method",
        "tables",
        "accuracy",
        "difference",
        "worst table",
        "mean rank",
        "kept (geometric mean)",
        "stability",
        "CPU seconds",
    ]
    ranks, _ = mean_ranks(groups)
    for method, title in titles.items():
        all_fits = [item[method] for item in groups.values() if method in item]
        if not all_fits:
            continue
        found = differences_to(groups, method, reference)
        text = worst = ""
        if found and method != reference:
            mean, error = mean_and_error([mean for mean, _ in found.values()])
            text = f"{mean:+.4f} ± {error:.4f}"
            name = min(found, key=lambda name: found[name][0] / found[name][1])
            worst = f"{name} ({found[name][0] / found[name][1]:+.1f} SE)"
        kept = [max(mean_of(fits, "kept"), 1.0) for fits in all_fits]
        yield [
            title,
            str(len(all_fits)),
            number(np.mean([mean_of(fits, "accuracy") for fits in all_fits]), 4),
            text,
            worst,
            number(ranks.get(method, np.nan), 2),
            number(np.exp(np.mean(np.log(kept))), 0),
            number(np.mean([stability(fits) for fits in all_fits]), 2),
            number(np.mean([mean_of(fits, "cpu") for fits in all_fits]), 1),
        ]


def behind_rows(groups, titles):
    """Rows with the tables on which a method is clearly behind one that selects."""
    yield ["method", "tables", "behind by more than 2 SE"]
    rivals = [name for name in titles if selects(groups, name)]
    for method, title in titles.items():
        worst = {}
        for rival in rivals:
            for name, (mean, error) in differences_to(groups, method, rival).items():
                if mean < -BEHIND * error and mean < worst.get(name, (0.0,))[0]:
                    worst[name] = (mean, error, rival)
        if any(method in item for item in groups.values()):
            text = "; ".join(
                f"{name} {mean:+.3f} ± {error:.3f} to {rival}"
                for name, (mean, error, rival) in worst.items()
            )
            yield [title, str(len(worst)), text]


def parts_of_summary(fits, titles, reference):
    """Yield title and rows of each part of the summary."""
    groups = group_fits(fits)
    for name, by_method in groups.items():
        fit = next(iter(by_method.values()))[0]
        title = f"{name}: {fit.n_samples} samples, {fit.n_features} features"
        yield title, list(table_rows(by_method, titles))
    title = f"All tables; differences of accuracy to {titles.get(reference, reference)}"
    yield title, list(pooled_rows(groups, titles, reference))
    title = "Tables on which a method is behind one that selects features"
    yield title, list(behind_rows(groups, titles))
