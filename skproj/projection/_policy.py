"""Sizes from which on another way is taken, as measured; kernels have their own."""

# Smaller arrays are left to one thread, whatever was asked for.
PARALLEL_MIN_SIZE = 1 << 16
# By default there is more than one thread where `benchmarks/threads.py` found two to be
# faster: from so many entries on, and from so many whose groups are columns in memory.
DEFAULT_PARALLEL_MIN_SIZE = 1 << 18
DEFAULT_PARALLEL_MIN_SIZE_OF_COLUMNS = 1 << 20

# Up to so many entries, calls of kernels one after another take longer than they
# compute: one call does all, if there is such a kernel.
AT_ONCE = 1 << 10

# In the exact l1,inf projection, groups of which something is left are copied if they
# are at most this part of all. From so many entries on, a sample pays: of this part of
# all of them, at least and at most so many, and of a group at least so many, if the
# group has them.
FEW_ALIVE = 1 / 16
SAMPLED_ENTRIES = 1 << 18
SAMPLED_PART = 1 / 64
MIN_SAMPLE_ENTRIES = 1 << 14
MAX_SAMPLE_ENTRIES = 1 << 16
MAX_SAMPLE_GROUP = 1024
