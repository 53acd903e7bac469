"""Files and folders that are there completely or not at all."""

import contextlib
import os
import shutil
import uuid

from skproj.cli._errors import CommandError


def check_free(path, overwrite, *, folder=False):
    """Raise an error if something must not be replaced, or cannot be written.

    Parameters
    ----------
    path : Path or None
        What is to be written; None is nothing.
    overwrite : bool
        Whether files may be replaced.
    folder : bool, default=False
        Whether it is to be a folder, not a file.
    """
    if path is None:
        return
    if not path.exists():
        check_writable(path.absolute())
        return
    if not (path.is_dir() if folder else path.is_file()):
        wanted = "folder" if folder else "file"
        raise CommandError(f"--out must be a {wanted}, and {path} is none.")
    check_writable(path if folder else path.absolute().parent)
    if not overwrite and (not folder or any(path.iterdir())):
        what = "is a folder with files in it" if folder else "exists already"
        raise CommandError(f"{path} {what}; --overwrite replaces what is there.")


def check_writable(folder):
    """Raise an error if a folder that may be still to be made cannot be written to."""
    while not folder.exists():
        if folder.is_symlink():
            raise CommandError(f"--out: {folder} is a link to nothing.")
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise CommandError(f"--out: {folder} is not a folder that can be written to.")


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
        A temporary folder to write into.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Within a folder that exists: it can be a file system of its own.
    is_new = not path.exists()
    temporary = (path.parent if is_new else path) / f".{uuid.uuid4().hex}"
    try:
        temporary.mkdir()
        yield temporary
        if is_new:
            temporary.rename(path)
            return
        for name in expected:
            if not (temporary / name).exists():
                (path / name).unlink(missing_ok=True)
        for file in temporary.iterdir():
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
