"""Files of results, one line for each fit, and what to say of them."""

import csv
import platform
import textwrap

import numpy as np
import sklearn
import torch
from _tables import processor, versions

import skproj


def read_records(path, kind):
    """Read the lines of a file as named tuples; it need not exist.

    Of lines with the same ``key`` the last one counts.
    """
    if path is None or not path.exists():
        return []
    types = kind.__annotations__.values()
    with path.open(newline="") as file:
        _, *lines = csv.reader(file)
    records = [
        kind(*(cast(cell) for cast, cell in zip(types, line, strict=True)))
        for line in lines
    ]
    return list({record.key: record for record in records}.values())


def append_record(path, record):
    """Add a line to a file, which gets its titles first if it is new."""
    numbers = [f"{x:.5g}" if isinstance(x, float) else x for x in record]
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(record._fields)
        writer.writerow(numbers)


def mean_and_error(values):
    """Mean and its standard error; the error of a single value is unknown."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), error


def describe_system():
    """Processor, system and versions."""
    packages = {"NumPy": np, "scikit-learn": sklearn, "torch": torch, "skproj": skproj}
    return f"{processor()}, {platform.system()}, with {versions(**packages)}"


def describe_conditions(records):
    """Say where and how the numbers were taken."""
    systems = dict.fromkeys(record.system for record in records)
    return textwrap.fill(
        f"Measured on {'; and on '.join(systems)}; one thread.",
        width=88,
        break_on_hyphens=False,
    )
