/* Searches for the thresholds of groups: looks at their entries, and bands of entries
 * near a level. See _simd_loops.h. */

static SKPROJ_INLINE T NAME(value)(T x, const int signed_)
{
    return signed_ ? x : FABS(x);
}

/* Largest |x| (x if signed_) of finite entries. */
static SKPROJ_UNUSED SKPROJ_CLONES double
NAME(largest)(const T *x, ptrdiff_t n, int signed_)
{
    T largest = x[0];
    if (!signed_)
        return NAME(max_abs)(x, n);
    SKPROJ_SIMD(reduction(max : largest))
    for (ptrdiff_t i = 0; i < n; ++i)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* The look at t = level, a number of the type, at sum(max(v - t, 0)) over the values v
 * (absolute ones unless signed_): returns how many are above the level, with their
 * `excess` over it. The sum is linear in t from `below` to `above`, the nearest values
 * on either side of the level. */
static SKPROJ_INLINE ptrdiff_t
NAME(look_of)(const T *x, ptrdiff_t n, T level, const int signed_, double *excess,
              double *below, double *above)
{
    T low = -INFINITY, high = INFINITY;
    double total = 0.0;
    ptrdiff_t count = 0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double sum = 0.0;
        BITS ups = 0;
        SKPROJ_SIMD(reduction(+ : sum, ups) reduction(max : low) reduction(min : high))
        for (ptrdiff_t i = start; i < stop; ++i) {
            T v = NAME(value)(x[i], signed_);
            T lower = v > level ? -(T)INFINITY : v, upper = v > level ? v : (T)INFINITY;
            T top = v > level ? v : level; /* of the type: compilers widen it once */
            sum += (double)top - (double)level;
            ups += v > level;
            low = lower > low ? lower : low;
            high = upper < high ? upper : high;
        }
        total += sum;
        count += (ptrdiff_t)ups;
    }
    *excess = total;
    *below = low;
    *above = high;
    return count;
}

static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(look)(const T *x, ptrdiff_t n, T level, int signed_, double *excess, double *below,
           double *above)
{
#ifdef SKPROJ_AVX512
    if (skproj_has_avx512())
        return NAME(look_avx512)(x, n, level, signed_, excess, below, above);
#endif
    return signed_ ? NAME(look_of)(x, n, level, 1, excess, below, above)
                   : NAME(look_of)(x, n, level, 0, excess, below, above);
}

/* Largest finite number of the type that is not above x, if there is one. */
static SKPROJ_INLINE T NAME(rounded_down)(double x, const T *like)
{
    T rounded = (T)x;
    (void)like;
    if (sizeof(T) == sizeof(double))
        return rounded;
    if (rounded > x)
        rounded = (T)nextafterf((float)rounded, -INFINITY);
    return rounded == -(T)INFINITY && x > -(double)INFINITY ? (T)-FLT_MAX : rounded;
}

/* Vectors look whether any of 16 entries is in the band; only then are they copied,
 * one by one and without a branch. */
static SKPROJ_INLINE ptrdiff_t
NAME(collect_band_of)(const T *x, ptrdiff_t n, T low, T high, const int signed_,
                      T *band, ptrdiff_t *count, double *excess)
{
    double sums[16] = {0.0};
    BITS counts[16] = {0};
    ptrdiff_t kept = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        BITS any = 0;
        SKPROJ_SIMD(reduction(| : any))
        for (int k = 0; k < 16; ++k) {
            T v = NAME(value)(x[i + k], signed_);
            BITS above = v > high;
            counts[k] += above;
            sums[k] += above ? (double)v - (double)low : 0.0;
            any |= (v > low) & (v <= high);
        }
        if (any)
            for (int k = 0; k < 16; ++k) {
                T v = NAME(value)(x[i + k], signed_);
                band[kept] = v;
                kept += (v > low) & (v <= high);
            }
    }
    for (; i < n; ++i) {
        T v = NAME(value)(x[i], signed_);
        counts[0] += v > high;
        sums[0] += v > high ? (double)v - (double)low : 0.0;
        band[kept] = v;
        kept += (v > low) & (v <= high);
    }
    for (int k = 0; k < 16; ++k) {
        *count += (ptrdiff_t)counts[k];
        *excess += sums[k];
    }
    return kept;
}

/* Copy the values (absolute ones unless signed_) with low < v <= high to `band`, which
 * has room for n + SKPROJ_SLACK, and return how many; for those above high add 1 to
 * `count` and v - low to `excess`. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(collect_band)(const T *x, ptrdiff_t n, T low, T high, int signed_, T *band,
                   ptrdiff_t *count, double *excess)
{
#if defined(SKPROJ_AVX512) && defined(SKPROJ_SINGLE)
    if (skproj_has_avx512())
        return NAME(collect_band_avx512)(x, n, low, high, signed_, band, count, excess);
#endif
#ifdef SKPROJ_AVX2
    if (skproj_has_avx2())
        return NAME(collect_band_avx2)(x, n, low, high, signed_, band, count, excess);
#endif
    return signed_ ? NAME(collect_band_of)(x, n, low, high, 1, band, count, excess)
                   : NAME(collect_band_of)(x, n, low, high, 0, band, count, excess);
}
