"""Share of the multiplications with which a forward pass takes a given time."""

import numpy as np
import torch

from skproj.nn.prune._shrink import milliseconds, plain_copy, shrink

# Forward passes of each network of which the median is taken.
N_PASSES = 20
# Difference of two shares of the multiplications that is too small to be measured.
SMALLEST_STEP = 0.01


def time_ratio(smaller, module, inputs):
    """Return the time of a forward pass, as a multiple of that of another network."""
    times = milliseconds([smaller, module], inputs, N_PASSES)
    return float(np.divide(*np.median(times, axis=1)))


@torch.no_grad()
def share_of_latency(work, module, inputs, latency, largest):
    """Return a share that makes a network fast enough, found by bisection.

    How many units each layer loses hardly depends on the weights, so that those before
    the training will do. Each measured copy is made of the module without some units,
    which is as before then. `largest` is the share of all units that can be removed.
    """
    dense = plain_copy(module)
    parameters = {W: W.detach().clone() for W in module.parameters()}
    everything = np.ones(len(work.is_free), bool)

    def ratio_at(share):
        kept = work.keep(1.0 - share, everything)
        try:
            work.erase(torch.from_numpy(kept))
            smaller, _ = shrink(module, inputs)
        finally:
            for W, values in parameters.items():
                W.copy_(values)
        return time_ratio(smaller.eval(), dense, inputs)

    least = ratio_at(largest)
    if least > latency:
        raise ValueError(
            f"latency must be at least {least:.2f}, which was measured without all "
            f"units that can be removed, got {latency!r}."
        )
    too_slow, fast = 0.0, largest
    while fast - too_slow > SMALLEST_STEP:
        middle = (too_slow + fast) / 2
        if ratio_at(middle) <= latency:
            fast = middle
        else:
            too_slow = middle
    return fast
