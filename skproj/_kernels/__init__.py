"""Private kernels: arrays in, arrays out. A map of the files, from the bottom up.

C, for float and for double, vectorised by the compiler:

    _simd.h           which processor, which compiler; includes the loops once per type
    _simd_loops.h     includes the loops over entries, which are in
    _simd_groups.h      norms of groups, maps that shrink them, copies of columns
    _simd_looks.h       searches for thresholds: looks and bands
    _simd_moments.h     sums and squares, for the group sparse projection
    _simd_weighted.h    the weighted l1 ball
    _simd_avx2.h      some of them where compilers make little of AVX2
    _simd_avx512.h    some of them with masks, for processors that have AVX-512
    _descent.h        gradient steps of the factorisation
    _networks.h       the same for networks; includes their loops once per type
    _network_loops.h  activations, cross-entropy, and the gradients of one network
    _first_layer.h    sparse samples times weights; includes the loops once per type
    _first_layer_loops.h  the product, and the gradient of the weights
    _columns.h        products of dense columns and of sparse rows
    _exp.h            exponentials that the compiler vectorises
    _losses.h         losses of linear models
    _openmp.h         OpenMP, or what stands for it in a serial build
    _simd.pxd         the loops as Cython sees them, one name for both types

Cython, to be included:

    _layout.pxd      groups: rows or columns of a matrix, or segments of a vector
    _newton.pxd      the root of ``sum(max(v - t, 0)) == radius`` of one vector
    _roots.pxd       the same of many groups, with columns copied as rows
    _bands.pxd       the same of one long vector, with fewer looks at it
    _shrink.pxd      the weighted l1 ball, slowly, for numbers of any range

Modules, called from `skproj.projection`, `decomposition`, `linear_model`,
`feature_selection` and `nn`. The `.pxd` file of a module, if it has one, is what others
call of it:

    _groups          norms of groups, and maps that shrink them: every projection
    _thresholds      l1 ball and simplex, for each group its own radius
    _l1inf           the exact l1,inf ball
    _weighted        the weighted l1 ball
    _hoyer           group sparse projection
    _hals            coordinate descent of the factorisation
    _descent         projected gradient steps of the factorisation
    _networks        a training step of networks side by side
    _first_layer     products of the first layer with sparse samples
    _columns         columns of a linear model, dense or compressed, and their products
    _losses          losses of linear models, except that of survival times
    _cox             that of survival times
    _coefficient_ball  the ball of its coefficients: norms, projection, fixed point
    _face            Newton's method on a face of that ball
    _linear_path     the steps of a linear model, for radius after radius
    _lasso_halves    lasso paths of a quadratic loss on halves of the samples
    _openmp          whether there are threads, and how many

An exact method never trusts an estimate. Those of `_bands` are checked by exact sums;
that of `_l1inf` comes from `skproj.projection._l1inf_estimate` and is where Newton's
method starts. Sizes that decide in Python are in `skproj.projection._policy`, those of
a kernel are constants at its head.

`cdivision` is on: an integer divided by zero ends the process. Next to each division
whose divisor is not obviously positive, a comment says why it is.
"""
