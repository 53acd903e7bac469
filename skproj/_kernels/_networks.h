/* Networks with one hidden layer, side by side; for float and for double.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h.
 */
#ifndef SKPROJ_NETWORKS_H
#define SKPROJ_NETWORKS_H

#include "_simd.h"

enum { SKPROJ_SILU, SKPROJ_RELU, SKPROJ_TANH, SKPROJ_LOGISTIC };

typedef struct {
    ptrdiff_t n_samples, n_units, n_classes;
    int activation;
} skproj_network_sizes;

#define SKPROJ_LN2 0.693147180559945309417
#define SKPROJ_LN2_HIGH 0.693145751953125 /* 15 digits: multiples are exact */
#define SKPROJ_LN2_LOW 1.42860682030941723212e-6

/* 1 + r + ... + r^7 / 7!, and on to r^12 / 12! */
#define SKPROJ_EXP_F32(r)                                                             \
    (1 + r * (1 + r * (1.f / 2 + r * (1.f / 6 + r * (1.f / 24 + r * (1.f / 120 +      \
    r * (1.f / 720 + r * (1.f / 5040))))))))
#define SKPROJ_EXP_F64(r)                                                             \
    (1 + r * (1 + r * (1. / 2 + r * (1. / 6 + r * (1. / 24 + r * (1. / 120 +          \
    r * (1. / 720 + r * (1. / 5040 + r * (1. / 40320 + r * (1. / 362880 +             \
    r * (1. / 3628800 + r * (1. / 39916800 + r * (1. / 479001600)))))))))))))
#define T float
#define NAME SKPROJ_F32
#define BITS uint32_t
#define LOG logf
#define EXP_SERIES SKPROJ_EXP_F32
#define EXP_LARGEST 87.0f /* beyond, e^x is not a normal number */
#define ROUNDING 12582912.0f /* 1.5 * 2^23 */
#define MANTISSA_DIGITS 23
#define EXPONENT_BIAS 127
#include "_network_loops.h"

#define T double
#define NAME SKPROJ_F64
#define BITS uint64_t
#define LOG log
#define EXP_SERIES SKPROJ_EXP_F64
#define EXP_LARGEST 708.0
#define ROUNDING 6755399441055744.0 /* 1.5 * 2^52 */
#define MANTISSA_DIGITS 52
#define EXPONENT_BIAS 1023
#include "_network_loops.h"

#endif
