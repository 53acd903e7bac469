"""The arguments of the command line."""

import argparse
import itertools
import math
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from skproj._version import __version__
from skproj.persistence._panel._text_tables import clean, half_of_limit

EXAMPLES = {
    "select": """\
examples:
  skproj select table.csv --target label --out selection
  skproj select table.csv --target label --index sample --drop age sex
  skproj select cells.h5ad --target cell_type --layer logcounts --n-jobs 4
  skproj select cells.zarr --target cell_type --backed --memory 2GB
  skproj select table.parquet --target weight --task regression --eta 3.5
  skproj select trial.csv --target time --event died --out selection
""",
    "verify": """\
examples:
  skproj verify selection/report.json
""",
    "apply": """\
examples:
  skproj apply selection/model.skops new.csv --out predictions.csv
  skproj apply selection/model.skops new.csv --transform --out selected.csv
""",
    "panel": """\
examples:
  skproj export panel selection --out panel
  python panel/panel_model.py new.csv --out predictions.csv
""",
    "info": """\
examples:
  skproj info
  skproj info selection/model.skops
""",
    "datasets": """\
examples:
  skproj datasets
  skproj datasets digits-probes --out digits.parquet
  skproj select digits.parquet --target digit --out selection
  skproj datasets cells --n-obs 1000000 --n-vars 20000 --out cells.zarr
""",
}

# Values of the options of 'skproj datasets cells' that are not given.
CELL_DEFAULTS = {
    "n_obs": 10_000,
    "n_vars": 2000,
    "density": 0.05,
    "n_types": 10,
    "n_markers": 30,
    "seed": 0,
}

STANDARD_INPUT = "-"
# In place of a SHA-256.
OF_STANDARD_INPUT = "unknown, of the standard input"
N_FOLDS = 5

# What the values of options are.
COLUMN = {"type": clean, "metavar": "COLUMN"}
FILE = {"type": Path, "metavar": "FILE"}
SEVERAL = {"nargs": "+", "type": clean, "action": "extend", "default": []}

DATA_HELP = (
    "table with a row for each sample: .csv, .tsv, .txt (all also as .gz), .xlsx, "
    ".parquet, .h5ad or .zarr of anndata; - is the standard input"
)


class Condition(NamedTuple):
    """A condition on the rows, such as ``Group != QC`` or ``age >= 18``."""

    text: str
    column: str
    sign: str
    value: str

    def __str__(self):
        return self.text


class Parser(argparse.ArgumentParser):
    """Parser that goes on where the value of an option is refused."""

    def _get_values(self, action, texts):  # there is no public place for it
        try:
            return super()._get_values(action, texts)
        except argparse.ArgumentError as error:
            if not action.option_strings:
                raise
            error.default = action.default
            return error if action.nargs is None else [error]


def take_refused(options, errors):
    """Find values that were refused, and put defaults in their places.

    The names of these options are then in `options.refused`.
    """
    options.refused = []
    for name, value in list(vars(options).items()):
        values = value if isinstance(value, list) else [value]
        refused = [v for v in values if isinstance(v, argparse.ArgumentError)]
        for error in refused:
            errors.append(f"{error.argument_name}: {error.message}")
            setattr(options, name, error.default)
            options.refused.append(name)


def make_parser():
    """Return the parser of all commands."""
    parser = Parser(
        prog="skproj",
        description="Select the features of a table that predict a column of it.",
        epilog="skproj COMMAND --help shows the options of a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"skproj {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_select(commands)
    add_verify(commands)
    add_apply(commands)
    add_export(commands)
    add_info(commands)
    add_datasets(commands)
    return parser


def add_select(commands):
    parser = add_command(
        commands,
        "select",
        "select features and write a report",
        "Select the features that predict a column. The radius of the projection, "
        "which says how sparse the model is, is chosen by cross-validation on one part "
        "of the rows. The accuracy is measured on the others, and compared with that "
        "of models without a selection.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help=DATA_HELP)
    parser.add_argument(
        "--target",
        required=True,
        **COLUMN,
        help="column to predict; of annotated data, a column of obs",
    )
    parser.add_argument(
        "--event",
        **COLUMN,
        help="column that says whether the event was seen (1) or the row is censored "
        "(0): the target is then the time of either, and risks are predicted; "
        "COLUMN=VALUE says which value is the event, such as OS_STATUS=DECEASED",
    )
    add_table_options(parser)
    add_column_options(parser)
    parser.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="auto: classification of text, truth values and at most 20 whole numbers",
    )
    parser.add_argument(
        "--method",
        choices=["auto", "autoencoder", "selector"],
        default="auto",
        help="selector: a linear selector followed by a logistic, ridge or Cox "
        "regression; autoencoder: a sparse supervised autoencoder; auto (the default): "
        "the linear selector, followed by the mean of the regression and of a network "
        "on what is selected, or with --event or --backed by the regression alone",
    )
    parser.add_argument(
        "--backed",
        action="store_true",
        help="leave the features of annotated data or of a .parquet file there, and "
        "read them in blocks of rows: a linear selector followed by a linear model",
    )
    parser.add_argument(
        "--memory",
        type=memory,
        metavar="SIZE",
        help="memory that --backed is meant to take, such as 2GB (default: as little "
        "as is fast); more of it means fewer passes",
    )
    add_search_options(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for features.csv and .json, model.skops, report.html and plots; "
        "without it nothing is written",
    )
    add_overwrite(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where an interrupted run with the same --out was, which has left "
        "its finished steps in DIR.partial",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_verify(commands):
    parser = add_command(
        commands,
        "verify",
        "repeat a selection, and compare it with its report",
        "Repeat the command that wrote a report.json, in the folder where it was "
        "called, and compare every number.",
    )
    parser.add_argument(
        "report", type=Path, metavar="REPORT", help="a report.json of 'skproj select'"
    )
    parser.add_argument(
        "--data", **FILE, help="where the table is now (default: as in the report)"
    )


def add_apply(commands):
    parser = add_command(
        commands,
        "apply",
        "predict with a saved model",
        "Predict with a model that 'skproj select' has saved. Columns are found by "
        "their names, in any order; others are ignored.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .skops file")
    parser.add_argument("data", type=Path, metavar="DATA", help=DATA_HELP)
    add_table_options(parser)
    parser.add_argument(
        "--transform",
        action="store_true",
        help="write the selected columns of the table, as they are, not predictions",
    )
    parser.add_argument(
        "--out",
        **FILE,
        help=".csv, .tsv or .parquet file to write (default: print as csv)",
    )
    add_overwrite(parser)


def add_export(commands):
    parser = commands.add_parser("export", help="write a model for other programs")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    parser = add_command(
        kinds,
        "panel",
        "the selected columns, and a model that needs only NumPy",
        "Write the selected columns with directions, standardisation and, of a linear "
        "model, coefficients as panel.csv, and a program that predicts from them as "
        "panel_model.py, which needs Python and NumPy alone. A linear model is also "
        "written as panel_model.R, a script of R, and as the formulas of "
        "panel_model.xlsx.",
    )
    parser.add_argument(
        "result",
        type=Path,
        metavar="RESULT",
        help="folder that 'skproj select' has written, or a .skops file",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for panel.csv and the programs",
    )
    add_overwrite(parser)


def add_info(commands):
    parser = add_command(
        commands,
        "info",
        "show versions, or describe a model",
        "Show versions and the processor, or describe a saved model.",
    )
    parser.add_argument(
        "model", type=Path, nargs="?", metavar="MODEL", help="a .skops file"
    )


def add_datasets(commands):
    parser = add_command(
        commands,
        "datasets",
        "write a table to try the commands with",
        "Write one of the tables that come with scikit-learn or a synthetic one, or "
        "list them.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="which one")
    parser.add_argument(
        "--out",
        **FILE,
        help=".csv, .tsv or .parquet file to write; .h5ad or .zarr for cells",
    )
    add_overwrite(parser)
    cells = parser.add_argument_group("options of cells")
    for name, kind, metavar, what in (
        ("n_obs", at_least(1), "N", "number of cells"),
        ("n_vars", at_least(1), "N", "number of genes"),
        ("density", density, "SHARE", "share of entries that are not zero"),
        ("n_types", at_least(2), "N", "number of types of cells"),
        ("n_markers", at_least(0), "N", "number of genes that mark each type"),
        ("seed", at_least(0), "N", "seed of all that is random"),
    ):
        cells.add_argument(
            "--" + name.replace("_", "-"),
            type=kind,
            metavar=metavar,
            help=f"{what} (default: {CELL_DEFAULTS[name]})",
        )
    cells.add_argument("--no-progress", action="store_true", help="no progress bar")


def add_command(commands, name, summary, description):
    """Add a command, with the options of all commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, 80),
        epilog=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show where an error came from, as SKPROJ_TRACEBACK=1 does",
    )
    return parser


def add_table_options(parser):
    parser.add_argument(
        "--index", "--id", **COLUMN, help="column with the names of the rows"
    )
    parser.add_argument(
        "--layer", metavar="LAYER", help="layer of annotated data, instead of X"
    )
    parser.add_argument(
        "--sheet", metavar="SHEET", help="sheet of an .xlsx file (default: the first)"
    )
    parser.add_argument(
        "--sep",
        type=separator,
        metavar="SIGN",
        help="sign between the columns of text, or tab (default: recognised)",
    )
    parser.add_argument(
        "--decimal",
        choices=[".", ","],
        help="decimal sign of text (default: recognised)",
    )
    parser.add_argument(
        "--thousands",
        choices=[",", ".", "'", " "],
        help="sign between groups of three digits (default: recognised, and said)",
    )
    parser.add_argument(
        "--na",
        nargs="+",
        type=texts,
        action=Extend,
        default=[],
        metavar="TEXT",
        help="what stands for a missing value besides NA, null and the like, such as "
        "n.d. or '<90'; several that are no numbers may be joined by commas: ND,.,?",
    )
    parser.add_argument(
        "--na-below",
        nargs="+",
        type=limit,
        action="extend",
        default=[],
        metavar="LIMIT",
        help="entries below a limit of detection, such as '<90', in whose place half "
        "of the limit is read; '<' alone stands for all of this form",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of text, such as utf-16 or latin-1 (default: recognised)",
    )
    parser.add_argument(
        "--transpose",
        action="store_true",
        help="the table has a row for each feature and a column for each sample",
    )


def add_column_options(parser):
    parser.add_argument(
        "--where",
        type=condition,
        action="append",
        default=[],
        metavar="CONDITION",
        help="rows to use, such as 'Group != QC', 'age >= 18' or 'age != NA', also of "
        "a column that is no feature; given several times, all must hold",
    )
    for name, what in (
        ("--drop", "columns that are not features, such as ids"),
        (
            "--always-keep",
            "columns that are in the model in any case, such as the age: what is "
            "selected adds to them",
        ),
    ):
        parser.add_argument(name, **SEVERAL, metavar="COLUMN", help=what)
    parser.add_argument(
        "--feature-groups",
        **FILE,
        help="table with the columns feature and group: features of a group, such as a "
        "pathway, are selected together",
    )
    parser.add_argument(
        "--windows",
        type=at_least(2),
        metavar="N",
        help="select windows of N neighbouring channels of spectra, columns with names "
        "such as 1100 or X1100.5",
    )
    parser.add_argument(
        "--drop-suspects",
        action="store_true",
        help="leave out columns that are suspected to give the target away",
    )
    parser.add_argument(
        "--labels",
        **FILE,
        help="table with the target, and the groups, by the names of the rows",
    )
    parser.add_argument(
        "--impute",
        choices=["median", "knn", "indicator"],
        help="fill in missing numbers: by the median of the column, by the mean of the "
        "five rows that are most alike, or by the median with another column that says "
        "where one was missing",
    )
    parser.add_argument(
        "--encode",
        choices=["onehot"],
        help="onehot: make a column of 0 and 1 for each value of a column of text; "
        "those of a column are selected together",
    )
    parser.add_argument(
        "--groups",
        **COLUMN,
        help="column that names the patient, the batch or the like of each row: rows "
        "of one are never on both sides of a split; of annotated data, a column of obs",
    )


def add_search_options(parser):
    parser.add_argument(
        "--eta",
        type=radius,
        default=None,
        metavar="RADIUS",
        help="radius of the projection, or auto: cross-validation (the default)",
    )
    parser.add_argument(
        "--keep-gain",
        type=keep_gain,
        metavar="SHARE",
        help="keep as few features as hold this share of what the best number of them "
        "gains over no features (default: 0.95); 1 takes the best score, and "
        "one-standard-error as few as are within one standard error of it. Of an "
        "autoencoder, 1 or one-standard-error; by default it takes the best score, of "
        "which it subtracts a little for many features",
    )
    parser.add_argument(
        "--test-size",
        type=share,
        default=0.25,
        metavar="SHARE",
        help="share of the rows that is held out; 0 trains on all (default: 0.25)",
    )
    parser.add_argument(
        "--cv",
        type=at_least(2),
        default=N_FOLDS,
        metavar="FOLDS",
        help="number of folds of the cross-validation (default: 5, and for less than "
        "1000 rows the linear selector divides them three times)",
    )
    parser.add_argument(
        "--scoring",
        metavar="SCORE",
        help="score of scikit-learn by which the radius is chosen, such as "
        "balanced_accuracy or r2 (default: the log loss of classes, r2 of numbers, and "
        "of times with --event the partial likelihood, or the concordance index for an "
        "autoencoder)",
    )
    parser.add_argument(
        "--class-weight",
        choices=["balanced"],
        help="balanced: rows of rare classes count more, as much as all of another "
        "class together",
    )
    parser.add_argument(
        "--threshold",
        choices=["accuracy", "balanced_accuracy", "f1", "matthews_corrcoef"],
        help="choose the threshold between two classes by this score in the folds, of "
        "the rarer class (default: the likelier class is predicted)",
    )
    parser.add_argument(
        "--stability",
        nargs="?",
        type=at_least(1),
        const=50,
        metavar="PAIRS",
        help="measure how often each feature is selected from random halves of the "
        "rows, of so many pairs (default: 50; 5 or 10 without the option)",
    )
    parser.add_argument(
        "--fdr",
        nargs="?",
        type=number(float, lambda x: 0.0 < x < 1.0, "a number between 0 and 1"),
        const=0.1,
        metavar="RATE",
        help="estimate how many features are false discoveries, and which can be "
        "trusted at this rate of them (default: 0.1; not measured without the option)",
    )
    parser.add_argument(
        "--repeat",
        type=at_least(1),
        metavar="N",
        help="repeat the selection with N other seeds, which hold out other rows, and "
        "say how much the features and the score vary",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="seed of all that is random"
    )
    parser.add_argument(
        "--n-jobs",
        type=number(int, lambda n: n != 0, "a whole number other than 0"),
        default=1,
        metavar="N",
        help="number of processes, -1 for one per processor (default: 1)",
    )


def add_overwrite(parser):
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what is there already"
    )


def number(kind, is_allowed, wanted):
    """Return a function that reads a number of this kind, and refuses others."""

    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not is_allowed(value):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
        return value

    return read


class Extend(argparse.Action):
    """Append several lists of values."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Set the attribute to all values so far, those that are refused as well."""
        lists = [value if isinstance(value, list) else [value] for value in values]
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*before, *itertools.chain(*lists)])


def texts(text):
    """Return what stands for missing values, of text such as ND,.,? or -9,5."""
    if re.search(r"\d,\d", text):
        if text.count(",") > 1:
            raise argparse.ArgumentTypeError(
                f"of numbers, write blanks between them, not commas, got {text!r}"
            )
        return [clean(text)]
    return [clean(part) for part in text.split(",")]


def limit(text):
    """Return an entry such as <90 without spaces, or the sign < for all of these."""
    plain = clean(text).replace(" ", "")
    if plain != "<" and half_of_limit(plain, "<") == plain:
        raise argparse.ArgumentTypeError(
            f"must be an entry such as '<90', or '<' for all of them, got {text!r}"
        )
    return plain


def condition(text):
    """Return what rows must fulfil, of text such as Group != QC.

    A sign between blanks comes first: names of columns may have others.
    """
    column, sign = r"(.*?[^\s=!<>])", r"(==|!=|<=|>=|=|<|>)(?![=<>])"
    found = re.fullmatch(rf"{column}\s+{sign}\s+(.*)", text, re.DOTALL)
    found = found or re.fullmatch(rf"{column}\s*{sign}(.*)", text, re.DOTALL)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"must be a column, one of = != < <= > >=, and a value, got {text!r}"
        )
    return Condition(text, clean(found[1]), found[2], clean(found[3]))


def separator(text):
    """Return a separator of columns, which may be the word tab."""
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"must be one sign or tab, got {text!r}")
    return text


def radius(text):
    """Return a radius, or None for the word auto."""
    if text == "auto":
        return None
    read = number(float, lambda x: 0.0 < x < math.inf, "a positive number or auto")
    return read(text)


def keep_gain(text):
    """Return a share of the gain, or the word for one standard error."""
    if text == "one-standard-error":
        return text
    wanted = "a number above 0 up to 1, or one-standard-error"
    return number(float, lambda x: 0.0 < x <= 1.0, wanted)(text)


def memory(text):
    """Return a number of bytes, of text such as 2GB or 500 MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([kmgt])(i?)b?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a size such as 2GB, got {text!r}")
    value, prefix, binary = found.groups()
    power = 1 + "kmgt".index(prefix)
    return int(float(value) * (1024 if binary else 1000) ** power)


share = number(float, lambda x: 0.0 <= x < 1.0, "at least 0 and less than 1")
density = number(float, lambda x: 1e-6 <= x <= 0.9, "from 1e-6 to 0.9")


def at_least(smallest):
    """Return a function that reads an integer which is not smaller."""
    wanted = f"a whole number of at least {smallest}"
    return number(int, lambda x: x >= smallest, wanted)
