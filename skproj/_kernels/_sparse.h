/* Products of CSR matrices with a few columns side by side; for float and for double.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h.
 */
#ifndef SKPROJ_SPARSE_H
#define SKPROJ_SPARSE_H

#include "_simd.h"

/* Rows that are transposed together. */
#define SKPROJ_TOGETHER 64

#define T float
#define NAME SKPROJ_F32
#include "_sparse_loops.h"
#undef T
#undef NAME

#define T double
#define NAME SKPROJ_F64
#include "_sparse_loops.h"
#undef T
#undef NAME

#endif
