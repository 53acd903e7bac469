"""Refusal of values that are not among the valid ones."""

import numbers
import warnings


def check_choice(name, value, choices):
    """Raise a `ValueError` if an argument is not one of some strings."""
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {known}, got {value!r}.")


def check_integer(name, value, *, least, valid=None):
    """Raise a `ValueError` if an argument is not an integer of at least `least`."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        valid = valid or f"an integer of at least {least}"
        raise ValueError(f"{name} must be {valid}, got {value!r}.")


def number_to_select(name, wanted, n_features, *, stacklevel):
    """Return how many features a number or a fraction stands for.

    If that is more than there are, all are taken, with a warning.
    """
    if isinstance(wanted, bool):
        raise ValueError(f"{name} must be a number of features, got {wanted!r}.")
    if not isinstance(wanted, numbers.Integral):
        return max(1, round(wanted * n_features))
    if wanted > n_features:
        warnings.warn(
            f"{name}={wanted} exceeds the number of features to choose from, "
            f"{n_features}: all of them are taken.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return min(int(wanted), n_features)
