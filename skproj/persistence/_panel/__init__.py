"""A fitted pipeline as a panel: few columns, and a model that needs only NumPy."""
