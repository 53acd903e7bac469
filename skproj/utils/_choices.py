"""Refusal of values that are not among the valid ones."""

import numbers


def check_choice(name, value, choices):
    """Raise a `ValueError` if an argument is not one of some strings."""
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {known}, got {value!r}.")


def check_integer(name, value, *, least, valid=None):
    """Raise a `ValueError` if an argument is not an integer, or is too small.

    `valid` says in the error which values are.
    """
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        valid = valid or f"an integer of at least {least}"
        raise ValueError(f"{name} must be {valid}, got {value!r}.")
