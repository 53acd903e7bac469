"""Channels of spectra: columns whose names are wavelengths or other positions."""

import re

from skproj.cli._errors import CommandError

# 1100, X1100.5 as R writes it, or 1100 nm.
CHANNEL = re.compile(
    r"(?:X|wl_?|wn_?|mz_?|ppm_?)?(\d+(?:\.\d+)?)\s*(nm|cm-1|µm|um|ppm|m/z|eV|)",
    re.IGNORECASE,
)
# Fewer columns are no spectrum.
MIN_CHANNELS = 20


def channels(names):
    """Return the positions by the names of the columns that have one, and their unit.

    There are none if most of the names have no position.
    """
    found = {str(name): CHANNEL.fullmatch(str(name)) for name in names}
    found = {name: match for name, match in found.items() if match}
    if len(found) < max(MIN_CHANNELS, len(names) / 2):
        return {}, ""
    units = {match[2] for match in found.values()}
    positions = {name: float(match[1]) for name, match in found.items()}
    return positions, units.pop() if len(units) == 1 else ""


def windows(names, width):
    """Return groups of neighbouring channels; a `width` of None makes none."""
    if width is None:
        return []
    positions, _ = channels(names)
    if not positions:
        raise CommandError(
            f"--windows needs {MIN_CHANNELS} or more columns whose names are positions "
            "in a spectrum, such as 1100, X1100.5 or 1100 nm, and most of all columns."
        )
    order = sorted(positions, key=positions.get)
    return [order[i : i + width] for i in range(0, len(order), width)]
