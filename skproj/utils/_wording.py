"""Wording of messages."""


def on_one_line(text):
    """Return text with escapes for line breaks and control characters."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def join_names(names, at_most=5):
    """Return names in quotes, and how many more there are."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:at_most])
    left_out = len(names) - at_most
    return f"{text} and {left_out} more" if left_out > 0 else text
