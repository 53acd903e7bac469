"""``skproj select``: from a table to features, a model and a report."""

import contextlib
import os
import textwrap

import numpy as np

from skproj.cli._checks import check_finite
from skproj.cli._errors import CommandError
from skproj.cli._frame_table import FrameTable
from skproj.cli._inputs import digests_of
from skproj.cli._options import shows_bars
from skproj.cli._output import new_folder, print_lines
from skproj.cli._preparation import prepare_columns, read_columns
from skproj.cli._problem import Problem
from skproj.cli._report import FILES, write_report
from skproj.cli._result import describe_repeats, rounded
from skproj.cli._selection import select
from skproj.cli._structure import feature_structure
from skproj.cli._suspects import codes_of_gaps, suspect_columns, suspect_rows
from skproj.cli._target import describe_task
from skproj.utils._wording import in_words, join_names

N_PRINTED_FEATURES = 20
# Characters of a line of scores, of its columns, and at least of the name of a model.
MAX_WIDTH, COUNT_WIDTH, INTERVAL_WIDTH, MIN_MODEL_WIDTH = 79, 8, 20, 24


def run(options, inputs):
    say = (lambda *lines: None) if options.quiet else print_lines
    digests = inputs.digests
    problem, facts = make_problem(options, inputs, digests)
    changed = [
        name for name, old in digests_of(options).items() if old != digests[name]
    ]
    if changed:
        raise CommandError(
            f"The file of {join_names(changed)} has changed while it was read: begin "
            "again when it is complete."
        )
    groups = f", {facts['groups']}" if "groups" in facts else ""
    say(f"{options.data}: {facts['rows']} rows, {facts['features']} features{groups}")
    say(f"target {options.target!r}: {facts['task']}")
    if options.eta is None:
        say(f"Searching for the radius of the {facts['method']}, {options.cv} folds")
    else:
        say(f"Fitting the {facts['method']} at the radius {options.eta:g}")
    # Of a search in blocks, each pass has a bar.
    shows_progress = shows_bars(options) and not options.backed
    selection = select(problem, shows_progress)
    say(*summary(selection))
    if options.out is None:
        say("", "Nothing was written; --out DIR saves the model and a report.")
        return
    with new_folder(options.out, FILES) as folder:
        write_report(folder, selection, facts, options)
        written = sorted(os.listdir(folder))
    say("", f"Wrote to {options.out}: {', '.join(written)}")


def make_problem(options, inputs, digests):
    table, names, task, y = inputs.table, inputs.names, inputs.task, inputs.y
    X, prepare, done, categories = prepare_columns(inputs.columns, options)
    try:
        suspects, remarks = find_suspects(table, X, y, names, task, options)
    except (TypeError, ValueError) as error:
        if not options.backed:
            raise
        # Blocks are checked when they are read first.
        with contextlib.suppress(TypeError, ValueError):  # the same error again
            check_finite(X, names, options.data)
        raise CommandError(f"{options.data} cannot be read: {error}") from error
    suspects = {n: why for n, why in suspects.items() if n not in options.always_keep}
    if suspects and options.drop_suspects:
        names = [name for name in names if name not in suspects]
        if not names:
            raise CommandError("--drop-suspects leaves no features.")
        columns = read_columns(table, names, options)
        X, prepare, done, categories = prepare_columns(columns, options)
        done.append(f"Suspected leaks were left out: {join_names(suspects)}.")
    if options.always_keep:
        done.append(f"Always in the model: {join_names(options.always_keep)}.")
    method = options.method
    if method == "auto" and (task == "survival" or options.backed):
        method = "selector"
    problem = Problem(
        X=X,
        y=y,
        names=names,
        task=task,
        method=method,
        options=options,
        groups=inputs.groups,
        prepare=prepare,
        structure=feature_structure(names, categories, options, inputs.feature_groups),
        reading=table.reading,
        preparation=done,
        warnings=remarks,
    )
    facts = {
        "data": str(options.data),
        **{f"SHA-256 of {name}": found for name, found in digests.items()},
        "rows": len(y),
        "features": len(names),
        "target": options.target,
        "task": describe_task(task, y),
        "method": problem.method_name,
    }
    if inputs.groups is not None:
        n_groups = len(np.unique(inputs.groups))
        facts["groups"] = f"{n_groups} groups by {options.groups}"
    return problem, facts


def find_suspects(table, X, y, names, task, options):
    if hasattr(X, "columns"):
        X = X.select_dtypes("number")
        X, names = X.to_numpy(), list(X.columns)
    classifies = task == "classification"
    suspects = suspect_columns(X, y, names, classifies)
    remarks = suspect_rows(table, X, y, options, classifies)
    if isinstance(table, FrameTable):  # for others, there is no --na
        remarks += codes_of_gaps(X, names)
    if suspects and not options.drop_suspects:
        listed = "; ".join(
            f"{name!r} {reason}" for name, reason in list(suspects.items())[:5]
        )
        more = f"; and {len(suspects) - 5} more" if len(suspects) > 5 else ""
        remarks.insert(
            0, f"Suspected leaks, which --drop-suspects leaves out: {listed}{more}."
        )
    return suspects, remarks


def summary(selection):
    s = selection
    radius = f"Radius eta = {s.eta:.4g}: {s.n_selected} of {len(s.names)} features"
    if s.support.all():
        radius = f"Radius eta = {s.eta:.4g}: no feature was left out of {s.n_selected}"
    lines = [
        "",
        s.verdict.sentence,
        "",
        f"{radius}, cross-validated {s.cv_score_name} "
        f"{rounded(s.cv_score, 3)} +- {rounded(s.cv_std, 3)}",
    ]
    threshold = s.threshold and s.threshold.sentence
    parts = s.choice, s.false_discoveries, threshold, describe_repeats(s.repeats)
    told = [sentence for sentence in parts if sentence is not None]
    for sentence in [*told, *s.preparation, *s.warnings]:
        lines += ["", sentence]
    if s.comparison:
        lines += [
            "",
            f"On {s.n_test} rows that were held out, after training on {s.n_train}, "
            "with a 95 % interval:",
            *score_table(s.comparison),
        ]
    top = s.features[:N_PRINTED_FEATURES]
    often, halves = "", ""
    if s.n_halves:
        by_chance = f"{s.n_selected / len(s.names):.0%} by chance"
        often = f" (share of {s.n_halves} halves that select it, {by_chance})"
        halves = " halves"
    where = "the class in which it is high" if s.class_names else "its direction"
    lines += [
        "",
        f"Top {len(top)} of {s.n_selected} selected features{often}:",
        f"{'score':>10}{halves}  feature ({where})",
    ]
    lines += [describe_feature(feature) for feature in top]
    return lines


def score_table(models):
    """Return the lines of a table of scores, of which the first has its interval.

    They fit into 80 columns; long names of models have several lines.
    """
    headline, *others = (score.name for score in models[0].scores)
    widths = [max(len(name), 8) + 2 for name in others]
    left = MAX_WIDTH - COUNT_WIDTH - INTERVAL_WIDTH - sum(widths)
    left = max(left, MIN_MODEL_WIDTH)
    rows = [("", "features", headline, *others)]
    for model in models:
        first, *more = model.scores
        values = [rounded(score.value, 3) for score in more]
        rows.append((model.name, model.n_features, show_score(first), *values))
    lines = []
    for name, *cells in rows:
        first, *more = textwrap.wrap(name, left - 1, subsequent_indent="  ") or [""]
        sizes = COUNT_WIDTH, INTERVAL_WIDTH, *widths
        text = (f"{c:>{size}}" for c, size in zip(cells, sizes, strict=True))
        lines += [f"{first:{left}}{''.join(text)}", *more]
    return lines


def show_score(score):
    low, high = rounded(score.low, 2), rounded(score.high, 2)
    return f"{rounded(score.value, 3)} ({low}-{high})"


def describe_feature(feature):
    often, direction = "", feature.direction
    if feature.frequency is not None:  # 100 only if it is all of them
        often = f"{int(100 * feature.frequency + 1e-9):6}%"
    where = direction if direction in "+-" else f"high in {direction}"
    return f"{feature.score:10.4g}{often}  {in_words(feature.name)}  ({where})"
