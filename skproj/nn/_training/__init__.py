"""Training of the networks behind the estimators."""
