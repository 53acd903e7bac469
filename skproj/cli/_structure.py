"""Prior knowledge of the columns: groups, and columns that are always kept."""

from skproj.cli._checks import require
from skproj.cli._errors import CommandError
from skproj.cli._tables import ReadOptions, read_table
from skproj.utils._wording import join_names


def feature_structure(names, categories, options, groups):
    """Return `always_keep` and `feature_groups` of the selectors, where there are any.

    Both have places of features, which are made of the columns `names`: first those of
    the columns of text, whose numbers of values are `categories`, then one of each
    other column. Of the columns in `groups`, some may have been left out.
    """
    places, n_features = {}, 0
    for name in [*categories, *(name for name in names if name not in categories)]:
        end = n_features + categories.get(name, 1)
        places[name] = list(range(n_features, end))
        n_features = end
    groups = [[name for name in group if name in places] for group in groups]
    grouped = {name for group in groups for name in group}
    groups += [[name] for name in categories if name not in grouped]
    groups = [[j for name in group for j in places[name]] for group in groups]
    groups = [group for group in groups if len(group) > 1]
    always = list(dict.fromkeys(options.always_keep))
    check_kept(always, names, options)
    kept = [j for name in always for j in places[name]]
    parameters = {"always_keep": kept, "feature_groups": groups}
    return {name: value for name, value in parameters.items() if value}


def check_kept(kept, names, options):
    if both := [name for name in kept if name in set(options.drop)]:
        raise CommandError(f"--always-keep and --drop both have {join_names(both)}.")
    require(kept, names, options.data, "feature")
    if set(kept) == set(names):
        raise CommandError("--always-keep leaves nothing to select.")


def read_groups(path, names, dropped):
    """Return the names of the columns in each group of a file; None has no groups."""
    if path is None:
        return []
    table = read_table(ReadOptions(path, text=("feature", "group")))
    frame = table.frame(["feature", "group"]).dropna().drop_duplicates()
    frame = frame[~frame["feature"].isin(list(dropped))]
    require(frame["feature"], names, "the table", "feature", f", which {path} has")
    return frame.groupby("group", sort=False)["feature"].agg(list).tolist()
