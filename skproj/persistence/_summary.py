"""Summary of a model within its file, to be read without the libraries of the model."""

import io
import json
import zipfile

SUMMARY = "summary.json"
# Attribute of a saved pipeline with the fields of its verdict, as plain values.
VERDICT_ATTRIBUTE = "verdict_"
# Attribute of one with the signs by which its table was read.
READING_ATTRIBUTE = "reading_"
# Of a file that may come from anywhere, no more than this is read.
MAX_SUMMARY_SIZE = 2**20


def with_summary(data, lines, comment=""):
    """Add names and values, all of them text, to the bytes of a model's file.

    The file also gets a comment, in ASCII.
    """
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SUMMARY, json.dumps(lines, ensure_ascii=False))
        archive.comment = comment.encode("ascii")
    return buffer.getvalue()


def read_summary(path):
    """Return what `with_summary` has added, or None if that is nothing.

    The file may come from anywhere: there are no characters that move the cursor.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(SUMMARY) as member:
            lines = json.loads(member.read(MAX_SUMMARY_SIZE))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None
    if not isinstance(lines, dict):
        return None
    return {printable(name): printable(value) for name, value in lines.items()}


def printable(value):
    """Return text without control characters."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )
