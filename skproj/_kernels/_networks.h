/* Networks with one hidden layer, side by side; for float and for double.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h.
 */
#ifndef SKPROJ_NETWORKS_H
#define SKPROJ_NETWORKS_H

#include "_exp.h"
#include "_simd.h"

enum { SKPROJ_SILU, SKPROJ_RELU, SKPROJ_TANH, SKPROJ_LOGISTIC };

typedef struct {
    ptrdiff_t n_samples, n_units, n_classes;
    int activation;
} skproj_network_sizes;

#define T float
#define NAME SKPROJ_F32
#define LOG logf
#include "_network_loops.h"

#define T double
#define NAME SKPROJ_F64
#define LOG log
#include "_network_loops.h"

#endif
