"""Options of ``skproj select`` that do not fit together, before anything is read."""

import importlib.util
import os

from skproj.cli._arguments import STANDARD_INPUT
from skproj.cli._errors import CommandError


def run(options, errors):
    """Run ``skproj select``; libraries are imported when all before them is right."""
    event = options.event or ""  # the name may have the sign, then without blanks
    name, sign, value = event.partition(" = " if " = " in event else "=")
    options.event, options.event_value = name.strip() or None, value.strip() or None
    if sign and None in (options.event, options.event_value):
        errors.append("--event must be a column, or COLUMN=VALUE.")
    check_roles(options, errors)
    check_backed(options, errors)
    with errors:
        check_free(options.out, options.overwrite, folder=True)
    with errors:
        check_extras(options)
    files = [p for p in (options.data, options.labels) if p is not None]
    can_read = all(str(path) == STANDARD_INPUT or path.exists() for path in files)
    if not can_read or (options.backed and options.transpose):
        errors.raise_all()
    from skproj.cli import _inputs  # NumPy and pandas come with it

    inputs = _inputs.read_inputs(options, errors)
    from skproj.cli import _select  # scikit-learn and PyTorch come with it

    _select.run(options, inputs)


def check_free(path, overwrite, *, folder=False):
    """Raise an error if a file or folder exists already, or cannot be written."""
    if path is None:
        return
    if not path.exists():
        check_writable(path.absolute())
        return
    if not (path.is_dir() if folder else path.is_file()):
        wanted = "folder" if folder else "file"
        raise CommandError(f"--out must be a {wanted}, which {path} is not.")
    check_writable(path if folder else path.absolute().parent)
    if not overwrite and (not folder or any(path.iterdir())):
        what = "is a folder with files in it" if folder else "exists already"
        raise CommandError(f"{path} {what}; --overwrite replaces what is there.")


def check_writable(folder):
    """Raise an error if a folder that may be still to be made cannot be written to."""
    while not folder.exists():
        if folder.is_symlink():
            raise CommandError(f"--out: {folder} is a link to nothing.")
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise CommandError(f"--out: {folder} is not a folder that can be written to.")


def check_roles(options, errors):
    roles = ("target", "event", "groups", "index")
    named = [(role, name) for role in roles if (name := getattr(options, role))]
    for i, (role, name) in enumerate(named):
        for other, same in named[:i]:
            if name == same:
                # The column is not taken out of the table by --index.
                options.index = None if role == "index" else options.index
                errors.append(f"column {name!r} is both --{role} and --{other}.")
    if options.method == "autoencoder" and type(options.keep_gain) is float:
        if options.keep_gain < 1.0:
            errors.append(
                f"--keep-gain {options.keep_gain} is for the linear selector; with "
                "--method autoencoder it may be 1 or one-standard-error."
            )
    if options.windows is not None and options.feature_groups is not None:
        errors.append("--windows and --feature-groups both make groups: give one.")
    if options.event is None:
        return
    for option, value, default in (
        ("--task", options.task, "auto"),
        ("--scoring", options.scoring, None),
        ("--class-weight", options.class_weight, None),
    ):
        if value != default:
            errors.append(
                f"{option} {value} is not for survival times, which --event asks "
                "for: the models of these are scored by the concordance index."
            )


def check_backed(options, errors):
    """Find options that are not for data in blocks, or for those only.

    They are then taken as not given, but for --transpose: nothing is known without it.
    """
    defaults = {
        "--method autoencoder": "auto",
        "--impute": None,
        "--encode": None,
        "--transpose": False,
        "--threshold": None,
        "--n-jobs": 1,
    }
    for option, default in defaults.items():
        name = option.split()[0].removeprefix("--").replace("-", "_")
        if options.backed and getattr(options, name) not in (default, "selector"):
            if name != "transpose":
                setattr(options, name, default)
            errors.append(f"{option} is not for --backed.")
    if options.memory is not None and not options.backed:
        errors.append("--memory is for --backed.")


def shows_bars(options):
    return not (options.quiet or options.no_progress) and has("rich")


def check_extras(options):
    needed = () if options.out is None else ("jinja2", "matplotlib", "skops")
    missing = ", ".join(library for library in needed if not has(library))
    if missing:
        raise CommandError(f'--out needs {missing}: pip install "skproj[cli]"')


def has(library):
    return importlib.util.find_spec(library) is not None
