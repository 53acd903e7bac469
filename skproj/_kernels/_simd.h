/* Inner loops of the projection kernels, for float and for double.
 *
 * Header-only C without Python.h. Reductions are allowed to reassociate loop by
 * loop with `#pragma omp simd`; nothing here needs -ffast-math or -march. Where
 * the platform has IFUNC, each function is compiled for three instruction sets
 * and the loader picks one. With SKPROJ_LEVEL there is one version: 1 for what the
 * compiler builds for by default, 3 for AVX2, 4 for AVX-512; see _build_utils.py.
 */
#ifndef SKPROJ_SIMD_H
#define SKPROJ_SIMD_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SKPROJ_LEVEL
#define SKPROJ_LEVEL 0
#endif
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && SKPROJ_LEVEL != 1
#if __GNUC__ >= 12
#include <immintrin.h>
#define SKPROJ_AVX2
#if SKPROJ_LEVEL != 3
#define SKPROJ_AVX512
#endif
#if SKPROJ_LEVEL == 0
#define SKPROJ_CLONES \
    __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif
#endif
#endif
#ifndef SKPROJ_CLONES
#define SKPROJ_CLONES
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SKPROJ_MAY_ALIAS __attribute__((may_alias, unused))
#define SKPROJ_UNUSED __attribute__((unused))
#else
#define SKPROJ_MAY_ALIAS
#define SKPROJ_UNUSED
#endif

/* MSVC knows neither `omp simd` nor _Pragma in all its modes. */
#if defined(_MSC_VER) && !defined(__clang__)
#define SKPROJ_SIMD(clause)
#else
#define SKPROJ_PRAGMA(text) _Pragma(#text)
#define SKPROJ_SIMD(clause) SKPROJ_PRAGMA(omp simd clause)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SKPROJ_INLINE inline __attribute__((always_inline, unused))
#else
#define SKPROJ_INLINE inline
#endif

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SKPROJ_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif

#define SKPROJ_MIN(a, b) ((a) < (b) ? (a) : (b))

/* Call a function of `rows` rows that begin with row i; `rows` is a constant. What is
 * kept for a column is visited once for all of them. */
#define SKPROJ_BY_ROWS(n, call)           \
    do {                                  \
        ptrdiff_t i = 0;                  \
        {                                 \
            enum { rows = 8 };            \
            for (; i + rows <= (n); i += rows) \
                call;                     \
        }                                 \
        {                                 \
            enum { rows = 1 };            \
            for (; i < (n); ++i)          \
                call;                     \
        }                                 \
    } while (0)

/* Entries that are added up in one go. */
#define SKPROJ_SUM_BLOCK 512
/* Entries that may be written behind those that were collected. */
#define SKPROJ_SLACK 16
/* What is above a level is summed exactly enough if it is at most so many radii. */
#define SKPROJ_NEAR 4.0
/* Numbers side by side in the loops of networks. */
#define SKPROJ_LANES 16

enum { SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF };
enum { SKPROJ_MAP_CLIP, SKPROJ_MAP_SCALE, SKPROJ_MAP_SOFT, SKPROJ_MAP_SUBTRACT };

typedef int32_t SKPROJ_MAY_ALIAS skproj_bits_f32;
typedef int64_t SKPROJ_MAY_ALIAS skproj_bits_f64;

/* The names that Cython gives to the two versions of a fused function: _simd.pxd then
 * declares each of them once. */
#define SKPROJ_F32(base) __pyx_fuse_0skproj_##base
#define SKPROJ_F64(base) __pyx_fuse_1skproj_##base

/* level + step, rounded down unless the step is the larger one: near the root, steps
 * from the left of it must not pass it. */
static SKPROJ_INLINE double skproj_sum_down(double level, double step)
{
    const double sum = level + step; /* so many of its digits lead to the one before */
    return sum - level > step ? sum - fabs(sum) * (0.625 * DBL_EPSILON) : sum;
}

/* Whether level + step is the root that Newton's method looks for. The sum is linear
 * between `below` and `above`, and `count` entries are above the level; at the level of the
 * look before, `last`, there were `before`. A look is `near` the root if its excess is a
 * few radii at most; far from it, rounding may have taken all digits of the step. */
static SKPROJ_INLINE int skproj_is_root(double level, double step, double below,
                                        double above, double count, double before,
                                        double last, int near, int was_near)
{
    const int holds = (step >= below - level) & (step <= above - level);
    return (near & (holds | (count == before))) | (level == last) |
           (was_near & !(step > 0.0));
}

/* The first 26 binary digits of a number; the others are cut off. */
static SKPROJ_INLINE double skproj_few_digits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof(x));
    bits &= ~INT64_C(0x7ffffff);
    memcpy(&x, &bits, sizeof(x));
    return x;
}

#ifdef SKPROJ_AVX2
#include "_simd_avx2.h"
#endif
#ifdef SKPROJ_AVX512
#include "_simd_avx512.h"
#endif

#ifdef SKPROJ_SHUFFLE
/* Transpose 4 x 4 or 8 x 8 entries in registers, from rows `stride` entries apart to rows
 * `pitch` entries apart. */
static SKPROJ_INLINE void SKPROJ_F64(transpose)(const double *x, ptrdiff_t stride,
                                                double *out, ptrdiff_t pitch)
{
    typedef double vector __attribute__((vector_size(32), aligned(8), may_alias));
    vector a[4], b[4];
    for (int k = 0; k < 4; ++k)
        a[k] = *(const vector *)(x + k * stride);
    for (int k = 0; k < 4; k += 2) {
        b[k] = SKPROJ_SHUFFLE(a[k], a[k + 1], 0, 4, 2, 6);
        b[k + 1] = SKPROJ_SHUFFLE(a[k], a[k + 1], 1, 5, 3, 7);
    }
    for (int k = 0; k < 2; ++k) {
        *(vector *)(out + k * pitch) = SKPROJ_SHUFFLE(b[k], b[k + 2], 0, 1, 4, 5);
        *(vector *)(out + (k + 2) * pitch) = SKPROJ_SHUFFLE(b[k], b[k + 2], 2, 3, 6, 7);
    }
}

static SKPROJ_INLINE void SKPROJ_F32(transpose)(const float *x, ptrdiff_t stride,
                                                float *out, ptrdiff_t pitch)
{
    typedef float vector __attribute__((vector_size(32), aligned(4), may_alias));
    vector a[8], b[8];
    for (int k = 0; k < 8; ++k)
        a[k] = *(const vector *)(x + k * stride);
    for (int k = 0; k < 8; k += 2) {
        b[k] = SKPROJ_SHUFFLE(a[k], a[k + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[k + 1] = SKPROJ_SHUFFLE(a[k], a[k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int k = 0; k < 8; ++k)
        if (!(k & 2)) {
            a[k] = SKPROJ_SHUFFLE(b[k], b[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            a[k + 2] = SKPROJ_SHUFFLE(b[k], b[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int k = 0; k < 4; ++k) {
        *(vector *)(out + k * pitch) =
            SKPROJ_SHUFFLE(a[k], a[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(vector *)(out + (k + 4) * pitch) =
            SKPROJ_SHUFFLE(a[k], a[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
#endif

#define T float
#define SKPROJ_SINGLE
#define FABS fabsf
#define BITS skproj_bits_f32
#define ABS_MASK INT32_C(0x7fffffff)
#define NAME SKPROJ_F32
#include "_simd_loops.h"

/* The level of instructions that the loops use on this processor. */
static SKPROJ_UNUSED const char *skproj_level(void)
{
#ifdef SKPROJ_AVX512
    if (skproj_has_avx512())
        return "avx512";
#endif
#ifdef SKPROJ_AVX2
    if (skproj_has_avx2())
        return "avx2";
#endif
    return "baseline";
}

#define T double
#define FABS fabs
#define BITS skproj_bits_f64
#define ABS_MASK INT64_C(0x7fffffffffffffff)
#define NAME SKPROJ_F64
#include "_simd_loops.h"

/* start + x[0] + ... with the rounding errors of all additions added up as well: a sum in
 * which large terms cancel is as exact as any. */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_compensated_sum(const double *x, ptrdiff_t n, double start)
{
    double sums[8] = {start}, errors[8] = {0.0};
    ptrdiff_t i = 0;
    for (; i < n; i += 8) {
        const int m = (int)SKPROJ_MIN(n - i, 8);
        SKPROJ_SIMD()
        for (int k = 0; k < m; ++k) {
            const double sum = sums[k] + x[i + k], added = sum - sums[k];
            errors[k] += (sums[k] - (sum - added)) + (x[i + k] - added);
            sums[k] = sum;
        }
    }
    for (int k = 1; k < 8; ++k) {
        const double sum = sums[0] + sums[k], added = sum - sums[0];
        errors[0] += errors[k] + (sums[0] - (sum - added)) + (sums[k] - added);
        sums[0] = sum;
    }
    return sums[0] + errors[0];
}

#endif
