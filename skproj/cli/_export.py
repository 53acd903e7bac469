"""``skproj export panel``: the selected columns, and a model that needs only NumPy."""

import json

from skproj.cli._checks import option
from skproj.cli._errors import CommandError
from skproj.cli._models import load_model
from skproj.cli._options import check_free
from skproj.cli._output import new_folder, print_lines, write_rows
from skproj.persistence._summary import READING_ATTRIBUTE, VERDICT_ATTRIBUTE

TABLE, PROGRAM = "panel.csv", "panel_model.py"
# Of linear models.
R_SCRIPT, WORKBOOK = "panel_model.R", "panel_model.xlsx"
# Of a feature, what `skproj select` knows and the model does not.
DETAILS = "direction", "frequency"


def run(options, errors):
    path = None
    with errors:
        check_free(options.out, options.overwrite, folder=True)
    with errors:
        path = find_model(options.result)
    errors.raise_all()
    # Scikit-learn comes with it.
    from skproj.persistence._panel._export import feature_rows, panel_source

    panel, facts = read_panel(path)
    details = read_details(path.with_name("features.json"), panel)
    with new_folder(options.out, (TABLE, PROGRAM, R_SCRIPT, WORKBOOK)) as folder:
        source = panel_source(panel, details, **facts)
        (folder / PROGRAM).write_text(source, encoding="utf-8")
        write_panel(folder / TABLE, panel, feature_rows(panel, details))
        told = write_formulas(folder, panel, facts.get("reading"))
        written = ", ".join(sorted(file.name for file in folder.iterdir()))
    print_lines(
        *([facts["verdict"]] if "verdict" in facts else []),
        *summary(panel, details),
        *told,
        f"Wrote to {options.out}: {written}",
    )


def write_formulas(folder, panel, reading):
    """Write a linear model for R and for spreadsheets; return what could not be."""
    from skproj.persistence._panel._formulas import r_source, write_workbook

    if panel.formula is None:
        return []
    (folder / R_SCRIPT).write_text(r_source(panel, reading), encoding="ascii")
    reason = write_workbook(panel, folder / WORKBOOK)
    return [] if reason is None else [f"There is no {WORKBOOK}: {reason}."]


def find_model(path):
    if not path.is_dir():
        return path
    model = path / "model.skops"
    if not model.is_file():
        raise CommandError(
            f"{path} holds no model.skops; skproj select writes it with "
            f"{option('--out', str(path))}"
        )
    return model


def read_panel(path):
    """Return the panel of a model, and what else is known of it.

    The facts are its verdict in words, and the signs by which its table was read.
    """
    from skproj.persistence._panel._export import describe_panel

    model = load_model(path)
    try:
        panel = describe_panel(model)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
    verdict = getattr(model, VERDICT_ATTRIBUTE, {}).get("sentence")
    facts = {"verdict": verdict, "reading": getattr(model, READING_ATTRIBUTE, {})}
    return panel, {name: fact for name, fact in facts.items() if fact}


def read_details(path, panel):
    """Return what `skproj select` has written on the features, by their names.

    It is empty if there is no such file, or one of another selection.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        details = {row["feature"]: row for row in rows if row["selected"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    if set(details) != {str(feature.name) for feature in panel.features}:
        return {}
    return {
        name: {key: row[key] for key in DETAILS if row.get(key) is not None}
        for name, row in details.items()
    }


def write_panel(path, panel, rows):
    rows.sort(key=lambda row: -row.get("importance", 0.0))
    if panel.formula is not None:
        intercepts = panel.formula[1].tolist()
        rows.append({"name": "(intercept)", "coefficients": intercepts})
    for row in rows:
        row.pop("known", None)  # of interest to the program only
        values = row.pop("coefficients", [])
        if len(values) == 1:
            row["coefficient"] = values[0]
            continue
        for label, value in zip(panel.classes or (), values, strict=False):
            row[f"coefficient {label}"] = value
    write_rows(rows, path)


def summary(panel, details):
    n_needed = len({feature.column for feature in panel.features})
    yield f"The panel needs {n_needed} of {len(panel.columns)} columns."
    if not details:
        yield "Where they are high is not known: there is no features.json beside it."
    names = [part["model"] for part in panel.model["parts"]]
    if len(names) > 1:
        yield f"It predicts by the mean of {' and '.join(names)}."
