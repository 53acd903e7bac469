"""A panel with a linear model as a script of R, and as formulas of a spreadsheet."""

import json
import re
from importlib import resources

from skproj._version import __version__
from skproj.persistence._panel._export import feature_rows
from skproj.persistence._panel._text_tables import MISSING
from skproj.utils._optional import import_optional

# Characters of a formula and of text in it, and choices, that spreadsheets take.
MAX_FORMULA, MAX_TEXT, MAX_CHOICES = 8000, 255, 254
# What a feature of the R script has.
R_ITEMS = "column", "kind", "category", "known", "fill", "center", "scale"


def r_source(panel, reading=None):
    """Return a script of base R that predicts from a panel; the model is linear.

    Text is plain ASCII, so that the script reads the same everywhere. `reading` is how
    the table of the training was read: more text that stands for a missing value, the
    limits of which half was taken, and the decimal sign.
    """
    reading, classes = reading or {}, panel.classes
    if set(map(str, classes or ())) == {"False", "True"}:  # text of truth values, too
        classes = [str(label) == "True" for label in classes]
    rows = feature_rows(panel)
    features = ",\n".join(
        f"  {r_value({**{n: row[n] for n in R_ITEMS if n in row}, 'coefficients': c})}"
        for row in rows
        for c in [row["coefficients"]]
    )
    values = {
        "version": __version__,
        "features": f"list(\n{features}\n)",
        "intercepts": r_value(panel.formula[1].tolist()),
        "classes": r_value(classes),
        "threshold": r_value(panel.model.get("threshold")),
        "missing": r_value(sorted(MISSING.union(reading.get("missing", ())))),
        "below": r_value(list(reading.get("below", ()))),
        "decimal": r_value(reading.get("decimal") or "."),
    }
    text = resources.files(__package__).joinpath("panel_model.R").read_text("utf-8")
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], text)


def r_value(value):
    """Return a plain value, a list of such or a dict as R writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        letters = (
            json.dumps(c)[1:-1] if ord(c) < 2**16 else f"\\U{ord(c):08x}" for c in value
        )
        return f'"{"".join(letters)}"'
    if isinstance(value, dict):
        return f"list({', '.join(f'{n} = {r_value(v)}' for n, v in value.items())})"
    if isinstance(value, list):
        kind = "list" if None in value else "c"
        return f"{kind}({', '.join(map(r_value, value))})"
    return repr(value.item() if hasattr(value, "item") else value)


def write_workbook(panel, path):
    """Write a workbook whose second row predicts from what is typed there.

    The columns of the panel come first, and then formulas. Returns None, or why there
    is no such workbook.
    """
    openpyxl = import_optional("openpyxl", extra="cli")
    rows = feature_rows(panel)
    columns = list(dict.fromkeys(row["column"] for row in rows))
    letter = openpyxl.utils.get_column_letter
    places = {name: f"{letter(j)}2" for j, name in enumerate(columns, 1)}
    sums = [
        "+".join([number(b), *(term(row, places[row["column"]], k) for row in rows)])
        for k, b in enumerate(panel.formula[1].tolist())
    ]
    n = len(columns)
    cells = [f"{letter(n + k)}2" for k in range(1, len(sums) + 1)]
    outputs = outputs_of(panel, sums, cells)
    if max(map(len, outputs.values())) > MAX_FORMULA or len(sums) > MAX_CHOICES:
        return "its formula would be too long for a spreadsheet"
    words = [*(panel.classes or ()), *(row.get("category") for row in rows)]
    words = [word for word in words if isinstance(word, str)]
    if max(map(len, words), default=0) > MAX_TEXT:
        return f"a class or category has more than {MAX_TEXT} characters"
    is_illegal = openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.search
    if any(map(is_illegal, [*columns, *words])):
        return "a name has characters that no workbook may hold"
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Panel"
    for j, name in enumerate([*columns, *outputs], 1):
        cell = sheet.cell(1, j, name)
        cell.data_type = "s"  # not a formula, whatever the name is
        cell.font = openpyxl.styles.Font(bold=True)
    for j, formula in enumerate(outputs.values(), n + 1):
        sheet.cell(2, j, f"={formula}")
    sheet.freeze_panes = "A2"
    book.save(path)
    return None


def outputs_of(panel, sums, cells):
    if panel.classes is None:
        return {"prediction": sums[0]}
    labels = list(map(literal, panel.classes))
    if len(labels) > 2:
        names = [f"decision {label}" for label in panel.classes]
        area = f"{cells[0]}:{cells[-1]}"
        largest = f"CHOOSE(MATCH(MAX({area}),{area},0),{','.join(labels)})"
        return {**dict(zip(names, sums, strict=True)), "prediction": largest}
    threshold = panel.model.get("threshold")
    second = f"1/(1+EXP(MIN(709,-{cells[0]})))"
    chosen = f"IF({cells[0]}>0,{labels[1]},{labels[0]})"
    if threshold is not None:
        place = threshold["place"]
        score = second if place else f"1-{second}"
        if threshold["of"] == "decision":
            score = cells[0] if place else f"-{cells[0]}"
        limit = number(threshold["value"])
        chosen = f"IF({score}>={limit},{labels[place]},{labels[1 - place]})"
    return {
        "decision": sums[0],
        f"probability {panel.classes[1]}": second,
        "prediction": chosen,
    }


def term(row, cell, output):
    """Return the part of a feature in a sum, as a formula."""
    value = f'IF({cell}="",NA(),{cell})'
    if row["kind"] == "missing":
        value = f'IF({cell}="",1,0)'
    elif row["kind"] == "category":
        value = f"IF({is_category(cell, row['category'], row.get('fill'))},1,0)"
    elif row.get("fill") is not None:
        value = f'IF({cell}="",{literal(row["fill"])},{cell})'
    factor = row["coefficients"][output] / row["scale"]
    return f"{number(factor)}*({value}-{number(row['center'])})"


def is_category(cell, category, fill):
    """Return the condition that a cell, which may be filled in, holds a category."""
    is_empty = f'{cell}=""'
    if category is None or category == "nan":
        return is_empty
    same = f"{cell}={literal(category)}"
    if isinstance(category, str):  # the sign = does not see upper and lower case
        same = f"EXACT({cell},{literal(category)})"
    return (
        f"OR({is_empty},{same})" if fill == category else f"AND(NOT({is_empty}),{same})"
    )


def literal(value):
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return "TRUE()" if value else "FALSE()"
    return number(value)


def number(value):
    """Return a number in brackets if it is negative."""
    value = float(value)
    return f"({value!r})" if value < 0 else repr(value)
