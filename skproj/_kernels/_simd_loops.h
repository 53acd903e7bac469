/* Included by _simd.h once per scalar type T; BITS is the integer of its width.
 *
 * "row" functions update w adjacent groups with one row of a matrix whose groups
 * are its columns; the others take one group of n contiguous entries. Sums are
 * carried in double for both types. Output and input may be the same array.
 */

/* Maximum of |x| by comparing bit patterns as integers: it orders finite numbers
 * correctly, and NaN and infinity come out on top instead of being skipped. */
static SKPROJ_UNUSED SKPROJ_CLONES double NAME(max_abs)(const T *x, ptrdiff_t n)
{
    const BITS *bits = (const BITS *)x;
    BITS largest = 0;
    T value;
    SKPROJ_SIMD(reduction(max : largest))
    for (ptrdiff_t i = 0; i < n; ++i) {
        BITS b = bits[i] & ABS_MASK;
        largest = b > largest ? b : largest;
    }
    memcpy(&value, &largest, sizeof(T));
    return value;
}

static SKPROJ_UNUSED SKPROJ_CLONES double NAME(sum_abs)(const T *x, ptrdiff_t n)
{
    double sum = 0.0;
    SKPROJ_SIMD(reduction(+ : sum))
    for (ptrdiff_t i = 0; i < n; ++i)
        sum += fabs((double)x[i]);
    return sum;
}

static SKPROJ_UNUSED SKPROJ_CLONES double NAME(sum_squares)(const T *x, ptrdiff_t n)
{
    double sum = 0.0;
    SKPROJ_SIMD(reduction(+ : sum))
    for (ptrdiff_t i = 0; i < n; ++i)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Number of entries with |x| > level, and the sum of |x| - level over them. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(count_above)(const T *x, ptrdiff_t n, double level, double *excess)
{
    double sum = 0.0;
    int64_t count = 0;
    SKPROJ_SIMD(reduction(+ : sum, count))
    for (ptrdiff_t i = 0; i < n; ++i) {
        double over = fabs((double)x[i]) - level;
        sum += over > 0.0 ? over : 0.0;
        count += over > 0.0;
    }
    *excess = sum;
    return (ptrdiff_t)count;
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(clip)(const T *x, ptrdiff_t n, double level, T *out)
{
    const T hi = (T)level, lo = (T)0 - hi; /* +0 for an empty ball, not -0 */
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        T v = x[i];
        v = v > hi ? hi : v;
        out[i] = v < lo ? lo : v;
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(scale)(const T *x, ptrdiff_t n, double factor, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i)
        out[i] = (T)((double)x[i] * factor + 0.0); /* + 0.0 turns -0 into +0 */
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(soft_threshold)(const T *x, ptrdiff_t n, double level, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        double v = x[i];
        double over = v - level, under = v + level;
        over = over > 0.0 ? over : 0.0;
        under = under < 0.0 ? under : 0.0;
        out[i] = (T)(over + under);
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(subtract_and_clamp)(const T *x, ptrdiff_t n, double level, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        double over = (double)x[i] - level;
        out[i] = (T)(over > 0.0 ? over : 0.0);
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(max_abs_row)(const T *row, ptrdiff_t w, T *largest)
{
    const BITS *bits = (const BITS *)row;
    BITS *top = (BITS *)largest;
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        BITS b = bits[j] & ABS_MASK;
        top[j] = b > top[j] ? b : top[j];
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(sum_abs_row)(const T *row, ptrdiff_t w, double *sums)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j)
        sums[j] += fabs((double)row[j]);
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(sum_squares_row)(const T *row, ptrdiff_t w, double *sums)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j)
        sums[j] += (double)row[j] * (double)row[j];
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(clip_row)(const T *row, ptrdiff_t w, const double *levels, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        T hi = (T)levels[j];
        T v = row[j];
        T lo = (T)0 - hi;
        v = v > hi ? hi : v;
        out[j] = v < lo ? lo : v;
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(scale_row)(const T *row, ptrdiff_t w, const double *factors, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j)
        out[j] = (T)((double)row[j] * factors[j] + 0.0);
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(soft_threshold_row)(const T *row, ptrdiff_t w, const double *levels, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        double v = row[j];
        double over = v - levels[j], under = v + levels[j];
        over = over > 0.0 ? over : 0.0;
        under = under < 0.0 ? under : 0.0;
        out[j] = (T)(over + under);
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(subtract_and_clamp_row)(const T *row, ptrdiff_t w, const double *levels, T *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        double over = (double)row[j] - levels[j];
        out[j] = (T)(over > 0.0 ? over : 0.0);
    }
}

/* ---- dispatch on the kind of norm and of map: what the Cython layer calls ---- */

static SKPROJ_UNUSED double
NAME(reduce_group)(int norm, const T *x, ptrdiff_t n)
{
    switch (norm) {
    case SKPROJ_NORM_L1: return NAME(sum_abs)(x, n);
    case SKPROJ_NORM_L2: return sqrt(NAME(sum_squares)(x, n));
    default: return NAME(max_abs)(x, n);
    }
}

/* w <= SKPROJ_TILE adjacent groups of n entries, one row of the matrix at a time. */
static SKPROJ_UNUSED void
NAME(reduce_tile)(int norm, const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
                  double *out)
{
    if (norm == SKPROJ_NORM_LINF) {
        T largest[SKPROJ_TILE];
        memset(largest, 0, (size_t)w * sizeof(T));
        for (ptrdiff_t i = 0; i < n; ++i)
            NAME(max_abs_row)(x + i * stride, w, largest);
        for (ptrdiff_t j = 0; j < w; ++j)
            out[j] = largest[j];
        return;
    }
    memset(out, 0, (size_t)w * sizeof(double));
    for (ptrdiff_t i = 0; i < n; ++i) {
        if (norm == SKPROJ_NORM_L1)
            NAME(sum_abs_row)(x + i * stride, w, out);
        else
            NAME(sum_squares_row)(x + i * stride, w, out);
    }
    if (norm == SKPROJ_NORM_L2)
        for (ptrdiff_t j = 0; j < w; ++j)
            out[j] = sqrt(out[j]);
}

static SKPROJ_UNUSED void
NAME(map_group)(int map, const T *x, ptrdiff_t n, double level, T *out)
{
    switch (map) {
    case SKPROJ_MAP_CLIP: NAME(clip)(x, n, level, out); break;
    case SKPROJ_MAP_SCALE: NAME(scale)(x, n, level, out); break;
    case SKPROJ_MAP_SOFT: NAME(soft_threshold)(x, n, level, out); break;
    default: NAME(subtract_and_clamp)(x, n, level, out);
    }
}

static SKPROJ_UNUSED void
NAME(map_tile)(int map, const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
               const double *levels, T *out, ptrdiff_t out_stride)
{
    for (ptrdiff_t i = 0; i < n; ++i) {
        const T *row = x + i * stride;
        T *out_row = out + i * out_stride;
        switch (map) {
        case SKPROJ_MAP_CLIP: NAME(clip_row)(row, w, levels, out_row); break;
        case SKPROJ_MAP_SCALE: NAME(scale_row)(row, w, levels, out_row); break;
        case SKPROJ_MAP_SOFT: NAME(soft_threshold_row)(row, w, levels, out_row); break;
        default: NAME(subtract_and_clamp_row)(row, w, levels, out_row);
        }
    }
}

/* Copy w adjacent groups into contiguous storage, group after group. */
static SKPROJ_UNUSED void
NAME(gather_tile)(const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, T *out)
{
    for (ptrdiff_t i = 0; i < n; ++i)
        for (ptrdiff_t j = 0; j < w; ++j)
            out[j * n + i] = x[i * stride + j];
}
