"""Archives of unknown origin, unpacked up to a limit."""

import io
import json
import zipfile

# By default, what may be unpacked: so many times the size of the file, and at least
# this much. The names of 100 000 features take 24 MB, and 28 times less in the file.
MAX_RATIO = 64
ALWAYS_ALLOWED = 2**30
ALWAYS_ALLOWED_OF_SCHEMA = 2**26

SCHEMA = "schema.json"
MAGIC = b"PK\x03\x04"  # of an archive


def unpack(data, max_size=None):
    """Return a file of skops without its compression, if it is not too large.

    The directory of an archive says how large its members are, but need not tell the
    truth. No more than that is unpacked, and what is read afterwards is the result.

    Parameters
    ----------
    data : bytes
    max_size : int, default=None
        Largest number of bytes; None is explained in `load`.

    Returns
    -------
    data : bytes

    Raises
    ------
    ValueError
        If it is larger than `max_size`.
    zipfile.BadZipFile
        If it is damaged.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_size(_unpacked_size(archive), max_size, len(data), ALWAYS_ALLOWED)
        schema = archive.getinfo(SCHEMA)
        _check_size(
            schema.file_size, max_size, schema.compress_size, ALWAYS_ALLOWED_OF_SCHEMA
        )
        with zipfile.ZipFile(buffer, "w") as plain:
            for name in dict.fromkeys(archive.namelist()):
                with archive.open(name) as member:
                    content = member.read(archive.getinfo(name).file_size)
                plain.writestr(name, content)
    with zipfile.ZipFile(buffer) as plain:
        # A member is read as often as the schema names it.
        size = sum(_size_to_read(plain, name) for name in _names_in_schema(plain))
        _check_size(size, max_size, len(data), ALWAYS_ALLOWED)
    return buffer.getvalue()


def _check_size(size, max_size, packed_size, always_allowed):
    if max_size is None:
        max_size = max(MAX_RATIO * packed_size, always_allowed)
    if size > max_size:
        raise ValueError(f"it unpacks to {size} bytes, more than max_size={max_size}")


def _unpacked_size(archive):
    """Sum up what the directory says."""
    for info in archive.infolist():
        # The others are not unpacked piece by piece.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename} is not compressed with deflate")
    return sum(info.file_size for info in archive.infolist())


def _size_to_read(archive, name):
    """Return the size of a member; sparse matrices are archives themselves."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as member:
        if member.read(len(MAGIC)) == MAGIC:
            with zipfile.ZipFile(member) as inner:
                size += _unpacked_size(inner)
    return size


def _names_in_schema(archive):
    """Yield the names of the members that the schema refers to."""
    left = [json.loads(archive.read(SCHEMA))]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if isinstance(name := node.get("file"), str):
                yield name
            left += node.values()
        elif isinstance(node, list):
            left += node
