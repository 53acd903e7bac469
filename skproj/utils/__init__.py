"""Helpers shared by the other subpackages; nothing here is public."""
