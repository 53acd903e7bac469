/* Inner loops of the projection kernels, for float and for double.
 *
 * Header-only C without Python.h. Reductions are allowed to reassociate loop by
 * loop with `#pragma omp simd`; nothing here needs -ffast-math or -march. Where
 * the platform has IFUNC, each function is compiled for three instruction sets
 * and the loader picks one; -DSKPROJ_NO_MULTIVERSION turns that off.
 */
#ifndef SKPROJ_SIMD_H
#define SKPROJ_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(SKPROJ_NO_MULTIVERSION)
#if __GNUC__ >= 12
#include <immintrin.h>
#define SKPROJ_AVX512
#define SKPROJ_CLONES \
    __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
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

/* Rows up to this length are read one after the other, as they lie in memory. */
#define SKPROJ_SHORT_ROW 1024
/* Call a function of `rows` rows that begin with row i; `rows` is a constant. */
#define SKPROJ_BY_ROWS(n, together, call)                 \
    do {                                                  \
        ptrdiff_t i = 0;                                  \
        if (together) {                                   \
            enum { rows = 8 };                            \
            for (; i + rows <= (n); i += rows)            \
                call;                                     \
        }                                                 \
        {                                                 \
            enum { rows = 1 };                            \
            for (; i < (n); ++i)                          \
                call;                                     \
        }                                                 \
    } while (0)

/* Entries that are added up in one go. */
#define SKPROJ_SUM_BLOCK 512
/* Entries that may be written behind those that were collected. */
#define SKPROJ_SLACK 16

enum { SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF };
enum { SKPROJ_MAP_CLIP, SKPROJ_MAP_SCALE, SKPROJ_MAP_SOFT, SKPROJ_MAP_SUBTRACT };

typedef int32_t SKPROJ_MAY_ALIAS skproj_bits_f32;
typedef int64_t SKPROJ_MAY_ALIAS skproj_bits_f64;

#ifdef SKPROJ_AVX512
#include "_simd_avx512.h"
#endif

#define T float
#define FABS fabsf
#define BITS skproj_bits_f32
#define ABS_MASK INT32_C(0x7fffffff)
#define NAME(base) skproj_##base##_f32
#include "_simd_loops.h"
#undef T
#undef FABS
#undef BITS
#undef ABS_MASK
#undef NAME

#define T double
#define FABS fabs
#define BITS skproj_bits_f64
#define ABS_MASK INT64_C(0x7fffffffffffffff)
#define NAME(base) skproj_##base##_f64
#include "_simd_loops.h"
#undef T
#undef FABS
#undef BITS
#undef ABS_MASK
#undef NAME

#endif
