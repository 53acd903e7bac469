"""Private Cython kernels: arrays in, arrays out; no validation, no policy."""
