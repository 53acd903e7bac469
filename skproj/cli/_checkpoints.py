"""Finished steps of ``skproj select``, kept until its result is written."""

import contextlib
import json
import os
import shutil
import sys
import warnings

import joblib

from skproj.blocks import RowBlocks
from skproj.blocks._pass_cache import PassCache
from skproj.cli._errors import CommandError
from skproj.cli._options import folder_of
from skproj.cli._output import new_folder
from skproj.cli._report_numbers import plain, settings
from skproj.utils._files import new_file
from skproj.utils._versions import versions
from skproj.utils._wording import join_names

# In the folder, what the steps belong to.
RUN = "run.json"
# The folder with the results of passes over blocks.
PASSES = "passes"


class Checkpoints:
    """Results of finished steps in a folder; without a folder, nothing is kept.

    `run` is a dict that says what the steps belong to.
    """

    def __init__(self, folder=None, run=None):
        self.folder = folder
        self.run = run
        self._new_parents = []

    def start(self, X):
        """Make the folder, unless there is one with steps to resume.

        The results of passes over `RowBlocks` are kept as well; other data have none.
        """
        if self.folder is None:
            return
        if not self.folder.exists():
            self._new_parents = [p for p in self.folder.parents if not p.exists()]
            with new_folder(self.folder, ()) as temporary:
                temporary.chmod(0o700)  # models may tell something of the data
                text = json.dumps(self.run, indent=1)
                (temporary / RUN).write_text(text, encoding="utf-8")
        if isinstance(X, RowBlocks):
            X.cache = PassCache(self.folder / PASSES, X)

    def drop(self):
        if self.folder is not None and self.folder.exists():
            # The file that says what the steps belong to is the last one, so that a
            # kill leaves a folder that is still known.
            for path in self.folder.iterdir():
                if path.name == PASSES:
                    shutil.rmtree(path)
                elif path.name != RUN:
                    path.unlink()
            shutil.rmtree(self.folder)
        with contextlib.suppress(OSError):  # where there is a result
            for folder in self._new_parents:
                folder.rmdir()

    def finished(self):
        if self.folder is None or not self.folder.is_dir():
            return []
        # Those of `new_file` that a kill has left begin with a dot.
        files = [*self.folder.glob("*.joblib"), *self.folder.glob(f"{PASSES}/*.npz")]
        return [path for path in files if not path.name.startswith(".")]

    def step(self, name, function, *args, **kwargs):
        """Return the result of a step, which is computed if it is not finished.

        Its warnings are given in either case.
        """
        if self.folder is None:
            return function(*args, **kwargs)
        path = self.folder / f"{name}.joblib"
        finished = self._load(path) if path.exists() else None
        if finished is None:
            finished = with_warnings(function, *args, **kwargs)
            with new_file(path) as temporary:
                joblib.dump((joblib.hash(self.run), *finished), temporary)
            # A copy may have another layout in memory, with which sums differ in their
            # last digits.
            finished = self._load(path)
        result, told = finished
        give(told)
        return result

    def _load(self, path):
        """Return a finished step, or None if it is damaged or of another run."""
        try:
            run, *finished = joblib.load(path)
        except Exception:  # of many kinds, for half a file
            run = None
        if run == joblib.hash(self.run):
            return finished
        warnings.warn(f"{path} is damaged; the step is repeated", stacklevel=3)
        return None


def with_warnings(function, *args, **kwargs):
    """Return the result of a function, and message and category of its warnings.

    After an error the warnings are given.
    """
    told = []
    try:
        with warnings.catch_warnings(record=True) as given:
            try:
                return function(*args, **kwargs), told
            finally:
                told += [(str(warning.message), warning.category) for warning in given]
    except BaseException:
        give(told)
        raise


def give(told):
    """Give warnings again, from their messages and categories."""
    for message, category in told:
        warnings.warn(message, category, stacklevel=3)


def find_checkpoints(options, digests, say):
    """Return the checkpoints of a run, with the steps of an earlier one to resume.

    It is an error if there are steps that are not to be used, or not usable. `digests`
    are those of the files that are read, by what they are.
    """
    run = plain(
        {
            "data": digests,
            "options": {"target": options.target, **settings(options)},
            "versions": versions(),
        }
    )
    run["options"].pop("n jobs", None)  # which does not change the result
    folder = folder_of(options)
    checkpoints = Checkpoints(folder, run)
    if folder is None or not folder.exists():
        if options.resume:
            say("There is nothing to resume; starting from the beginning")
        return checkpoints
    earlier = read_run(folder)
    n_finished = len(checkpoints.finished())
    if options.resume:
        check_owner(folder)
        check_same(earlier, run, folder)
        say(f"Resuming from {folder}, with {n_finished} finished steps")
        return checkpoints
    if n_finished and not options.overwrite:
        raise CommandError(
            f"{folder} has {n_finished} finished steps of a run that did not end: "
            "--resume goes on from there, --overwrite starts again"
        )
    if n_finished:
        say(f"{n_finished} finished steps in {folder} are dropped, without --resume")
    checkpoints.drop()
    return checkpoints


def read_run(folder):
    try:
        return json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{folder} is in the way of finished steps, and not of skproj select; "
            "move it, or use another --out"
        ) from error


def check_owner(folder):
    """Raise an error if others could have put files into a folder.

    To read the steps may run any code that is in them.
    """
    state = folder.stat()
    is_own = not hasattr(os, "getuid") or state.st_uid == os.getuid()
    if not is_own or (os.name == "posix" and state.st_mode & 0o022):
        raise CommandError(
            f"{folder} belongs to another user, or others may write to it; --resume "
            "reads only folders of your own"
        )


def check_same(earlier, run, folder):
    for name, what in (
        ("data", "other data"),
        ("options", "other options"),
        ("versions", "other versions of libraries"),
    ):
        old, new = earlier[name], run[name]
        differ = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if differ:
            raise CommandError(
                f"{folder} has finished steps of a run with {what}, in "
                f"{join_names(differ)}; --overwrite without --resume starts again"
            )


@contextlib.contextmanager
def keep_steps(checkpoints):
    """Keep the steps of a block until it ends without an error.

    They are dropped as well after an error that asks for other options.
    """
    try:
        yield
    except CommandError:
        checkpoints.drop()
        raise
    except BaseException:
        if checkpoints.finished():
            print(
                f"skproj: {checkpoints.folder} has the finished steps, from which "
                "--resume goes on",
                file=sys.stderr,
            )
        else:
            checkpoints.drop()
        raise
    checkpoints.drop()
