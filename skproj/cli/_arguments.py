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
""",
}

STANDARD_INPUT = "-"
# In place of a SHA-256.
OF_STANDARD_INPUT = "unknown, of the standard input"
N_FOLDS = 5

# What the values of arguments are by their names in the help.
TYPES = {"COLUMN": clean}
TYPES |= dict.fromkeys(("DATA", "DIR", "FILE", "MODEL", "REPORT", "RESULT"), Path)
SEVERAL = {"nargs": "+", "action": "extend", "default": []}

DATA = (
    "DATA: table with a row for each sample: .csv, .tsv, .txt (all also as .gz), "
    ".xlsx, .parquet, .h5ad or .zarr of anndata; - is the standard input"
)
OVERWRITE = "--overwrite: replace what is there already"


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
    add_arguments(
        parser,
        f"""
        {DATA}
        --target COLUMN: column to predict; of annotated data, a column of obs
        --event COLUMN: column that says whether the event was seen (1) or the row is
            censored (0): the target is then the time of either, and risks are
            predicted; COLUMN=VALUE says which value is the event, such as
            OS_STATUS=DECEASED
        """,
        target={"required": True},
    )
    add_table_options(parser)
    add_column_options(parser)
    add_arguments(
        parser,
        """
        --task: auto: classification of text, truth values and at most 20 whole numbers
        --method: selector: a linear selector followed by a logistic, ridge or Cox
            regression; autoencoder: a sparse supervised autoencoder; auto (the
            default): the linear selector, followed by the mean of the regression and of
            a network on what is selected, or with --event or --backed by the regression
            alone
        --backed: leave the features of annotated data or of a .parquet file there, and
            read them in blocks of rows: a linear selector followed by a linear model
        --memory SIZE: memory that --backed is meant to take, such as 2GB (default: as
            little as is fast); more of it means fewer passes
        """,
        task={"choices": ["auto", "classification", "regression"], "default": "auto"},
        method={"choices": ["auto", "autoencoder", "selector"], "default": "auto"},
        memory={"type": memory},
    )
    add_search_options(parser)
    add_arguments(
        parser,
        f"""
        --out DIR: folder for features.csv and .json, model.skops, report.html and
            plots; without it nothing is written
        {OVERWRITE}
        --no-progress: no progress bars
        --quiet: print nothing but errors
        """,
    )


def add_verify(commands):
    parser = add_command(
        commands,
        "verify",
        "repeat a selection, and compare it with its report",
        "Repeat the command that wrote a report.json, in the folder where it was "
        "called, and compare every number.",
    )
    add_arguments(
        parser,
        """
        REPORT: a report.json of 'skproj select'
        --data FILE: where the table is now (default: as in the report)
        """,
    )


def add_apply(commands):
    parser = add_command(
        commands,
        "apply",
        "predict with a saved model",
        "Predict with a model that 'skproj select' has saved. Columns are found by "
        "their names, in any order; others are ignored.",
    )
    add_arguments(parser, f"MODEL: a .skops file\n{DATA}")
    add_table_options(parser)
    add_arguments(
        parser,
        f"""
        --transform: write the selected columns of the table, as they are, not
            predictions
        --out FILE: .csv, .tsv or .parquet file to write (default: print as csv)
        {OVERWRITE}
        """,
    )


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
    add_arguments(
        parser,
        f"""
        RESULT: folder that 'skproj select' has written, or a .skops file
        --out DIR: folder for panel.csv and the programs
        {OVERWRITE}
        """,
        out={"required": True},
    )


def add_info(commands):
    parser = add_command(
        commands,
        "info",
        "show versions, or describe a model",
        "Show versions and the processor, or describe a saved model.",
    )
    add_arguments(parser, "MODEL: a .skops file", model={"nargs": "?"})


def add_datasets(commands):
    parser = add_command(
        commands,
        "datasets",
        "write a table to try the commands with",
        "Write one of the tables that come with scikit-learn or a synthetic one, or "
        "list them.",
    )
    add_arguments(
        parser,
        f"""
        NAME: which one
        --out FILE: .csv, .tsv or .parquet file to write
        {OVERWRITE}
        """,
        name={"nargs": "?"},
    )


def add_command(commands, name, summary, description):
    """Add a command, with the options of all commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, 80),
        epilog=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    debug = "--debug: show where an error came from, as SKPROJ_TRACEBACK=1 does"
    add_arguments(parser, debug)
    return parser


def add_arguments(parser, text, **details):
    """Add arguments: a line has the names, the value and the help of each.

    Lines that are indented further go on with the help. An option without a value is a
    switch. `details` are what else argparse has to know, by the name of the attribute.
    """
    for line in re.split(r"\n(?! )", textwrap.dedent(text).strip()):
        words, help_text = " ".join(line.split()).split(": ", 1)
        *names, value = words.split()
        if value.startswith("-"):
            names, value = [*names, value], None
        attribute = (names or [value.lower()])[0].strip("-").replace("-", "_")
        known = {"metavar": value, "type": TYPES.get(value)} if value else {}
        known |= details.get(attribute, {})
        known = known or {"action": "store_true"}
        parser.add_argument(*(names or [attribute]), help=help_text, **known)


def add_table_options(parser):
    add_arguments(
        parser,
        """
        --index --id COLUMN: column with the names of the rows
        --layer LAYER: layer of annotated data, instead of X
        --sheet SHEET: sheet of an .xlsx file (default: the first)
        --sep SIGN: sign between the columns of text, or tab (default: recognised)
        --decimal: decimal sign of text (default: recognised)
        --thousands: sign between groups of three digits (default: recognised, and said)
        --na TEXT: what stands for a missing value besides NA, null and the like, such
            as n.d. or '<90'; several that are no numbers may be joined by commas:
            ND,.,?
        --na-below LIMIT: entries below a limit of detection, such as '<90', in whose
            place half of the limit is read; '<' alone stands for all of this form
        --encoding NAME: encoding of text, such as utf-16 or latin-1 (default:
            recognised)
        --transpose: the table has a row for each feature and a column for each sample
        """,
        sep={"type": separator},
        decimal={"choices": [".", ","]},
        thousands={"choices": [",", ".", "'", " "]},
        na={**SEVERAL, "type": texts, "action": Extend},
        na_below={**SEVERAL, "type": limit},
    )


def add_column_options(parser):
    add_arguments(
        parser,
        """
        --where CONDITION: rows to use, such as 'Group != QC', 'age >= 18' or 'age !=
            NA', also of a column that is no feature; given several times, all must hold
        --drop COLUMN: columns that are not features, such as ids
        --always-keep COLUMN: columns that are in the model in any case, such as the
            age: what is selected adds to them
        --feature-groups FILE: table with the columns feature and group: features of a
            group, such as a pathway, are selected together
        --windows N: select windows of N neighbouring channels of spectra, columns with
            names such as 1100 or X1100.5
        --drop-suspects: leave out columns that are suspected to give the target away
        --labels FILE: table with the target, and the groups, by the names of the rows
        --impute: fill in missing numbers: by the median of the column, by the mean of
            the five rows that are most alike, or by the median with another column that
            says where one was missing
        --encode: onehot: make a column of 0 and 1 for each value of a column of text;
            those of a column are selected together
        --groups COLUMN: column that names the patient, the batch or the like of each
            row: rows of one are never on both sides of a split; of annotated data, a
            column of obs
        """,
        where={"type": condition, "action": "append", "default": []},
        drop=SEVERAL,
        always_keep=SEVERAL,
        windows={"type": at_least(2)},
        impute={"choices": ["median", "knn", "indicator"]},
        encode={"choices": ["onehot"]},
    )


def add_search_options(parser):
    add_arguments(
        parser,
        """
        --eta RADIUS: radius of the projection, or auto: cross-validation (the default)
        --keep-gain SHARE: keep as few features as hold this share of what the best
            number of them gains over no features (default: 0.95); 1 takes the best
            score, and one-standard-error as few as are within one standard error of it.
            Of an autoencoder, 1 or one-standard-error; by default it takes the best
            score, of which it subtracts a little for many features
        --test-size SHARE: share of the rows that is held out; 0 trains on all (default:
            0.25)
        --cv FOLDS: number of folds of the cross-validation (default: 5, and for less
            than 1000 rows the linear selector divides them three times)
        --scoring SCORE: score of scikit-learn by which the radius is chosen, such as
            balanced_accuracy or r2 (default: the log loss of classes, r2 of numbers,
            and of times with --event the partial likelihood, or the concordance index
            for an autoencoder)
        --class-weight: balanced: rows of rare classes count more, as much as all of
            another class together
        --threshold: choose the threshold between two classes by this score in the
            folds, of the rarer class (default: the likelier class is predicted)
        --stability PAIRS: measure how often each feature is selected from random halves
            of the rows, of so many pairs (default: 50; 5 or 10 without the option)
        --fdr RATE: estimate how many features are false discoveries, and which can be
            trusted at this rate of them (default: 0.1; not measured without the option)
        --repeat N: repeat the selection with N other seeds, which hold out other rows,
            and say how much the features and the score vary
        --seed SEED: seed of all that is random
        --n-jobs N: number of processes, -1 for one per processor (default: 1)
        """,
        eta={"type": radius},
        keep_gain={"type": keep_gain},
        test_size={"type": share, "default": 0.25},
        cv={"type": at_least(2), "default": N_FOLDS},
        class_weight={"choices": ["balanced"]},
        threshold={
            "choices": ["accuracy", "balanced_accuracy", "f1", "matthews_corrcoef"]
        },
        stability={"nargs": "?", "type": at_least(1), "const": 50},
        fdr={"nargs": "?", "type": rate, "const": 0.1},
        repeat={"type": at_least(1)},
        seed={"type": at_least(0), "default": 0},
        n_jobs={"type": n_jobs, "default": 1},
    )


def number(kind, is_allowed, wanted, words=()):
    """Return a function that reads a number of this kind, or some words as a value."""

    def read(text):
        if text in words:
            return words[text]
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


def memory(text):
    """Return a number of bytes, of text such as 2GB or 500 MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([kmgt])(i?)b?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a size such as 2GB, got {text!r}")
    value, prefix, binary = found.groups()
    power = 1 + "kmgt".index(prefix)
    return int(float(value) * (1024 if binary else 1000) ** power)


radius = number(
    float, lambda x: 0.0 < x < math.inf, "a positive number or auto", {"auto": None}
)
keep_gain = number(
    float,
    lambda x: 0.0 < x <= 1.0,
    "a number above 0 up to 1, or one-standard-error",
    {"one-standard-error": "one-standard-error"},
)
rate = number(float, lambda x: 0.0 < x < 1.0, "a number between 0 and 1")
n_jobs = number(int, lambda n: n != 0, "a whole number other than 0")
share = number(float, lambda x: 0.0 <= x < 1.0, "at least 0 and less than 1")


def at_least(smallest):
    """Return a function that reads an integer which is not smaller."""
    wanted = f"a whole number of at least {smallest}"
    return number(int, lambda x: x >= smallest, wanted)
