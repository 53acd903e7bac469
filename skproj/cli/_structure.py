"""Prior knowledge of the columns: groups, and columns that are always kept."""

from skproj.cli._checks import require
from skproj.cli._errors import CommandError
from skproj.cli._tables import ReadOptions, read_table
from skproj.utils._wording import join_names


def feature_structure(names, categories, options, dropped=()):
    """Return parameters of the selectors for what is known of the columns.

    Parameters
    ----------
    names : list of str
        The columns that features are made of.
    categories : dict of int
        The numbers of values of the columns of text, whose features come first, in
        this order; each other column is a feature.
    options : argparse.Namespace
        With `always_keep` and `feature_groups`.
    dropped : iterable of str
        Columns that were left out, and are left out of their groups.

    Returns
    -------
    parameters : dict
        `always_keep` and `feature_groups`, by the places of the features, where there
        are any.
    """
    places, n_features = {}, 0
    for name in [*categories, *(name for name in names if name not in categories)]:
        end = n_features + categories.get(name, 1)
        places[name] = list(range(n_features, end))
        n_features = end
    groups = read_groups(options.feature_groups, names, dropped)
    grouped = {name for group in groups for name in group}
    groups += [[name] for name in categories if name not in grouped]
    groups = [[j for name in group for j in places[name]] for group in groups]
    groups = [group for group in groups if len(group) > 1]
    always = list(dict.fromkeys(options.always_keep))
    if both := [name for name in always if name in set(options.drop)]:
        raise CommandError(f"--always-keep and --drop both have {join_names(both)}.")
    require(always, names, options.data, "feature")
    kept = [j for name in always for j in places[name]]
    if len(kept) == n_features:
        raise CommandError("--always-keep leaves nothing to select.")
    parameters = {"always_keep": kept, "feature_groups": groups}
    return {name: value for name, value in parameters.items() if value}


def read_groups(path, names, dropped):
    """Return the names of the columns in each group of a file; None has no groups."""
    if path is None:
        return []
    table = read_table(ReadOptions(path, text=("feature", "group")))
    frame = table.frame(["feature", "group"]).dropna().drop_duplicates()
    frame = frame[~frame["feature"].isin(list(dropped))]
    require(frame["feature"], names, "the table", "feature", f", which {path} has")
    return frame.groupby("group", sort=False)["feature"].agg(list).tolist()
