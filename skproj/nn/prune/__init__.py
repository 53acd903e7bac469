"""Pruning of networks, in the vocabulary of `torch.nn.utils.prune`.

Masks by group sparse and structured projections, projection to a sparsity while
training, a report of zeros and dead units, and removal of dead units. The functions
work together with those of PyTorch: `torch.nn.utils.prune.is_pruned` and
`torch.nn.utils.prune.remove` know the masks.
"""

from skproj.nn.prune._induced import induced_pruning, sparsity_schedule
from skproj.nn.prune._joint import global_hoyer, single_shot
from skproj.nn.prune._layers import prunable_parameters
from skproj.nn.prune._masks import (
    HoyerUnstructured,
    ProjectionStructured,
    hoyer_unstructured,
    projection_structured,
)
from skproj.nn.prune._replacements import (
    ConstantOutput,
    SelectInputs,
    SelectRows,
    SkippedLayer,
    WritableOutput,
)
from skproj.nn.prune._shrink import ShrinkReport, shrink
from skproj.nn.prune._smaller_attention import SmallerAttention
from skproj.nn.prune._sparsity_report import SparsityReport, sparsity_report

__all__ = [
    "ConstantOutput",
    "HoyerUnstructured",
    "ProjectionStructured",
    "SelectInputs",
    "SelectRows",
    "ShrinkReport",
    "SkippedLayer",
    "SmallerAttention",
    "SparsityReport",
    "WritableOutput",
    "global_hoyer",
    "hoyer_unstructured",
    "induced_pruning",
    "projection_structured",
    "prunable_parameters",
    "shrink",
    "single_shot",
    "sparsity_report",
    "sparsity_schedule",
]
