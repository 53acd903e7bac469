"""Entry point of the command line."""

import importlib
import os
import sys
import traceback
import warnings

from skproj.cli._arguments import make_parser, take_refused
from skproj.cli._errors import CommandError, Errors, check_is_file
from skproj.utils._wording import on_one_line

# The rest of the package, and with it scikit-learn and PyTorch, is imported when a
# command needs it.
COMMANDS = {
    "select": "skproj.cli._options",
    "verify": "skproj.cli._verify",
    "apply": "skproj.cli._apply",
    "export": "skproj.cli._export",
    "info": "skproj.cli._info",
    "datasets": "skproj.cli._datasets",
}

# As in shells: what a process ended by SIGINT returns.
EXIT_INTERRUPTED = 130


def main(argv=None):
    """Run a command of the command line.

    Parameters
    ----------
    argv : list of str, default=None
        The arguments, without the name of the program; those of the process if None.

    Returns
    -------
    code : int
        0 if all is well, 2 if the arguments or the data are unsuitable, 1 for any other
        error, 130 after an interrupt from the keyboard. Without arguments the help is
        printed, and the code is 0.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    if not argv:
        parser.print_help()
        return 0
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed why
        return end.code
    options.command_line = ["skproj", *map(str, argv)]
    with warnings.catch_warnings():
        warnings.showwarning = print_warning
        return run(options)


def run(options):
    """Run the command and turn exceptions into lines and an exit code."""
    try:
        errors = Errors()
        take_refused(options, errors)
        n_found = len(errors)
        check_inputs(options, errors)
        if len(errors) > n_found and options.command != "select":
            errors.raise_all()  # without NumPy, which other commands need from here on
        importlib.import_module(COMMANDS[options.command]).run(options, errors)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("skproj: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe needs no more. Nothing can be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if options.debug or os.environ.get("SKPROJ_TRACEBACK", "0") not in ("", "0"):
            traceback.print_exc()
        expected, sentences = explain(error)
        for sentence in sentences:
            print(f"skproj: error: {on_one_line(sentence)}", file=sys.stderr)
        return 2 if expected else 1


def check_inputs(options, errors):
    for name in ("model", "data", "result", "labels", "feature_groups", "report"):
        path = getattr(options, name, None)
        is_folder = name == "result" and path is not None and path.is_dir()
        if path is not None and str(path) != "-" and not is_folder:
            with errors:
                check_is_file(path)


def explain(error):
    """Return whether such an error was to be expected, and lines that explain it.

    Estimators say with a ValueError or a TypeError what is wrong with the data.
    """
    if isinstance(error, CommandError):
        return True, [" ".join(sentence.split()) for sentence in error.args]
    sentence = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return True, [f"there is not enough memory. {sentence}".rstrip()]
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return True, [f"{error.strerror}{where}"]
    expected = (ValueError, TypeError, OSError, ModuleNotFoundError)
    if isinstance(error, expected) and sentence:
        return True, [sentence]
    return False, [
        f"{type(error).__name__}: {sentence} (this looks like a bug of skproj; "
        "--debug shows where it is)"
    ]


def print_warning(message, category, filename, lineno, file=None, line=None):
    sentence = " ".join(str(message).split())
    print(f"skproj: warning: {on_one_line(sentence)}", file=sys.stderr)
