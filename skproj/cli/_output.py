"""Files and folders that are there completely or not at all."""

import contextlib
import os
import shutil
import uuid

from skproj.cli._errors import CommandError


def check_free(path, overwrite, *, folder=False):
    """Raise an error if something is there that must not be replaced.

    Parameters
    ----------
    path : Path or None
        What is to be written; None is nothing.
    overwrite : bool
        Whether files may be replaced.
    folder : bool, default=False
        Whether it is to be a folder, not a file.
    """
    if path is None or not path.exists():
        return
    if path.is_dir() != folder:
        is_what, wanted = ("file", "folder") if folder else ("folder", "file")
        raise CommandError(f"{path} is a {is_what}, and --out must be a {wanted}.")
    if not overwrite and (not folder or any(path.iterdir())):
        what = "is a folder with files in it" if folder else "exists already"
        raise CommandError(f"{path} {what}; --overwrite replaces what is there.")


@contextlib.contextmanager
def new_folder(path, expected):
    """Make a folder whose files appear at the end of a block, or not at all.

    Parameters
    ----------
    path : Path
        The folder. If it exists, the new files go into it.
    expected : sequence of str
        Names of files that may come from an earlier run. They go, unless there are
        new ones.

    Yields
    ------
    folder : Path
        A temporary folder beside it, to write into.
    """
    with temporary_name(path) as temporary:
        temporary.mkdir()
        yield temporary
        if not path.exists():
            temporary.rename(path)
            return
        for name in expected:
            if not (temporary / name).exists():
                (path / name).unlink(missing_ok=True)
        for file in temporary.iterdir():
            os.replace(file, path / file.name)


@contextlib.contextmanager
def new_file(path):
    """Yield the name of a temporary file that gets this name at the end of a block."""
    with temporary_name(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def temporary_name(path):
    """Yield a name beside a path, and leave nothing of that name behind."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
