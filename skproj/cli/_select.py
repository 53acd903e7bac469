"""``skproj select``: from a table to features, a model and a report."""

import hashlib
import importlib.util
import os

from skproj.cli._backed_table import Backing
from skproj.cli._checkpoints import find_checkpoints, keep_steps
from skproj.cli._errors import CommandError
from skproj.cli._output import check_free, new_folder, print_lines
from skproj.cli._preparation import prepare_columns
from skproj.cli._problem import Problem
from skproj.cli._report import FILES, write_report
from skproj.cli._search import check_scorer
from skproj.cli._selection import select
from skproj.cli._structure import feature_structure
from skproj.cli._suspects import suspect_columns, suspect_rows
from skproj.cli._tables import ReadOptions, read_table
from skproj.cli._target import (
    check_roles,
    describe_task,
    number_groups,
    read_target,
)
from skproj.cli._text import STANDARD_INPUT
from skproj.cli._threshold import check_two_classes
from skproj.utils._wording import join_names

N_PRINTED_FEATURES = 20
# Characters of the names of the models that are compared, if none is longer.
MIN_MODEL_WIDTH = 30


def run(options):
    check_roles(options)
    check_free(options.out, options.overwrite, folder=True)
    if options.out is not None:
        check_extras()
    check_scorer(options.scoring)
    check_backed(options)
    say = (lambda *lines: None) if options.quiet else print_lines

    digests = digests_of(options)
    checkpoints = find_checkpoints(options, digests, say)
    problem, facts = read_problem(options, digests)
    changed = [
        name for name, old in digests_of(options).items() if old != digests[name]
    ]
    if changed:
        raise CommandError(
            f"The file of {join_names(changed)} has changed while it was read: begin "
            "again when it is complete."
        )
    say(f"{options.data}: {facts['rows']} rows, {facts['features']} features")
    say(f"target {options.target!r}: {facts['task']}")
    if options.eta is None:
        say(f"Searching for the radius of the {facts['method']}, {options.cv} folds")
    else:
        say(f"Fitting the {facts['method']} at the radius {options.eta:g}")
    # Of a search in blocks, each pass has a bar.
    shows_progress = shows_bars(options) and not options.backed
    with keep_steps(checkpoints):
        selection = select(problem, shows_progress, checkpoints)
        say(*summary(selection))
        if options.out is None:
            say("", "Nothing was written; --out DIR saves the model and a report.")
            return
        with new_folder(options.out, FILES) as folder:
            write_report(folder, selection, facts, options)
            written = sorted(os.listdir(folder))
    say("", f"Wrote to {options.out}: {', '.join(written)}")


def read_problem(options, digests):
    """Read the table and check it; `digests` are those of the files.

    Returns
    -------
    problem : Problem
    facts : dict
        About the data, by name, for the report.
    """
    backing = None
    if options.backed:
        backing = Backing(options.memory, shows_bars(options))
    table = read_table(
        ReadOptions.of(
            options,
            target=options.target,
            event=options.event,
            groups=options.groups,
            labels=options.labels,
            backed=backing,
        )
    )
    others = [name for name in (options.event, options.groups) if name is not None]
    names = table.feature_names(options.target, options.drop, others)
    if not names:
        raise CommandError(f"{options.data} has no features besides the target.")
    task, y = read_target(table, options)
    check_two_classes(task, y, options)
    groups = None if options.groups is None else number_groups(table, options)
    X, prepare, done, categories = prepare_columns(table, names, options)
    try:
        suspects, remarks = find_suspects(table, X, y, names, task, options)
    except (TypeError, ValueError) as error:
        if not options.backed:
            raise
        # Blocks are checked when they are read first.
        raise CommandError(f"{options.data} cannot be read: {error}") from error
    suspects = {n: why for n, why in suspects.items() if n not in options.always_keep}
    dropped = list(options.drop)
    if suspects and options.drop_suspects:
        dropped += suspects
        names = [name for name in names if name not in suspects]
        if not names:
            raise CommandError("--drop-suspects leaves no features.")
        X, prepare, done, categories = prepare_columns(table, names, options)
        done.append(f"Suspected leaks were left out: {join_names(suspects)}.")
    if options.always_keep:
        done.append(f"Always in the model: {join_names(options.always_keep)}.")
    method = options.method
    if method == "auto":
        network = task == "classification" and not options.backed
        method = "autoencoder" if network else "selector"
    problem = Problem(
        X=X,
        y=y,
        names=names,
        task=task,
        method=method,
        options=options,
        groups=groups,
        prepare=prepare,
        structure=feature_structure(names, categories, options, dropped),
        preparation=done,
        warnings=remarks,
    )
    facts = {
        "data": str(options.data),
        "SHA-256 of the file": digests["the table"],
        "rows": len(y),
        "features": len(names),
        "target": options.target,
        "task": describe_task(task, y),
        "method": problem.method_name,
    }
    return problem, facts


def find_suspects(table, X, y, names, task, options):
    """Return the columns that may give the target away, and sentences of warning."""
    if hasattr(X, "columns"):
        X = X.select_dtypes("number")
        X, names = X.to_numpy(), list(X.columns)
    classifies = task == "classification"
    suspects = suspect_columns(X, y, names, classifies)
    remarks = suspect_rows(table, X, y, options, classifies)
    if suspects and not options.drop_suspects:
        listed = "; ".join(
            f"{name!r} {reason}" for name, reason in list(suspects.items())[:5]
        )
        more = f"; and {len(suspects) - 5} more" if len(suspects) > 5 else ""
        remarks.insert(
            0, f"Suspected leaks, which --drop-suspects leaves out: {listed}{more}."
        )
    return suspects, remarks


def check_backed(options):
    """Raise an error if an option is not for data in blocks, or for those only."""
    if not options.backed:
        if options.memory is not None:
            raise CommandError("--memory is for --backed.")
        return
    for option, is_given in (
        ("--method autoencoder", options.method == "autoencoder"),
        ("--impute", options.impute is not None),
        ("--encode", options.encode is not None),
        ("--transpose", options.transpose),
        ("--threshold", options.threshold is not None),
        ("--n-jobs", options.n_jobs != 1),
    ):
        if is_given:
            raise CommandError(f"{option} is not for --backed.")


def shows_bars(options):
    """Whether there are progress bars."""
    return not (options.quiet or options.no_progress) and has("rich")


def check_extras():
    """Raise an error if the results could not be written after all the work."""
    for library in ("jinja2", "matplotlib", "skops"):
        if not has(library):
            raise CommandError(f'--out needs {library}: pip install "skproj[cli]"')


def has(library):
    """Whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def digests_of(options):
    """Return the SHA-256 of the files that are read."""
    files = {
        "the table": options.data,
        "the labels": options.labels,
        "the groups of features": options.feature_groups,
    }
    return {name: digest(path) for name, path in files.items() if path is not None}


def digest(path):
    """Return the SHA-256 of a file."""
    if str(path) == STANDARD_INPUT:
        return "unknown, of the standard input"
    if path.is_dir():  # a zarr store
        total = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            total.update(f"{file.relative_to(path).as_posix()} {digest(file)}".encode())
        return total.hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(selection):
    """Return the lines to print about a selection, the verdict first."""
    s = selection
    lines = [
        "",
        s.verdict.sentence,
        "",
        f"Radius eta = {s.eta:.4g}: {s.n_selected} of {len(s.names)} features, "
        f"cross-validated {s.cv_score_name} {s.cv_score:.3f} +- {s.cv_std:.3f}",
    ]
    decision = [] if s.threshold is None else [s.threshold.sentence]
    for sentence in [*decision, *s.preparation, *s.warnings]:
        lines += ["", sentence]
    if s.comparison:
        names = [score.name for score in s.comparison[0].scores]
        width = max(MIN_MODEL_WIDTH, *(len(model.name) for model in s.comparison))
        lines += [
            "",
            f"On {s.n_test} rows that were held out, after training on {s.n_train}, "
            "with 95 % intervals:",
            f"{'':{width}} {'features':>9}" + "".join(f"{name:>24}" for name in names),
        ]
        lines += [
            f"{model.name:{width}} {model.n_features:9}"
            + "".join(f"{show_score(score):>24}" for score in model.scores)
            for model in s.comparison
        ]
    top = s.features[:N_PRINTED_FEATURES]
    lines += ["", f"Top {len(top)} of {s.n_selected} selected features:"]
    lines += [describe_feature(feature) for feature in top]
    return lines


def show_score(score):
    """Return a score with its interval."""
    return f"{score.value:.3f} ({score.low:.2f}-{score.high:.2f})"


def describe_feature(feature):
    """Return the line of a feature: score, frequency, direction and name."""
    often = "" if feature.frequency is None else f"{feature.frequency:7.0%}"
    direction = feature.direction
    where = direction if direction in "+-" else f"high in {direction}"
    return f"{feature.score:10.4g}{often}  {feature.name}  ({where})"
