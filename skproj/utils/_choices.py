"""Refusal of values that are not among the valid ones."""


def check_choice(name, value, choices):
    """Raise a `ValueError` if an argument is not one of some strings."""
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {known}, got {value!r}.")
