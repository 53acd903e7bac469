/* Moments of a contiguous group, for the group sparse projection: see _simd_loops.h. */

/* Sums over the entries with |x| > level of what they have above it and of its square;
 * returns how many there are. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(excess_moments)(const T *x, ptrdiff_t n, double level, double *sum,
                     double *sum_of_squares)
{
    double total = 0.0, total_squares = 0.0, count = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double first = 0.0, second = 0.0;
        SKPROJ_SIMD(reduction(+ : first, second, count))
        for (ptrdiff_t i = start; i < stop; ++i) {
            double y = NAME(magnitude)(x[i]) - level;
            count += y > 0.0 ? 1.0 : 0.0;
            y = y > 0.0 ? y : 0.0;
            first += y;
            second += y * y;
        }
        total += first;
        total_squares += second;
    }
    *sum = total;
    *sum_of_squares = total_squares;
    return (ptrdiff_t)count;
}

/* Sums of (level - |x|) - offset and of its square: the inner difference is exact for
 * entries near the level. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(deficit_moments)(const T *x, ptrdiff_t n, double level, double offset, double *sum,
                      double *sum_of_squares)
{
    double total = 0.0, total_squares = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double first = 0.0, second = 0.0;
        SKPROJ_SIMD(reduction(+ : first, second))
        for (ptrdiff_t i = start; i < stop; ++i) {
            double u = (level - NAME(magnitude)(x[i])) - offset;
            first += u;
            second += u * u;
        }
        total += first;
        total_squares += second;
    }
    *sum = total;
    *sum_of_squares = total_squares;
}

/* A soft threshold, level + offset, of which a factor is left. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(soft_and_scale)(const T *x, ptrdiff_t n, double level, double offset, double factor,
                     T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        double y = (NAME(magnitude)(x[i]) - level) - offset;
        y = y > 0.0 ? y * factor : 0.0;
        out[i] = (T)(x[i] < (T)0 ? 0.0 - y : y);
    }
}
