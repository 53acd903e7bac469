"""Helpers of the benchmarks: machine and versions, tables in files."""

import platform
import re
from pathlib import Path

from skproj._kernels._groups import level


def processor():
    """Name of the processor, as far as the system tells, and its instructions."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else 0
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name} ({level()})"


def versions(**packages):
    """Versions of Python and of `packages`, which are modules by their names."""
    known = {"Python": platform.python_version()}
    known |= {name: package.__version__ for name, package in packages.items()}
    return ", ".join(f"{name} {version}" for name, version in known.items())


def as_rst(rows, title=""):
    """Write rows as a table of reStructuredText."""
    text = f".. list-table:: {title}".rstrip() + "\n   :header-rows: 1\n\n"
    for first, *others in rows:
        text += f"   * - {first}\n"
        text += "".join(f"     - {cell}".rstrip() + "\n" for cell in others)
    return text


def as_text(rows):
    """Write rows in columns for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def as_markdown(rows):
    """Write rows as a table of Markdown."""
    titles, *body = rows
    lines = [titles, ["---"] * len(titles), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def write_between_marks(path, name, text):
    """Write `text` between the marks of an existing file, or a file with marks."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, after = "", ""
    if path.exists():
        old = path.read_text(encoding="utf-8")
        if begin in old and end in old:
            before, rest = old.split(begin)
            after = rest.split(end)[1]
    path.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
