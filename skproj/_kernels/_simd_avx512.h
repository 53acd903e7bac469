/* Loops that masks make fast: no rest of a vector is handled entry by entry, and what
 * a band holds is compressed without a branch that nothing can predict.
 *
 * _simd_loops.h does the same for any processor. Included by _simd.h once; the caller
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
skproj_values_avx512_f64(const double *x, __mmask8 in, int signed_)
{
    __m512d v = _mm512_maskz_loadu_pd(in, x);
    return signed_ ? v : _mm512_abs_pd(v);
}

static SKPROJ_AVX512_CODE inline __m512
skproj_values_avx512_f32(const float *x, __mmask16 in, int signed_)
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

static SKPROJ_AVX512_CODE ptrdiff_t
skproj_count_above_avx512_f64(const double *x, ptrdiff_t n, double level, int signed_,
                              double *excess)
{
    const __m512d levels = _mm512_set1_pd(level);
    __m512d sum = _mm512_setzero_pd();
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i += 8) {
        __mmask8 in = (__mmask8)(n - i < 8 ? (1u << (n - i)) - 1 : 0xff);
        __m512d v = skproj_values_avx512_f64(x + i, in, signed_);
        __mmask8 above = _mm512_mask_cmp_pd_mask(in, v, levels, _CMP_GT_OQ);
        sum = _mm512_mask_add_pd(sum, above, sum, _mm512_sub_pd(v, levels));
        count += __builtin_popcount(above);
    }
    *excess += _mm512_reduce_add_pd(sum);
    return count;
}

static SKPROJ_AVX512_CODE ptrdiff_t
skproj_count_above_avx512_f32(const float *x, ptrdiff_t n, float level, int signed_,
                              double *excess)
{
    const __m512 levels = _mm512_set1_ps(level);
    const __m512d base = _mm512_set1_pd((double)level);
    __m512d sum = _mm512_setzero_pd(), more = sum;
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 in = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        __m512 v = skproj_values_avx512_f32(x + i, in, signed_);
        __mmask16 above = _mm512_mask_cmp_ps_mask(in, v, levels, _CMP_GT_OQ);
        sum = _mm512_mask_add_pd(sum, (__mmask8)above, sum,
                                 _mm512_sub_pd(skproj_low_half(v), base));
        more = _mm512_mask_add_pd(more, (__mmask8)(above >> 8), more,
                                  _mm512_sub_pd(skproj_high_half(v), base));
        count += __builtin_popcount(above);
    }
    *excess += _mm512_reduce_add_pd(_mm512_add_pd(sum, more));
    return count;
}

static SKPROJ_AVX512_CODE ptrdiff_t
skproj_collect_band_avx512_f64(const double *x, ptrdiff_t n, double low, double high,
                               int signed_, double *band, ptrdiff_t *count,
                               double *excess)
{
    const __m512d lows = _mm512_set1_pd(low), highs = _mm512_set1_pd(high);
    __m512d sum = _mm512_setzero_pd();
    ptrdiff_t kept = 0, n_above = 0;
    for (ptrdiff_t i = 0; i < n; i += 8) {
        __mmask8 in = (__mmask8)(n - i < 8 ? (1u << (n - i)) - 1 : 0xff);
        __m512d v = skproj_values_avx512_f64(x + i, in, signed_);
        __mmask8 above = _mm512_mask_cmp_pd_mask(in, v, highs, _CMP_GT_OQ);
        in = _mm512_mask_cmp_pd_mask(in & (__mmask8)~above, v, lows, _CMP_GT_OQ);
        sum = _mm512_mask_add_pd(sum, above, sum, _mm512_sub_pd(v, lows));
        n_above += __builtin_popcount(above);
        _mm512_storeu_pd(band + kept, _mm512_maskz_compress_pd(in, v));
        kept += __builtin_popcount(in);
    }
    *count += n_above;
    *excess += _mm512_reduce_add_pd(sum);
    return kept;
}

static SKPROJ_AVX512_CODE ptrdiff_t
skproj_collect_band_avx512_f32(const float *x, ptrdiff_t n, float low, float high,
                               int signed_, float *band, ptrdiff_t *count,
                               double *excess)
{
    const __m512 lows = _mm512_set1_ps(low), highs = _mm512_set1_ps(high);
    const __m512d base = _mm512_set1_pd((double)low);
    __m512d sum = _mm512_setzero_pd(), more = sum;
    ptrdiff_t kept = 0, n_above = 0;
    for (ptrdiff_t i = 0; i < n; i += 16) {
        __mmask16 in = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        __m512 v = skproj_values_avx512_f32(x + i, in, signed_);
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

/* Up to eight rows of up to one vector of columns. */
static SKPROJ_AVX512_CODE inline ptrdiff_t
skproj_collect_band_block_avx512_f64(const double *x, int rows, __mmask8 in,
                                     ptrdiff_t stride, const double *lows,
                                     const double *highs, int32_t *counts,
                                     double *excess, double *band, int32_t *columns,
                                     int32_t column)
{
    const __m512d low = _mm512_maskz_loadu_pd(in, lows),
                  high = _mm512_maskz_loadu_pd(in, highs);
    const __m256i one = _mm256_set1_epi32(1),
                  numbers = _mm256_add_epi32(_mm256_set1_epi32(column),
                                             _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m512d sum = _mm512_maskz_loadu_pd(in, excess);
    __m256i n_above = _mm256_maskz_loadu_epi32(in, counts);
    ptrdiff_t kept = 0;
    for (int k = 0; k < rows; ++k) {
        __m512d v = skproj_values_avx512_f64(x + k * stride, in, 0);
        __mmask8 above = _mm512_mask_cmp_pd_mask(in, v, high, _CMP_GT_OQ);
        __mmask8 between =
            _mm512_mask_cmp_pd_mask(in & (__mmask8)~above, v, low, _CMP_GT_OQ);
        sum = _mm512_mask_add_pd(sum, above, sum, _mm512_sub_pd(v, low));
        n_above = _mm256_mask_add_epi32(n_above, above, n_above, one);
        _mm512_storeu_pd(band + kept, _mm512_maskz_compress_pd(between, v));
        _mm256_storeu_si256((__m256i *)(columns + kept),
                            _mm256_maskz_compress_epi32(between, numbers));
        kept += __builtin_popcount(between);
    }
    _mm512_mask_storeu_pd(excess, in, sum);
    _mm256_mask_storeu_epi32(counts, in, n_above);
    return kept;
}

static SKPROJ_AVX512_CODE inline ptrdiff_t
skproj_collect_band_block_avx512_f32(const float *x, int rows, __mmask16 in,
                                     ptrdiff_t stride, const float *lows,
                                     const float *highs, int32_t *counts,
                                     double *excess, float *band, int32_t *columns,
                                     int32_t column)
{
    const __m512 low = _mm512_maskz_loadu_ps(in, lows),
                 high = _mm512_maskz_loadu_ps(in, highs);
    const __m512i one = _mm512_set1_epi32(1),
                  numbers = _mm512_add_epi32(
                      _mm512_set1_epi32(column),
                      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                        14, 15));
    const __mmask8 in_a = (__mmask8)in, in_b = (__mmask8)(in >> 8);
    __m512 sum = _mm512_setzero_ps();
    __m512i n_above = _mm512_maskz_loadu_epi32(in, counts);
    ptrdiff_t kept = 0;
    for (int k = 0; k < rows; ++k) {
        __m512 v = skproj_values_avx512_f32(x + k * stride, in, 0);
        __mmask16 above = _mm512_mask_cmp_ps_mask(in, v, high, _CMP_GT_OQ);
        __mmask16 between =
            _mm512_mask_cmp_ps_mask(in & (__mmask16)~above, v, low, _CMP_GT_OQ);
        sum = _mm512_mask_add_ps(sum, above, sum, _mm512_sub_ps(v, low));
        n_above = _mm512_mask_add_epi32(n_above, above, n_above, one);
        _mm512_storeu_ps(band + kept, _mm512_maskz_compress_ps(between, v));
        _mm512_storeu_si512(columns + kept,
                            _mm512_maskz_compress_epi32(between, numbers));
        kept += __builtin_popcount(between);
    }
    _mm512_mask_storeu_pd(
        excess, in_a,
        _mm512_add_pd(_mm512_maskz_loadu_pd(in_a, excess), skproj_low_half(sum)));
    _mm512_mask_storeu_pd(
        excess + 8, in_b,
        _mm512_add_pd(_mm512_maskz_loadu_pd(in_b, excess + 8), skproj_high_half(sum)));
    _mm512_mask_storeu_epi32(counts, in, n_above);
    return kept;
}

#define SKPROJ_DEFINE_COLLECT(T, SUFFIX, LANES, MASK)                                 \
    static SKPROJ_AVX512_CODE ptrdiff_t skproj_collect_band_columns_avx512_##SUFFIX(  \
        const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, const T *lows,        \
        const T *highs, int32_t *counts, double *excess, T *band, int32_t *columns,   \
        ptrdiff_t room)                                                               \
    {                                                                                 \
        ptrdiff_t kept = 0;                                                           \
        for (ptrdiff_t i = 0; i < n; i += 8) {                                        \
            const int rows = (int)SKPROJ_MIN(n - i, 8);                               \
            if (kept + rows * w + SKPROJ_SLACK > room)                                \
                return -1;                                                            \
            for (ptrdiff_t j = 0; j < w; j += LANES) {                                \
                MASK in = (MASK)(w - j < LANES ? (1u << (w - j)) - 1 : ~0u);          \
                kept += skproj_collect_band_block_avx512_##SUFFIX(                    \
                    x + i * stride + j, rows, in, stride, lows + j, highs + j,        \
                    counts + j, excess + j, band + kept, columns + kept, (int32_t)j); \
            }                                                                         \
        }                                                                             \
        return kept;                                                                  \
    }

SKPROJ_DEFINE_COLLECT(double, f64, 8, __mmask8)
SKPROJ_DEFINE_COLLECT(float, f32, 16, __mmask16)
#undef SKPROJ_DEFINE_COLLECT
