/* Loops that masks make fast: no rest of a vector is handled entry by entry, and what
 * a band holds is compressed without a branch that nothing can predict.
 *
 * _simd_looks.h does the same for any processor. Included by _simd.h once; the caller
 * asks skproj_has_avx512().
 */

#define SKPROJ_AVX512_CODE \
    SKPROJ_UNUSED __attribute__((target("avx512f,avx512dq,avx512vl,popcnt")))

static SKPROJ_UNUSED int skproj_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

/* The values of up to one vector, absolute unless signed_; lanes not `in` are zero. */
static SKPROJ_AVX512_CODE inline __m512d
SKPROJ_F64(values_avx512)(const double *x, __mmask8 in, int signed_)
{
    __m512d v = _mm512_maskz_loadu_pd(in, x);
    return signed_ ? v : _mm512_abs_pd(v);
}

static SKPROJ_AVX512_CODE inline __m512
SKPROJ_F32(values_avx512)(const float *x, __mmask16 in, int signed_)
{
    __m512 v = _mm512_maskz_loadu_ps(in, x);
    return signed_ ? v : _mm512_abs_ps(v);
}

static SKPROJ_AVX512_CODE inline __m512d skproj_low_half(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

static SKPROJ_AVX512_CODE inline __m512d skproj_high_half(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

/* What a look has seen of every other vector: two of these let the processor work on two
 * vectors at a time. */
typedef struct {
    __m512d sum, low, high;
    ptrdiff_t count;
} SKPROJ_F64(seen_avx512);

static SKPROJ_AVX512_CODE inline void
SKPROJ_F64(see_avx512)(__m512d v, __mmask8 in, __m512d level, SKPROJ_F64(seen_avx512) *seen)
{
    const __mmask8 up = _mm512_mask_cmp_pd_mask(in, v, level, _CMP_GT_OQ);
    seen->sum = _mm512_mask_add_pd(seen->sum, up, seen->sum, _mm512_sub_pd(v, level));
    seen->low = _mm512_mask_max_pd(seen->low, in & (__mmask8)~up, seen->low, v);
    seen->high = _mm512_mask_min_pd(seen->high, up, seen->high, v);
    seen->count += __builtin_popcount(up);
}

/* See look in _simd_looks.h. */
static SKPROJ_AVX512_CODE ptrdiff_t
SKPROJ_F64(look_avx512)(const double *x, ptrdiff_t n, double level, int signed_,
                        double *excess, double *below, double *above)
{
    const __m512d levels = _mm512_set1_pd(level), nothing = _mm512_setzero_pd();
    SKPROJ_F64(seen_avx512) a = {nothing, _mm512_set1_pd(-INFINITY),
                                 _mm512_set1_pd(INFINITY), 0}, b = a;
    __m512d total = nothing;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        ptrdiff_t i = start;
        a.sum = b.sum = nothing;
        for (; i + 16 <= stop; i += 16) {
            SKPROJ_F64(see_avx512)(SKPROJ_F64(values_avx512)(x + i, 0xff, signed_), 0xff,
                                   levels, &a);
            SKPROJ_F64(see_avx512)(SKPROJ_F64(values_avx512)(x + i + 8, 0xff, signed_),
                                   0xff, levels, &b);
        }
        for (; i < stop; i += 8) {
            const __mmask8 in = (__mmask8)(stop - i < 8 ? (1u << (stop - i)) - 1 : 0xff);
            SKPROJ_F64(see_avx512)(SKPROJ_F64(values_avx512)(x + i, in, signed_), in,
                                   levels, &a);
        }
        total = _mm512_add_pd(total, _mm512_add_pd(a.sum, b.sum));
    }
    *excess = _mm512_reduce_add_pd(total);
    *below = _mm512_reduce_max_pd(_mm512_max_pd(a.low, b.low));
    *above = _mm512_reduce_min_pd(_mm512_min_pd(a.high, b.high));
    return a.count + b.count;
}

typedef struct {
    __m512d sum, more;
    __m512 low, high;
    ptrdiff_t count;
} SKPROJ_F32(seen_avx512);

static SKPROJ_AVX512_CODE inline void
SKPROJ_F32(see_avx512)(__m512 v, __mmask16 in, __m512 level, SKPROJ_F32(seen_avx512) *seen)
{
    const __m512d base = skproj_low_half(level);
    const __mmask16 up = _mm512_mask_cmp_ps_mask(in, v, level, _CMP_GT_OQ);
    seen->sum = _mm512_mask_add_pd(seen->sum, (__mmask8)up, seen->sum,
                                   _mm512_sub_pd(skproj_low_half(v), base));
    seen->more = _mm512_mask_add_pd(seen->more, (__mmask8)(up >> 8), seen->more,
                                    _mm512_sub_pd(skproj_high_half(v), base));
    seen->low = _mm512_mask_max_ps(seen->low, in & (__mmask16)~up, seen->low, v);
    seen->high = _mm512_mask_min_ps(seen->high, up, seen->high, v);
    seen->count += __builtin_popcount(up);
}

static SKPROJ_AVX512_CODE ptrdiff_t
SKPROJ_F32(look_avx512)(const float *x, ptrdiff_t n, float level, int signed_,
                        double *excess, double *below, double *above)
{
    const __m512 levels = _mm512_set1_ps(level);
    const __m512d nothing = _mm512_setzero_pd();
    SKPROJ_F32(seen_avx512) a = {nothing, nothing, _mm512_set1_ps(-INFINITY),
                                 _mm512_set1_ps(INFINITY), 0}, b = a;
    __m512d total = nothing;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        ptrdiff_t i = start;
        a.sum = a.more = b.sum = b.more = nothing;
        for (; i + 32 <= stop; i += 32) {
            SKPROJ_F32(see_avx512)(SKPROJ_F32(values_avx512)(x + i, 0xffff, signed_),
                                   0xffff, levels, &a);
            SKPROJ_F32(see_avx512)(SKPROJ_F32(values_avx512)(x + i + 16, 0xffff, signed_),
                                   0xffff, levels, &b);
        }
        for (; i < stop; i += 16) {
            const __mmask16 in =
                (__mmask16)(stop - i < 16 ? (1u << (stop - i)) - 1 : 0xffff);
            SKPROJ_F32(see_avx512)(SKPROJ_F32(values_avx512)(x + i, in, signed_), in,
                                   levels, &a);
        }
        total = _mm512_add_pd(total, _mm512_add_pd(_mm512_add_pd(a.sum, b.sum),
                                                   _mm512_add_pd(a.more, b.more)));
    }
    *excess = _mm512_reduce_add_pd(total);
    *below = (double)_mm512_reduce_max_ps(_mm512_max_ps(a.low, b.low));
    *above = (double)_mm512_reduce_min_ps(_mm512_min_ps(a.high, b.high));
    return a.count + b.count;
}

/* See collect_band in _simd_looks.h; of double entries AVX2 does it in less time. */
static SKPROJ_AVX512_CODE ptrdiff_t
SKPROJ_F32(collect_band_avx512)(const float *x, ptrdiff_t n, float low, float high,
                               int signed_, float *band, ptrdiff_t *count,
                               double *excess)
{
    const __m512 lows = _mm512_set1_ps(low), highs = _mm512_set1_ps(high);
    const __m512d base = _mm512_set1_pd((double)low);
    __m512d sum = _mm512_setzero_pd(), more = sum;
    ptrdiff_t kept = 0, n_above = 0;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 in = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        __m512 v = SKPROJ_F32(values_avx512)(x + i, in, signed_);
        __mmask16 above = _mm512_mask_cmp_ps_mask(in, v, highs, _CMP_GT_OQ);
        in = _mm512_mask_cmp_ps_mask(in & (__mmask16)~above, v, lows, _CMP_GT_OQ);
        sum = _mm512_mask_add_pd(sum, (__mmask8)above, sum,
                                 _mm512_sub_pd(skproj_low_half(v), base));
        more = _mm512_mask_add_pd(more, (__mmask8)(above >> 8), more,
                                  _mm512_sub_pd(skproj_high_half(v), base));
        n_above += __builtin_popcount(above);
        _mm512_storeu_ps(band + kept, _mm512_maskz_compress_ps(in, v));
        kept += __builtin_popcount(in);
    }
    *count += n_above;
    *excess += _mm512_reduce_add_pd(_mm512_add_pd(sum, more));
    return kept;
}
