"""``skproj verify``: repeat the run of a report, and compare all its numbers."""

import contextlib
import json
import math
import shlex
import tempfile
from pathlib import Path

from skproj.cli import _options
from skproj.cli._arguments import (
    OF_STANDARD_INPUT,
    STANDARD_INPUT,
    make_parser,
    take_refused,
)
from skproj.cli._errors import CommandError, Errors
from skproj.cli._output import print_lines

# What differs between two runs that say the same.
NOT_COMPARED = {"command", "settings", "versions", "written", "methods"}
# Relative difference of numbers that are the same but for rounding on another machine.
TOLERANCE = 1e-6
N_NAMED = 5
# What a report has at least.
PARTS = {"command": str, "data": dict, "versions": dict, "features": list}


def run(options, errors):
    errors.raise_all()
    old = read_report(options.report)
    parsed = command_of(old, options)
    check_files(old, parsed)
    with tempfile.TemporaryDirectory() as folder:
        parsed.out = Path(folder) / "out"
        parsed.quiet = parsed.no_progress = True
        parsed.overwrite = False
        found = Errors()
        take_refused(parsed, found)
        _options.run(parsed, found)
        new = read_report(parsed.out / "report.json")
    differences, n_compared = compare(old, new)
    versions = [
        f"{name} {version} (now {new['versions'].get(name)})"
        for name, version in old["versions"].items()
        if version != new["versions"].get(name)
    ]
    if versions:
        print_lines(f"Versions differ: {', '.join(versions)}.")
    if differences:
        more = len(differences) - N_NAMED
        raise CommandError(
            f"{len(differences)} of {n_compared} values differ: "
            + "; ".join(differences[:N_NAMED])
            + (f"; and {more} more" if more > 0 else "")
        )
    print_lines(f"All {n_compared} values of {options.report} came out the same.")


def read_report(path):
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(report[name], kind) for name, kind in PARTS.items()):
            return report
    except (ValueError, TypeError, KeyError):
        pass
    raise CommandError(f"{path} is no report.json of skproj select.")


def check_files(report, options):
    # NumPy and pandas come with it.
    from skproj.cli._inputs import digests_of, files_of

    paths = files_of(options)
    for name, found in digests_of(options).items():
        old = report["data"].get(f"SHA-256 of {name}")
        if old not in (found, None, OF_STANDARD_INPUT):
            raise CommandError(
                f"{paths[name]} is not the file that the report was written of: the "
                f"SHA-256 of {name} is another one."
            )


def command_of(report, options):
    """Return the options of the command that wrote a report, of another table if any.

    It is repeated in the folder where it was called, or where the table is found.
    """
    arguments, parsed = [], None
    with contextlib.suppress(SystemExit, ValueError):  # of quotes that do not end
        arguments = shlex.split(report["command"])[1:]
        parsed = make_parser().parse_args(arguments)
    if parsed is None or parsed.command != "select":
        raise CommandError(
            f"{options.report} was not written by a command of this version: "
            f"{report['command']}"
        )
    parsed.command_line = ["skproj", *arguments]
    if options.data is not None:
        parsed.data = options.data
    if str(parsed.data) == STANDARD_INPUT:
        raise CommandError(
            "The table came from the standard input; --data FILE says where it is."
        )
    if not parsed.data.exists():
        raise CommandError(
            f"There is no {parsed.data} here; --data FILE says where the table is."
        )
    return parsed


def compare(old, new):
    """Return sentences on values that differ, and how many were compared."""
    before, after = dict(values_of(old)), dict(values_of(new))
    names = [name for name in before | after if name.split(".")[0] not in NOT_COMPARED]
    names = [n for n in names if not n.startswith(("data.data", "data.SHA-256"))]
    differences = [
        f"{name} was {before.get(name)}, and is {after.get(name)}"
        for name in names
        if not is_same(before.get(name), after.get(name))
    ]
    return differences, len(names)


def values_of(value, name=""):
    """Yield the values in dicts and lists, with where they are."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        yield name, value
        return
    for key, part in parts:
        yield from values_of(part, f"{name}.{key}" if name else str(key))


def is_same(a, b):
    """Whether two values are the same, numbers but for rounding."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE * 1e-3)
    return a == b
