/* Norms of groups, maps that shrink them, and copies of columns: see _simd_loops.h. */

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

static SKPROJ_INLINE BITS NAME(max_bits)(BITS largest, BITS x)
{
    x &= ABS_MASK;
    return x > largest ? x : largest;
}

static SKPROJ_INLINE void NAME(max_abs_rows)(const T *x, const int rows, ptrdiff_t w,
                                             ptrdiff_t stride, double *largest)
{
    const BITS *bits = (const BITS *)x;
    BITS *top = (BITS *)largest;
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        BITS m = top[j];
        for (int k = 0; k < rows; ++k)
            m = NAME(max_bits)(m, bits[j + k * stride]);
        top[j] = m;
    }
}

/* Until finish_columns `largest` holds numbers of type T. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(max_abs_columns)(const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
                      double *largest)
{
    SKPROJ_BY_ROWS(n, NAME(max_abs_rows)(x + i * stride, rows, w, stride, largest));
}

static SKPROJ_INLINE double NAME(magnitude)(T x) { return fabs((double)x); }
static SKPROJ_INLINE double NAME(square)(T x) { return (double)x * (double)x; }

/* Long groups are summed block by block: the rounding of one long sum would show. */
#define SKPROJ_DEFINE_SUM(name, term)                                                 \
    static SKPROJ_UNUSED SKPROJ_CLONES double NAME(name)(const T *x, ptrdiff_t n)     \
    {                                                                                 \
        double total = 0.0;                                                           \
        for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {             \
            ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);                 \
            double sum = 0.0;                                                         \
            SKPROJ_SIMD(reduction(+ : sum))                                           \
            for (ptrdiff_t i = start; i < stop; ++i)                                  \
                sum += NAME(term)(x[i]);                                              \
            total += sum;                                                             \
        }                                                                             \
        return total;                                                                 \
    }                                                                                 \
    static SKPROJ_INLINE void NAME(name##_rows)(const T *x, const int rows, ptrdiff_t w,  \
                                                ptrdiff_t stride, double *sums)       \
    {                                                                                 \
        SKPROJ_SIMD()                                                                 \
        for (ptrdiff_t j = 0; j < w; ++j) {                                           \
            double sum = 0.0;                                                         \
            for (int k = 0; k < rows; ++k)                                            \
                sum += NAME(term)(x[j + k * stride]);                                 \
            sums[j] += sum;                                                           \
        }                                                                             \
    }                                                                                 \
    static SKPROJ_UNUSED SKPROJ_CLONES void NAME(name##_columns)(                     \
        const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, double *sums)         \
    {                                                                                 \
        SKPROJ_BY_ROWS(n, NAME(name##_rows)(x + i * stride, rows, w, stride, sums));     \
    }

SKPROJ_DEFINE_SUM(sum_abs, magnitude)
SKPROJ_DEFINE_SUM(sum_squares, square)
#undef SKPROJ_DEFINE_SUM

static SKPROJ_INLINE void
NAME(sum_and_max_abs_rows)(const T *x, const int rows, ptrdiff_t w, ptrdiff_t stride,
                           double *sums, double *largest)
{
    const BITS *bits = (const BITS *)x;
    BITS *top = (BITS *)largest;
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < w; ++j) {
        BITS m = top[j];
        double sum = 0.0;
        for (int k = 0; k < rows; ++k) {
            m = NAME(max_bits)(m, bits[j + k * stride]);
            sum += NAME(magnitude)(x[j + k * stride]);
        }
        top[j] = m;
        sums[j] += sum;
    }
}

/* Both at once: half the memory traffic. `largest` as for max_abs_columns. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(sum_and_max_abs_columns)(const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
                              double *sums, double *largest)
{
    SKPROJ_BY_ROWS(n, NAME(sum_and_max_abs_rows)(x + i * stride, rows, w, stride, sums,
                                              largest));
}

/* ---- maps: what becomes of an entry, given the level and the offset of its group ---- */

static SKPROJ_INLINE T NAME(clip_entry)(T v, double level, double offset)
{
    const T hi = (T)level, lo = (T)0 - hi; /* +0 for an empty ball, not -0 */
    (void)offset;
    v = v > hi ? hi : v;
    return v > lo ? v : lo;
}

static SKPROJ_INLINE T NAME(scale_entry)(T v, double level, double offset)
{
    (void)offset;
    return (T)((double)v * level + 0.0); /* + 0.0 turns -0 into +0 */
}

/* The threshold is level + offset, taken off one after the other: their sum would be
 * rounded, which is much for an entry that is only just above it. */
static SKPROJ_INLINE T NAME(subtract_entry)(T v, double level, double offset)
{
    T left = v - (T)level - (T)offset;
    left = left > (T)0 ? left : (T)0;
    return v >= (T)level ? left : (T)0;
}

static SKPROJ_INLINE T NAME(soft_entry)(T v, double level, double offset)
{
    T left = NAME(subtract_entry)(FABS(v), level, offset);
    return v < (T)0 ? (T)0 - left : left;
}

#define SKPROJ_DEFINE_MAP(name)                                                       \
    static SKPROJ_UNUSED SKPROJ_CLONES void NAME(name)(                               \
        const T *x, ptrdiff_t n, double level, double offset, T *out)                 \
    {                                                                                 \
        SKPROJ_SIMD()                                                                 \
        for (ptrdiff_t i = 0; i < n; ++i)                                             \
            out[i] = NAME(name##_entry)(x[i], level, offset);                         \
    }                                                                                 \
    static SKPROJ_INLINE void NAME(name##_rows)(                                      \
        const T *x, const int rows, ptrdiff_t w, ptrdiff_t stride,                    \
        const double *levels, const double *offsets, T *out, ptrdiff_t out_stride)    \
    {                                                                                 \
        SKPROJ_SIMD()                                                                 \
        for (ptrdiff_t j = 0; j < w; ++j) {                                           \
            const double level = levels[j], offset = offsets[j];                      \
            for (int k = 0; k < rows; ++k)                                            \
                out[j + k * out_stride] =                                             \
                    NAME(name##_entry)(x[j + k * stride], level, offset);             \
        }                                                                             \
    }                                                                                 \
    static SKPROJ_UNUSED SKPROJ_CLONES void NAME(name##_columns)(                     \
        const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, const double *levels, \
        const double *offsets, T *out, ptrdiff_t out_stride)                          \
    {                                                                                 \
        SKPROJ_BY_ROWS(n, NAME(name##_rows)(x + i * stride, rows, w, stride, levels,     \
                                         offsets, out + i * out_stride, out_stride)); \
    }

SKPROJ_DEFINE_MAP(clip)
SKPROJ_DEFINE_MAP(scale)
SKPROJ_DEFINE_MAP(subtract)
SKPROJ_DEFINE_MAP(soft)
#undef SKPROJ_DEFINE_MAP

/* Copy w columns of n rows to contiguous storage, `pitch` entries from one column to
 * the next: 8 x 8 entries at a time, in registers where the compiler can. Rows far apart
 * have to be asked for before they are read. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(gather_columns)(const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, T *out,
                     ptrdiff_t pitch)
{
    ptrdiff_t i = 0;
#ifdef SKPROJ_SHUFFLE
    const int side = 32 / sizeof(T);
    for (; i + 8 <= n; i += 8) {
        const ptrdiff_t ahead = SKPROJ_MIN(n - 8 - i, 16) * stride;
        ptrdiff_t j = 0;
        for (; j + 8 <= w; j += 8)
            for (int row = 0; row < 8; row += side) {
                const T *from = x + (i + row) * stride + j;
                T *to = out + j * pitch + i + row;
                for (int k = 0; k < side; ++k)
                    __builtin_prefetch(from + k * stride + ahead);
                for (int column = 0; column < 8; column += side)
                    NAME(transpose)(from + column, stride, to + column * pitch, pitch);
            }
        for (; j < w; ++j)
            for (int k = 0; k < 8; ++k)
                out[j * pitch + i + k] = x[(i + k) * stride + j];
    }
#endif
    for (; i < n; ++i)
        for (ptrdiff_t j = 0; j < w; ++j)
            out[j * pitch + i] = x[i * stride + j];
}

/* ---- dispatch on the kind of norm and of map: what the Cython layer calls ---- */

static SKPROJ_UNUSED double NAME(reduce_group)(int norm, const T *x, ptrdiff_t n)
{
    switch (norm) {
    case SKPROJ_NORM_L1: return NAME(sum_abs)(x, n);
    case SKPROJ_NORM_L2: return sqrt(NAME(sum_squares)(x, n));
    default: return NAME(max_abs)(x, n);
    }
}

/* `out` starts with zeros and ends with finish_columns. */
static SKPROJ_UNUSED void
NAME(reduce_columns)(int norm, const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
                     double *out)
{
    switch (norm) {
    case SKPROJ_NORM_L1: NAME(sum_abs_columns)(x, n, w, stride, out); break;
    case SKPROJ_NORM_L2: NAME(sum_squares_columns)(x, n, w, stride, out); break;
    default: NAME(max_abs_columns)(x, n, w, stride, out);
    }
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(finish_columns)(const T *like, int norm, ptrdiff_t w, double *out)
{
    (void)like;
    if (norm == SKPROJ_NORM_L2)
        for (ptrdiff_t j = 0; j < w; ++j)
            out[j] = sqrt(out[j]);
    if (norm == SKPROJ_NORM_LINF && sizeof(T) < sizeof(double))
        for (ptrdiff_t j = w - 1; j >= 0; --j) { /* widened from the end: in place */
            T narrow;
            memcpy(&narrow, (const char *)out + (size_t)j * sizeof(T), sizeof(T));
            out[j] = narrow;
        }
}

static SKPROJ_UNUSED void
NAME(map_group)(int map, const T *x, ptrdiff_t n, double level, double offset, T *out)
{
    int soft = map == SKPROJ_MAP_SOFT || map == SKPROJ_MAP_SUBTRACT;
    if (soft ? level == INFINITY : level == 0.0)
        memset(out, 0, (size_t)n * sizeof(T)); /* no need to read the group again */
    else
        switch (map) {
        case SKPROJ_MAP_CLIP: NAME(clip)(x, n, level, offset, out); break;
        case SKPROJ_MAP_SCALE: NAME(scale)(x, n, level, offset, out); break;
        case SKPROJ_MAP_SOFT: NAME(soft)(x, n, level, offset, out); break;
        default: NAME(subtract)(x, n, level, offset, out);
        }
}

static SKPROJ_UNUSED void
NAME(map_columns)(int map, const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride,
                  const double *levels, const double *offsets, T *out,
                  ptrdiff_t out_stride)
{
    switch (map) {
    case SKPROJ_MAP_CLIP:
        NAME(clip_columns)(x, n, w, stride, levels, offsets, out, out_stride);
        break;
    case SKPROJ_MAP_SCALE:
        NAME(scale_columns)(x, n, w, stride, levels, offsets, out, out_stride);
        break;
    case SKPROJ_MAP_SOFT:
        NAME(soft_columns)(x, n, w, stride, levels, offsets, out, out_stride);
        break;
    default: NAME(subtract_columns)(x, n, w, stride, levels, offsets, out, out_stride);
    }
}
