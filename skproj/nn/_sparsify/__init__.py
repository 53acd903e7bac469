"""Training of any network to a share of zeros."""
