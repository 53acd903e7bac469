/* Bands for processors with AVX2: what a band holds is moved to the front of a vector,
 * which compilers do not do.
 *
 * Included by _simd.h once; the caller asks skproj_has_avx2().
 */

#define SKPROJ_AVX2_CODE SKPROJ_UNUSED __attribute__((target("avx2,bmi2,popcnt")))
#define SKPROJ_AVX2_INLINE SKPROJ_AVX2_CODE inline __attribute__((always_inline))

static SKPROJ_UNUSED int skproj_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

static SKPROJ_AVX2_INLINE double skproj_total_avx2(__m256d a, __m256d b)
{
    double sums[4];
    _mm256_storeu_pd(sums, _mm256_add_pd(a, b));
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

/* Move the 32-bit lanes in `mask` to the front. */
static SKPROJ_AVX2_INLINE __m256i skproj_compress_avx2(__m256i v, unsigned mask)
{
    const uint64_t bytes = _pdep_u64(mask, UINT64_C(0x0101010101010101)) * 0xff,
                   lanes = _pext_u64(UINT64_C(0x0706050403020100), bytes);
    return _mm256_permutevar8x32_epi32(
        v, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)lanes)));
}

/* What the values have above the level is added to `sum`. */
static SKPROJ_AVX2_INLINE __m256d skproj_add_above_avx2(__m256d sum, __m256d v,
                                                        __m256d level)
{
    return _mm256_add_pd(sum, _mm256_max_pd(_mm256_sub_pd(v, level),
                                            _mm256_setzero_pd()));
}

static SKPROJ_AVX2_INLINE __m256d skproj_low_half_avx2(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static SKPROJ_AVX2_INLINE __m256d skproj_high_half_avx2(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

/* Lanes that are `left`, fewer than those of a vector. */
static SKPROJ_AVX2_INLINE __m256i skproj_first_lanes_avx2(ptrdiff_t left, int itemsize)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - left * itemsize / 4));
}

/* Up to one vector of values, absolute unless signed_; what is not left is minus
 * infinity, which is above nothing. */
static SKPROJ_AVX2_INLINE __m256d
SKPROJ_F64(values_avx2)(const double *x, ptrdiff_t left, int signed_)
{
    const __m256d sign = _mm256_set1_pd(signed_ ? 0.0 : -0.0);
    if (left < 4) {
        const __m256i in = skproj_first_lanes_avx2(left, sizeof(*x));
        return _mm256_blendv_pd(_mm256_set1_pd(-INFINITY),
                                _mm256_andnot_pd(sign, _mm256_maskload_pd(x, in)),
                                _mm256_castsi256_pd(in));
    }
    return _mm256_andnot_pd(sign, _mm256_loadu_pd(x));
}

static SKPROJ_AVX2_INLINE __m256
SKPROJ_F32(values_avx2)(const float *x, ptrdiff_t left, int signed_)
{
    const __m256 sign = _mm256_set1_ps(signed_ ? 0.0f : -0.0f);
    if (left < 8) {
        const __m256i in = skproj_first_lanes_avx2(left, sizeof(*x));
        return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY),
                                _mm256_andnot_ps(sign, _mm256_maskload_ps(x, in)),
                                _mm256_castsi256_ps(in));
    }
    return _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
}

/* See collect_band in _simd_looks.h. */
static SKPROJ_AVX2_CODE ptrdiff_t
SKPROJ_F64(collect_band_avx2)(const double *x, ptrdiff_t n, double low, double high,
                              int signed_, double *band, ptrdiff_t *count,
                              double *excess)
{
    const __m256d lows = _mm256_set1_pd(low), highs = _mm256_set1_pd(high);
    __m256d sum = _mm256_setzero_pd();
    ptrdiff_t kept = 0, n_above = 0;
    for (ptrdiff_t i = 0; i < n; i += 4) {
        const __m256d v = SKPROJ_F64(values_avx2)(x + i, n - i, signed_),
                      above = _mm256_cmp_pd(v, highs, _CMP_GT_OQ),
                      in = _mm256_andnot_pd(above, _mm256_cmp_pd(v, lows, _CMP_GT_OQ));
        const unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castpd_ps(in));
        sum = _mm256_add_pd(sum, _mm256_and_pd(above, _mm256_sub_pd(v, lows)));
        n_above += __builtin_popcount((unsigned)_mm256_movemask_pd(above));
        _mm256_storeu_si256((__m256i *)(band + kept),
                            skproj_compress_avx2(_mm256_castpd_si256(v), mask));
        kept += __builtin_popcount(mask) / 2;
    }
    *count += n_above;
    *excess += skproj_total_avx2(sum, _mm256_setzero_pd());
    return kept;
}

static SKPROJ_AVX2_CODE ptrdiff_t
SKPROJ_F32(collect_band_avx2)(const float *x, ptrdiff_t n, float low, float high,
                              int signed_, float *band, ptrdiff_t *count,
                              double *excess)
{
    const __m256 lows = _mm256_set1_ps(low), highs = _mm256_set1_ps(high);
    const __m256d base = _mm256_set1_pd((double)low);
    __m256d sum = _mm256_setzero_pd(), more = sum;
    ptrdiff_t kept = 0, n_above = 0;
    for (ptrdiff_t i = 0; i < n; i += 8) {
        const __m256 v = SKPROJ_F32(values_avx2)(x + i, n - i, signed_),
                     above = _mm256_cmp_ps(v, highs, _CMP_GT_OQ),
                     in = _mm256_andnot_ps(above, _mm256_cmp_ps(v, lows, _CMP_GT_OQ)),
                     /* The others become minus infinity: nothing is above the band. */
                     up = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), v, above);
        const unsigned mask = (unsigned)_mm256_movemask_ps(in);
        sum = skproj_add_above_avx2(sum, skproj_low_half_avx2(up), base);
        more = skproj_add_above_avx2(more, skproj_high_half_avx2(up), base);
        n_above += __builtin_popcount((unsigned)_mm256_movemask_ps(above));
        _mm256_storeu_si256((__m256i *)(band + kept),
                            skproj_compress_avx2(_mm256_castps_si256(v), mask));
        kept += __builtin_popcount(mask);
    }
    *count += n_above;
    *excess += skproj_total_avx2(sum, more);
    return kept;
}

/* |x| - level * w: see rest in _simd_weighted.h. */
static SKPROJ_AVX2_INLINE __m256d skproj_rest_avx2(__m256d x, __m256d high, __m256d low,
                                                   __m256d level)
{
    return _mm256_sub_pd(_mm256_sub_pd(x, _mm256_mul_pd(level, high)),
                         _mm256_mul_pd(level, low));
}

/* See collect_pairs in _simd_weighted.h: of the first n entries, a multiple of 4, which
 * are float if `single`. */
static SKPROJ_AVX2_CODE ptrdiff_t
skproj_collect_pairs_avx2(const void *x, int single, const double *w, ptrdiff_t n,
                          double low, double high, double *values, double *weights,
                          double *excess, double *squares)
{
    const __m256d lows = _mm256_set1_pd(low), highs = _mm256_set1_pd(high),
                  zero = _mm256_setzero_pd(), sign = _mm256_set1_pd(-0.0),
                  digits = _mm256_castsi256_pd(_mm256_set1_epi64x(~INT64_C(0x7ffffff)));
    __m256d sum = zero, sum_of_squares = zero;
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < n; i += 4) {
        const __m256d entries = single
                                    ? _mm256_cvtps_pd(_mm_loadu_ps((const float *)x + i))
                                    : _mm256_loadu_pd((const double *)x + i),
                      v = _mm256_andnot_pd(sign, entries), u = _mm256_loadu_pd(w + i),
                      most = _mm256_and_pd(u, digits), least = _mm256_sub_pd(u, most),
                      y = skproj_rest_avx2(v, most, least, lows),
                      above = _mm256_cmp_pd(skproj_rest_avx2(v, most, least, highs), zero,
                                            _CMP_GT_OQ),
                      in = _mm256_andnot_pd(above, _mm256_cmp_pd(y, zero, _CMP_GT_OQ));
        const unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castpd_ps(in));
        sum = _mm256_add_pd(sum, _mm256_and_pd(above, _mm256_mul_pd(u, y)));
        sum_of_squares = _mm256_add_pd(sum_of_squares,
                                       _mm256_and_pd(above, _mm256_mul_pd(u, u)));
        if (mask) {
            _mm256_storeu_si256((__m256i *)(values + kept),
                                skproj_compress_avx2(_mm256_castpd_si256(v), mask));
            _mm256_storeu_si256((__m256i *)(weights + kept),
                                skproj_compress_avx2(_mm256_castpd_si256(u), mask));
            kept += __builtin_popcount(mask) / 2;
        }
    }
    *excess += skproj_total_avx2(sum, zero);
    *squares += skproj_total_avx2(sum_of_squares, zero);
    return kept;
}
