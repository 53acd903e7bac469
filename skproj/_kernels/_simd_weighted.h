/* Loops of the weighted l1 ball, whose levels are proportional to weights: see
 * _simd_loops.h. */

/* |x| - level * w, to a rounding of the result, for a level of few digits: its products
 * with either part of the weight are exact. */
static SKPROJ_INLINE double NAME(rest)(T x, double w, double level)
{
    const double high = skproj_few_digits(w);
    return (NAME(magnitude)(x) - level * high) - level * (w - high);
}

/* Sum of w * |x|; the largest |x| and w, infinite if an entry is NaN or infinite, or if
 * a weight is negative as well. */
static SKPROJ_UNUSED SKPROJ_CLONES double
NAME(weighted_norm)(const T *x, const double *w, ptrdiff_t n, double *largest,
                    double *heaviest)
{
    double total = 0.0, heavy = 0.0;
    T large = 0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double sum = 0.0;
        SKPROJ_SIMD(reduction(+ : sum) reduction(max : large, heavy))
        for (ptrdiff_t i = start; i < stop; ++i) {
            T a = FABS(x[i]), entry = a >= (T)0 ? a : (T)INFINITY;
            double weight = w[i] >= 0.0 ? w[i] : (double)INFINITY;
            large = entry > large ? entry : large;
            heavy = weight > heavy ? weight : heavy;
            sum += (double)a * w[i];
        }
        total += sum;
    }
    *largest = large;
    *heaviest = heavy;
    return total;
}

/* Sums over the entries for which y = |x| - (level + offset) * w is positive: returns
 * that of w * y, and writes those of y * y and of w * w. */
static SKPROJ_UNUSED SKPROJ_CLONES double
NAME(weighted_look)(const T *x, const double *w, ptrdiff_t n, double level,
                    double offset, double *squares, double *weights)
{
    double total = 0.0, total_squares = 0.0, total_weights = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double first = 0.0, second = 0.0, third = 0.0;
        SKPROJ_SIMD(reduction(+ : first, second, third))
        for (ptrdiff_t i = start; i < stop; ++i) {
            double y = NAME(rest)(x[i], w[i], level) - offset * w[i];
            double weight = y > 0.0 ? w[i] : 0.0;
            y = y > 0.0 ? y : 0.0;
            first += weight * y;
            second += y * y;
            third += weight * weight;
        }
        total += first;
        total_squares += second;
        total_weights += third;
    }
    *squares = total_squares;
    *weights = total_weights;
    return total;
}

/* Copy |x| and w of the entries with low * w < |x| <= high * w to `values` and
 * `weights`, which have room for n, and return how many; for those above high * w add
 * w * (|x| - low * w) to `excess` and w * w to `squares`. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(collect_pairs)(const T *x, const double *w, ptrdiff_t n, double low, double high,
                    double *values, double *weights, double *excess, double *squares)
{
    ptrdiff_t kept = 0, i = 0;
    double sums[16] = {0.0}, sums_of_squares[16] = {0.0};
#ifdef SKPROJ_AVX2
    if (skproj_has_avx2()) {
        i = n / 4 * 4;
        kept = skproj_collect_pairs_avx2(x, sizeof(T) < sizeof(double), w, i, low, high,
                                         values, weights, excess, squares);
    }
#endif
    for (; i < n; i += 16) {
        const int size = (int)SKPROJ_MIN(n - i, 16);
        int64_t in[16] = {0}, any = 0;
        SKPROJ_SIMD(reduction(| : any))
        for (int k = 0; k < size; ++k) {
            double u = w[i + k], y = NAME(rest)(x[i + k], u, low);
            int64_t above = NAME(rest)(x[i + k], u, high) > 0.0;
            sums[k] += above ? u * y : 0.0;
            sums_of_squares[k] += above ? u * u : 0.0;
            in[k] = (y > 0.0) & !above;
            any |= in[k];
        }
        if (any)
            for (int k = 0; k < size; ++k) {
                values[kept] = NAME(magnitude)(x[i + k]);
                weights[kept] = w[i + k];
                kept += in[k];
            }
    }
    for (int k = 0; k < 16; ++k) {
        *excess += sums[k];
        *squares += sums_of_squares[k];
    }
    return kept;
}

/* A soft threshold of level + offset, taken off one after the other. */
static SKPROJ_INLINE T NAME(soft_weighted_entry)(T x, double w, double level,
                                                 double offset)
{
    double y = NAME(rest)(x, w, level) - offset * w;
    y = y > 0.0 ? y : 0.0;
    return (T)(copysign(y, (double)x) + 0.0); /* + 0.0 turns -0 into +0 */
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(soft_weighted)(const T *x, const double *w, ptrdiff_t n, double level,
                    double offset, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i)
        out[i] = NAME(soft_weighted_entry)(x[i], w[i], level, offset);
}

/* The same for a row of a matrix, with a level for each column; where the offset is
 * NaN, `out` stays as it is. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(soft_weighted_row)(const T *x, const double *w, ptrdiff_t n, const double *levels,
                        const double *offsets, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        T y = NAME(soft_weighted_entry)(x[i], w[i], levels[i], offsets[i]);
        out[i] = offsets[i] == offsets[i] ? y : out[i];
    }
}
