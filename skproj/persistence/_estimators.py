"""Estimators in the format of skops, which is read without running code of the file."""

import io
import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from skproj._version import __version__
from skproj.persistence._archives import unpack
from skproj.persistence._description import describe_model
from skproj.persistence._summary import with_summary
from skproj.utils._docs import shared_docs
from skproj.utils._files import new_file
from skproj.utils._optional import import_optional
from skproj.utils._state import VersionedState

# The comment of the archive that a file is names the version that wrote it.
WRITER = f"skproj {__version__}"

# Types that a file may hold beyond those that skops trusts: estimators whose state is
# arrays and plain values, a named tuple of arrays, a dict, and types of numbers, which
# are read as those of empty arrays. The names are in the files: a class that moves must
# stay importable at the old place, and stays listed here.
TRUSTED = (
    "numpy.dtype",  # of imputers and encoders
    "scipy.sparse._csr.csr_matrix",  # support vectors of an SVM for sparse data
    "sklearn.utils._bunch.Bunch",  # a dict: the parts of a mean of models by name
    "skproj.decomposition._group_sparse_nmf.GroupSparseNMF",
    "skproj.feature_selection._projection_selector.ProjectionFeatureSelector",
    "skproj.feature_selection._projection_selector_cv.ProjectionFeatureSelectorCV",
    "skproj.feature_selection._stability_selector.StabilitySelector",
    "skproj.linear_model._cox_ridge.CoxRidge",
    "skproj.linear_model._eta_path.EtaPath",
    "skproj.nn._autoencoder.SparseSupervisedAutoencoder",
    "skproj.nn._autoencoder.SparseSupervisedAutoencoderRegressor",
    "skproj.nn._autoencoder_cv.SparseSupervisedAutoencoderCV",
    "skproj.nn._mlp.SparseMLPClassifier",
    "skproj.nn._mlp.SparseMLPRegressor",
    "skproj.nn._schedule.SparsificationSchedule",
)


@shared_docs()
def dump(estimator, path):
    """Save an estimator.

    The file holds arrays, numbers and names, and no code: unlike a pickle, it can be
    read with :func:`load` wherever it comes from. The format is that of skops [1]_.

    Parameters
    ----------
    estimator : estimator object
        A fitted estimator of skproj or scikit-learn, or a
        :class:`~sklearn.pipeline.Pipeline` of both. An unfitted one is saved as well.
    path : str or path-like
        Where to write, by habit with the suffix ``.skops``. A file that is there is
        replaced, at once and only when all is written.

    Raises
    ------
    ValueError
        If the estimator holds something that cannot be read without running code, or
        that is not trusted: functions, callbacks, objects of other packages, trees of
        scikit-learn.
    FileNotFoundError
        If the folder is missing.

    See Also
    --------
    load : Read the file.
    export_panel : Write a model as a program that needs only NumPy.

    Notes
    -----
    The loaded estimator is the same to the bit: it predicts the same on the same
    machine, and a `partial_fit` or a fit with ``warm_start=True`` goes on as if nothing
    had happened. A network comes back on the CPU. What `partial_fit` has to remember
    comes back where it was, for instance on a GPU, or is lost if that is missing;
    the next part then starts from the fitted network. The file also says which version
    of skproj wrote it, and has a summary for ``skproj info``.

    {skops_reference}

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelector
    >>> from skproj.persistence import dump, load
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> selector = ProjectionFeatureSelector(eta=1.0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "selector.skops"
    ...     dump(selector, path)
    ...     loaded = load(path)
    >>> loaded.get_feature_names_out()
    array(['worst radius', 'worst perimeter', 'worst concave points'],
          dtype=object)
    """
    skops_io = import_optional("skops.io", extra="persistence")
    _check_is_estimator(estimator, "estimator")
    name = type(estimator).__name__
    _check_keys(estimator)
    try:
        _check_parts(estimator)
        data = skops_io.dumps(estimator, compression=zipfile.ZIP_DEFLATED)
        lines = {**describe_model(estimator), "written by": WRITER}
        data = with_summary(data, lines, comment=WRITER)
        foreign = _untrusted_types(skops_io, data)
    except Exception as error:  # depends on the object that cannot be described
        raise ValueError(f"This {name} cannot be saved: {error}") from error
    if foreign:
        advice = (
            "save its best_estimator_"
            if hasattr(estimator, "best_estimator_")
            else "only arrays, plain values and estimators of scikit-learn (without "
            "trees) and skproj can be read without a risk"
        )
        raise ValueError(
            f"This {name} cannot be saved with what it holds, {foreign}: {advice}."
        )
    write(data, path)


@shared_docs()
def load(path, *, max_size=None):
    """Read an estimator that `dump` has written.

    No code of the file is run. It may hold the estimators of skproj, and the types
    that skops trusts: estimators of scikit-learn but those with trees, arrays, and
    plain values [1]_. Anything else is refused before any object is made.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_size : int, default=None
        Largest number of bytes that the file may unpack to: a small file can be made
        to fill the memory. None is 64 times the size of the file, or 1 GiB if that is
        more. What says which objects there are may then be 64 MiB, or 64 times its
        compressed size.

    Returns
    -------
    estimator : estimator object
        The estimator. Networks are on the CPU.

    Raises
    ------
    ValueError
        If the file is damaged, is not a skops file, unpacks to more than `max_size`,
        holds something that is not trusted, lacks a fitted attribute or has an unknown
        one, or was written by a newer version of skproj or skops.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    sklearn.exceptions.InconsistentVersionWarning
        If an estimator of scikit-learn was saved with another version of it.

    See Also
    --------
    dump : Write the file.

    {skops_reference}

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skproj import GroupSparseNMF
    >>> from skproj.persistence import dump, load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.skops"
    ...     dump(GroupSparseNMF(n_components=3), path)
    ...     load(path)
    GroupSparseNMF(n_components=3)
    """
    skops_io = import_optional("skops.io", extra="persistence")
    data = Path(path).read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError(f"{path} is not a file of skops, or a truncated one.")
    writer = written_by(io.BytesIO(data))
    if writer is not None and _is_newer(writer):
        raise ValueError(
            f"{path} was written by {writer}, newer than this {WRITER}: update skproj."
        )
    try:
        data = unpack(data, max_size)
        foreign = _untrusted_types(skops_io, data)
        estimator = None if foreign else skops_io.loads(data, trusted=TRUSTED)
        _check_parts(estimator, is_foreign=True)
    except Exception as error:  # nonsense can fail in any way, and without a word
        reason = str(error) or type(error).__name__
        if writer not in (None, WRITER):
            reason += f" (it was written by {writer}, this is {WRITER})"
        raise ValueError(f"{path} cannot be loaded: {reason}") from error
    if foreign:
        raise ValueError(
            f"{path} is not loaded, because it holds {foreign}, which is not trusted."
        )
    _check_is_estimator(estimator, f"what {path} holds")
    return estimator


def write(data, path):
    """Write a file as a whole, or not at all."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write to.")
    with new_file(path) as temporary:
        temporary.write_bytes(data)


def written_by(file):
    """Return name and version of what has written a file, None if it does not say."""
    version = import_optional("packaging.version", extra="persistence")
    try:
        with zipfile.ZipFile(file) as archive:
            name, _, number = archive.comment.decode("ascii").partition(" ")
        return f"{name} {version.parse(number)}" if name == "skproj" else None
    except Exception:  # nonsense can fail in any way
        return None


def _is_newer(writer):
    version = import_optional("packaging.version", extra="persistence")
    theirs, ours = (version.parse(name.split()[1]) for name in (writer, WRITER))
    return theirs > ours


def _check_is_estimator(value, name):
    if not isinstance(value, BaseEstimator):
        raise ValueError(f"{name} must be an estimator, not of {type(value)}.")


def _check_keys(estimator):
    """Refuse what skops would change without a word: it reads the key False as True."""
    for name, value in estimator.get_params().items():
        if isinstance(value, dict) and any(
            isinstance(key, bool | np.bool_) for key in value
        ):
            raise ValueError(
                f"{name} cannot be saved with the keys True and False; give {{0: ..., "
                "1: ...}, which means the same."
            )


def _check_parts(value, is_foreign=False):
    """Refuse estimators that lack attributes or have others.

    Where the value is from a file, refuse sparse matrices as well with which a
    prediction would read foreign memory.
    """
    if isinstance(value, VersionedState):
        value.check_state()
    if is_foreign and isinstance(value, sparse.csr_matrix):
        value.check_format(full_check=True)
    if isinstance(value, BaseEstimator):
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _check_parts(item, is_foreign)


def _untrusted_types(skops_io, data):
    types = set(skops_io.get_untrusted_types(data=data)).difference(TRUSTED)
    return ", ".join(sorted(types))
