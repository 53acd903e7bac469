"""Weights of networks in the format of safetensors, with masks of pruning as bits."""

import contextlib
import json
import math

import numpy as np
from sklearn.base import BaseEstimator

from skproj.persistence._files import FILE_DOCS, write
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional
from skproj.utils._validation import check_is_fitted

# Of the metadata, and of how masks are written.
METADATA_VERSION = 1


@shared_docs(**FILE_DOCS)
def export_weights(model, path):
    """Save the weights of a network for other programs.

    The file is one of safetensors [1]_: tensors by name, and no code. It does not hold
    the architecture; :func:`dump` saves whole estimators.

    Parameters
    ----------
    model : torch.nn.Module or estimator object
        A network, or a fitted estimator of `skproj.nn`, whose `module_` is saved.
    path : str or path-like
        Where to write, by habit with the suffix ``.safetensors``. A file that is there
        is replaced, at once and only when all is written.

    Raises
    ------
    ValueError
        If `model` has no network, or a network whose state is not only tensors, or
        with a mask of other numbers than 0 and 1.
    {write_errors}

    See Also
    --------
    load_weights : Read the file into a network.
    dump : Save an estimator.

    Notes
    -----
    Names, shapes and dtypes are those of the `state_dict`, with one exception. Where a
    mask of `torch.nn.utils.prune` hides weights, the file has the other weights only,
    one after the other, and the mask as bits (of `numpy.packbits`): ten percent of a
    layer in single precision take 15 times less than its `state_dict`. After
    `torch.nn.utils.prune.remove` a layer is an ordinary one with zeros in it.

    The metadata has one entry ``"skproj"`` in JSON: ``"version"``, 1; ``"pruned"``, the
    shapes of weights that are written without the hidden ones; and for an estimator
    ``"estimator"``, its class, ``"params"``, its parameters, and for an autoencoder
    ``"features"``, the indices of the features that its first layer takes.

    {safetensors_reference}

    {file_example}
    >>> import torch
    >>> from torch.nn.utils import prune
    >>> from skproj.persistence import export_weights, load_weights
    >>> layer = torch.nn.Linear(100, 50)
    >>> _ = prune.l1_unstructured(layer, "weight", amount=0.9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "layer.safetensors"
    ...     export_weights(layer, path)
    ...     loaded = load_weights(torch.nn.Linear(100, 50), path)
    >>> torch.equal(loaded.weight, layer.weight)
    True
    >>> prune.is_pruned(loaded)
    True
    """
    import torch

    safetensors_torch = import_optional("safetensors.torch", extra="persistence")
    metadata = {"version": METADATA_VERSION}
    if isinstance(model, BaseEstimator):
        check_is_fitted(model)
        metadata.update(_describe(model))
        model = getattr(model, "module_", None)
    if not isinstance(model, torch.nn.Module):
        raise ValueError("model must be a network or an estimator that has one.")

    tensors = {}
    for name, tensor in model.state_dict().items():
        if not torch.is_tensor(tensor):
            raise ValueError(
                f"model cannot be exported: {name} in its state is not a tensor."
            )
        # Copies: safetensors refuses parameters that share their memory.
        tensors[name] = (
            tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        )
    metadata["pruned"] = {}
    for name, _, _ in _masked(model):
        mask = tensors[f"{name}_mask"]
        if not _is_binary(mask):
            raise ValueError(
                f"model cannot be exported: the mask of {name} has other numbers than "
                "0 and 1."
            )
        kept = mask != 0
        metadata["pruned"][name] = list(kept.shape)
        tensors[f"{name}_orig"] = tensors[f"{name}_orig"][kept]
        tensors[f"{name}_mask"] = torch.from_numpy(np.packbits(kept.numpy()))
    data = safetensors_torch.save(
        tensors, {"skproj": json.dumps(metadata, default=str)}
    )
    write(data, path)


@shared_docs(**FILE_DOCS)
def load_weights(model, path):
    """Read weights into a network.

    Layers that were pruned when they were saved are pruned afterwards: their zeros
    stay zero when the network is trained on.

    Parameters
    ----------
    model : torch.nn.Module
        A network with the layers of the saved one, pruned or not. It is changed, unless
        the file does not suit it.
    path : str or path-like
        A file of :func:`export_weights`, or any file of safetensors with the names of
        the `state_dict`.

    Returns
    -------
    model : torch.nn.Module
        The same object. Its device stays as it is.

    Raises
    ------
    ValueError
        If the file is damaged, was written by a newer version of skproj, or has
        other names, shapes or dtypes than the network, or other numbers than 0 and 1
        for a mask of bool.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    export_weights : Write the file, with an example.

    Notes
    -----
    Weights that a mask hides are not saved, and come back as zero.

    {safetensors_reference}

    {file_example}
    >>> import torch
    >>> from skproj.persistence import export_weights, load_weights
    >>> layer = torch.nn.Linear(4, 3, dtype=torch.bfloat16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "layer.safetensors"
    ...     export_weights(layer, path)
    ...     other = load_weights(torch.nn.Linear(4, 3, dtype=torch.bfloat16), path)
    >>> torch.equal(other.weight, layer.weight)
    True
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, not of {type(model)}.")
    with _explain(path):
        tensors, layout, pruned = _read(path)
    _check_suits(model, layout, pruned, path)
    with _explain(path):
        for name, shape in pruned.items():
            _unpack(tensors, name, shape)
    _check_masks(model, tensors, path)
    for name in pruned:
        _prune(model, name, tensors[f"{name}_mask"])
    model.load_state_dict(tensors)
    for _, module, hook in _masked(model):
        hook(module, None)  # weights are made anew by the next pass, but read before
    return model


def _describe(estimator):
    """Return what a reader of the weights has to know about an estimator."""
    description = {
        "estimator": type(estimator).__name__,
        "params": estimator.get_params(),
    }
    if hasattr(getattr(estimator, "module_", None), "keep_features"):
        description["features"] = estimator._columns_.tolist()
    return description


def _masked(model):
    """Yield name, module and hook of each weight that a mask hides parts of."""
    from torch.nn.utils.prune import BasePruningMethod

    for prefix, module in model.named_modules(remove_duplicate=False):
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                yield f"{prefix}.{hook._tensor_name}".lstrip("."), module, hook


def _prune(model, name, mask):
    from torch.nn.utils.prune import custom_from_mask

    prefix, _, parameter = name.rpartition(".")
    module = model.get_submodule(prefix)
    if not hasattr(module, f"{parameter}_mask"):
        mask = mask.to(getattr(module, parameter).device)
        custom_from_mask(module, parameter, mask)


@contextlib.contextmanager
def _explain(path):
    """Turn whatever nonsense in a file raises into an error that names the file."""
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error


def _read(path):
    """Read a file without unpacking what is pruned.

    Returns the tensors in the file, the shapes and dtypes that they will have in a
    `state_dict`, and the shapes of the weights with a mask, all by name.
    """
    safetensors = import_optional("safetensors", extra="persistence")
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata() or {}
    layout = {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}
    if "skproj" not in metadata:
        return tensors, layout, {}
    metadata = json.loads(metadata["skproj"])
    version, pruned = metadata["version"], metadata["pruned"]
    if version > METADATA_VERSION:
        raise ValueError(
            "it was written by a newer version of skproj (its metadata have version "
            f"{version}, {METADATA_VERSION} is known here): update skproj"
        )
    for name, shape in pruned.items():
        kind = tuple(shape), tensors[f"{name}_orig"].dtype
        layout[f"{name}_orig"] = layout[f"{name}_mask"] = kind
    return tensors, layout, pruned


def _unpack(tensors, name, shape):
    """Undo the packing of a pruned weight and its mask."""
    import torch

    bits = tensors[f"{name}_mask"].numpy()
    values = tensors[f"{name}_orig"]
    mask = torch.from_numpy(np.unpackbits(bits, count=math.prod(shape))).view(shape)
    if mask.sum() != len(values):
        raise ValueError(f"the mask of {name} does not suit its weights")
    weight = values.new_zeros(shape)
    weight[mask != 0] = values
    tensors[f"{name}_orig"] = weight
    tensors[f"{name}_mask"] = mask.bool()


def _is_binary(mask):
    return bool(((mask == 0) | (mask == 1)).all())


def _check_masks(model, tensors, path):
    """Refuse numbers that would become True in a mask of bool."""
    import torch

    for name, here in model.state_dict().items():
        is_mask = name.endswith("_mask") and here.dtype is torch.bool
        if is_mask and name in tensors and not _is_binary(tensors[name]):
            raise ValueError(
                f"{path} does not suit the network: {name} has other numbers than "
                "0 and 1."
            )


def _check_suits(model, given, pruned, path):
    """Compare names, shapes and dtypes of a file with those of a network."""
    expected = {
        name: (tuple(t.shape), t.dtype) for name, t in model.state_dict().items()
    }
    for name in pruned:
        if name in expected:
            expected[f"{name}_orig"] = expected[f"{name}_mask"] = expected.pop(name)
    for name in given.keys() & expected.keys():
        if name.endswith("_mask") and name.removesuffix("mask") + "orig" in expected:
            given[name] = given[name][0], expected[name][1]  # masks may have any dtype
    for name in expected | given:
        there, here = given.get(name, "missing"), expected.get(name, "missing")
        if there != here:
            raise ValueError(
                f"{path} does not suit the network: {name} is {there} in the file, and "
                f"{here} in the network."
            )
