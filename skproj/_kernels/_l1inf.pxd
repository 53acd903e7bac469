# What the sample (_l1inf_sample) tells the search (_l1inf).


cdef struct Estimate:
    # What a sample says of theta, which it expects between low and high, and of the
    # levels: mu_j is near (l1_j - theta) / spread, up to a part `reach` of it. Without
    # a sample there is no spread, and nothing is known but the bound `low`.
    double theta, low, high, spread, reach
