"""Archives of unknown origin, unpacked up to a limit."""

import io
import json
import zipfile

# By default, what may be unpacked: so many times the size of the file, and at least
# this much. The names of 100 000 features take 24 MB, and 28 times less in the file.
MAX_UNPACK_RATIO = 64
MIN_SIZE_LIMIT = 2**30
MIN_SCHEMA_SIZE_LIMIT = 2**26

SCHEMA = "schema.json"
MAGIC = b"PK\x03\x04"  # of an archive


def unpack(data, max_size=None):
    """Return a file of skops without its compression, if it is not too large.

    The directory of an archive says how large its members are, but need not tell the
    truth. No more than that is unpacked, and what is read afterwards is the result. A
    ValueError is raised if it is larger than `max_size`, which `load` explains, and a
    BadZipFile if it is damaged.
    """
    budget = Budget(max_size, len(data), MIN_SIZE_LIMIT)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo(SCHEMA)
    schema = Budget(max_size, info.compress_size, MIN_SCHEMA_SIZE_LIMIT)
    schema.spend(info.file_size)
    # A sparse matrix is an archive within the archive.
    unpacked = _store(data, budget, has_archives=True)
    # A member is read as often as the schema names it.
    budget = Budget(max_size, len(data), MIN_SIZE_LIMIT)
    with zipfile.ZipFile(io.BytesIO(unpacked)) as archive:
        for name in _names_in_schema(archive):
            budget.spend(archive.getinfo(name).file_size)
    return unpacked


class Budget:
    """Number of bytes that may still be unpacked.

    Without `max_size`, a multiple of the packed size, but at least `min_limit`.
    """

    def __init__(self, max_size, packed_size, min_limit):
        if max_size is None:
            max_size = max(MAX_UNPACK_RATIO * packed_size, min_limit)
        self.left = self.max_size = max_size

    def spend(self, size):
        """Raise an error if there are not as many."""
        self.left -= size
        if self.left < 0:
            raise ValueError(f"it unpacks to more than max_size={self.max_size} bytes")


def _store(data, budget, has_archives=False):
    """Return an archive without its compression and that of the archives in it."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as archive,
        zipfile.ZipFile(buffer, "w") as plain,
    ):
        for info in archive.infolist():
            # The others are not unpacked piece by piece.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{info.filename} is not compressed with deflate")
            budget.spend(info.file_size)
        for name in dict.fromkeys(archive.namelist()):
            with archive.open(name) as member:
                content = member.read(archive.getinfo(name).file_size)
            if has_archives and content.startswith(MAGIC):
                content = _store(content, budget)
            plain.writestr(name, content)
    return buffer.getvalue()


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
