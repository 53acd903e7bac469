/* Exponential function and logarithm that the compiler can vectorise.
 *
 * Header-only C without Python.h, to be inlined into functions with SKPROJ_CLONES.
 */
#ifndef SKPROJ_EXP_H
#define SKPROJ_EXP_H

#include "_simd.h"

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

/* e^x = 2^k e^r with |r| <= ln 2 / 2, by the Taylor series of e^r. Beyond `largest`, e^x is
 * not a normal number: there it is that of the bound. `rounding` is 1.5 times the power of
 * two of the digits of the mantissa. */
#define SKPROJ_DEFINE_EXP(name, T, bits, series, largest, rounding, digits, bias)     \
    static SKPROJ_INLINE T name(T x)                                                  \
    {                                                                                 \
        const T low = x > -(largest) ? x : -(largest); /* of NaN as well */           \
        const T bounded = low < (largest) ? low : (largest);                          \
        /* After this sum, the last digits of the mantissa are the integer k. */      \
        const T shifted = bounded * (T)(1 / SKPROJ_LN2) + (rounding),                 \
                k = shifted - (rounding);                                             \
        const T r = (bounded - k * (T)SKPROJ_LN2_HIGH) - k * (T)SKPROJ_LN2_LOW;       \
        bits exponent;                                                                \
        T power;                                                                      \
        memcpy(&exponent, &shifted, sizeof(T));                                       \
        exponent = (exponent + (bias)) << (digits);                                   \
        memcpy(&power, &exponent, sizeof(T));                                         \
        return x != x ? x : series(r) * power;                                        \
    }

SKPROJ_DEFINE_EXP(SKPROJ_F32(exp), float, uint32_t, SKPROJ_EXP_F32, 87.0f, 12582912.0f, 23,
                  127)
SKPROJ_DEFINE_EXP(SKPROJ_F64(exp), double, uint64_t, SKPROJ_EXP_F64, 708.0,
                  6755399441055744.0, 52, 1023)

/* log(1 + x) of 0 <= x <= 1, as 2 artanh(x / (2 + x)) or, of large x, log 2 plus that of
 * (1 + x) / 2. NaN stays NaN. */
static SKPROJ_INLINE double skproj_log1p_fraction(double x)
{
    const int large = x > 0.41421356;
    const double z = (large ? x - 1 : x) / (large ? 3 + x : 2 + x), y = z * z;
    /* y^n / (2 n + 1) with y < 0.0295 */
    const double series =
        y * (1. / 3 + y * (1. / 5 + y * (1. / 7 + y * (1. / 9 + y * (1. / 11 +
        y * (1. / 13 + y * (1. / 15 + y * (1. / 17 + y * (1. / 19)))))))));
    return (large ? SKPROJ_LN2 : 0.0) + 2 * (z + z * series);
}

/* log(x) of a finite x >= 1; NaN stays NaN. */
static SKPROJ_INLINE double skproj_log_large(double x)
{
    uint64_t bits, fraction;
    double exponent, mantissa;
    memcpy(&bits, &x, sizeof(double));
    fraction = (bits & 0xfffffffffffff) | 0x3ff0000000000000; /* between 1 and 2 */
    bits = bits >> 52 | 0x4330000000000000; /* the exponent, behind a mantissa of 2^52 */
    memcpy(&mantissa, &fraction, sizeof(double));
    memcpy(&exponent, &bits, sizeof(double));
    exponent -= 4503599627370496.0 + 1023.0;
    return x != x ? x : exponent * SKPROJ_LN2 + skproj_log1p_fraction(mantissa - 1.0);
}

#endif
