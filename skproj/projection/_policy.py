"""Sizes from which on another way is taken: the one place for what was measured."""

# Below this many entries a second thread costs more than it saves.
PARALLEL_MIN_SIZE = 1 << 16

# From so many entries on, a sample pays in the exact l1,inf projection. It has at most
# so many entries, and of a group at least so many, if the group has them.
SAMPLED_ENTRIES = 1 << 17
MAX_SAMPLE_ENTRIES = 1 << 16
MAX_SAMPLE_GROUP = 1024
