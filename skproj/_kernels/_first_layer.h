/* Products of a first layer with sparse samples; for float and for double.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h.
 */
#ifndef SKPROJ_FIRST_LAYER_H
#define SKPROJ_FIRST_LAYER_H

#include "_simd.h"

/* Units of a layer whose sums are in registers together, in blocks of SKPROJ_LANES. */
#define SKPROJ_UNIT_BLOCKS 4
#define SKPROJ_UNITS (SKPROJ_UNIT_BLOCKS * SKPROJ_LANES)
/* Call a function of so many blocks; `blocks` is a constant. */
#define SKPROJ_BY_BLOCKS(n_blocks, call)               \
    switch (n_blocks) {                                \
    case 1: { enum { blocks = 1 }; call; break; }      \
    case 2: { enum { blocks = 2 }; call; break; }      \
    case 3: { enum { blocks = 3 }; call; break; }      \
    default: { enum { blocks = 4 }; call; }            \
    }

/* Samples of which the entries of each column are together; the layer takes some columns,
 * multiplied by factors. */
typedef struct {
    const int32_t *rows, *starts; /* of the entries; where those of a column begin */
    const int32_t *columns;       /* those that the layer takes */
    ptrdiff_t n_columns;
} skproj_sparse_samples;

#define T float
#define NAME SKPROJ_F32
#include "_first_layer_loops.h"
#undef T
#undef NAME

#define T double
#define NAME SKPROJ_F64
#include "_first_layer_loops.h"
#undef T
#undef NAME

#endif
