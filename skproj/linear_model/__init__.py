"""Linear models constrained to a ball: the engine of the feature selectors."""
