"""Libraries that only some parts of skproj need."""

import importlib


def import_optional(module, *, extra):
    """Import a library of an extra, or say how to install it.

    `module` is a name such as ``"matplotlib.pyplot"``; `extra` is the extra of skproj
    that installs it, such as ``"plot"``.
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        raise ModuleNotFoundError(
            f'this needs {library}: pip install "skproj[{extra}]"', name=library
        ) from None
