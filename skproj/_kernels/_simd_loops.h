/* Included by _simd.h once per scalar type T; BITS is the integer of its width.
 *
 * A group is n contiguous entries, or a column of a matrix of n rows, `stride` entries
 * apart; w columns are then handled together, several rows at a time, so that what is
 * kept for a column is visited once for several entries. Sums are carried in double for
 * both types; levels that entries are compared with are numbers of the type T. Output
 * and input may be the same array.
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
    SKPROJ_BY_ROWS(n, stride > SKPROJ_SHORT_ROW,
                   NAME(max_abs_rows)(x + i * stride, rows, w, stride, largest));
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
        SKPROJ_BY_ROWS(n, stride > SKPROJ_SHORT_ROW,                                  \
                       NAME(name##_rows)(x + i * stride, rows, w, stride, sums));     \
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
    SKPROJ_BY_ROWS(n, stride > SKPROJ_SHORT_ROW,
                   NAME(sum_and_max_abs_rows)(x + i * stride, rows, w, stride, sums,
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
        for (ptrdiff_t j = 0; j < w; ++j)                                             \
            for (int k = 0; k < rows; ++k)                                            \
                out[j + k * out_stride] =                                             \
                    NAME(name##_entry)(x[j + k * stride], levels[j],                  \
                                       offsets ? offsets[j] : 0.0);                   \
    }                                                                                 \
    static SKPROJ_UNUSED SKPROJ_CLONES void NAME(name##_columns)(                     \
        const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, const double *levels, \
        const double *offsets, T *out, ptrdiff_t out_stride)                          \
    {                                                                                 \
        SKPROJ_BY_ROWS(n, stride > SKPROJ_SHORT_ROW,                                  \
                       NAME(name##_rows)(x + i * stride, rows, w, stride, levels,     \
                                         offsets, out + i * out_stride, out_stride)); \
    }

SKPROJ_DEFINE_MAP(clip)
SKPROJ_DEFINE_MAP(scale)
SKPROJ_DEFINE_MAP(subtract)
SKPROJ_DEFINE_MAP(soft)
#undef SKPROJ_DEFINE_MAP

/* ---- what the searches for thresholds need of a contiguous group ---- */

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
            sum += v > level ? (double)v - (double)level : 0.0;
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

static SKPROJ_INLINE void
NAME(look_rows)(const T *x, const int rows, ptrdiff_t stride, int signed_,
                skproj_lanes *lanes)
{
    SKPROJ_SIMD()
    for (int k = 0; k < SKPROJ_LANES; ++k) {
        const T level = (T)lanes->level[k];
        T low = (T)lanes->below[k], high = (T)lanes->above[k];
        double sum = 0.0;
        BITS count = 0;
        for (int i = 0; i < rows; ++i) {
            T v = x[k + i * stride], lower, upper;
            v = signed_ ? v : FABS(v);
            lower = v > level ? -(T)INFINITY : v;
            upper = v > level ? v : (T)INFINITY;
            sum += v > level ? (double)v - (double)level : 0.0;
            count += v > level;
            low = lower > low ? lower : low;
            high = upper < high ? upper : high;
        }
        lanes->count[k] += (double)count;
        lanes->excess[k] += sum;
        lanes->below[k] = low;
        lanes->above[k] = high;
    }
}

/* Look at n more rows of SKPROJ_LANES columns, each with a level of its own. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(look_lanes)(const T *x, ptrdiff_t n, ptrdiff_t stride, int signed_,
                 skproj_lanes *lanes)
{
#ifdef SKPROJ_AVX512
    if (skproj_has_avx512()) {
        NAME(look_lanes_avx512)(x, n, stride, signed_, lanes);
        return;
    }
#endif
    SKPROJ_BY_ROWS(n, 1, NAME(look_rows)(x + i * stride, rows, stride, signed_, lanes));
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

static SKPROJ_INLINE void NAME(begin_look)(skproj_lanes *lanes)
{
    for (int k = 0; k < SKPROJ_LANES; ++k) {
        lanes->level[k] = NAME(rounded_down)(lanes->level[k], NULL);
        lanes->count[k] = lanes->excess[k] = 0.0;
        lanes->below[k] = -INFINITY;
        lanes->above[k] = INFINITY;
    }
}

/* Take a step of Newton's method; return whether another look is needed. */
static SKPROJ_INLINE int NAME(take_step)(skproj_lanes *lanes, int is_last)
{
    int left = 0;
    SKPROJ_SIMD(reduction(| : left))
    for (int k = 0; k < SKPROJ_LANES; ++k) {
        const double radius = lanes->radius[k], count = lanes->count[k],
                     step = (lanes->excess[k] - radius) / count,
                     root = skproj_sum_down(lanes->level[k], step);
        const int near = lanes->excess[k] <= SKPROJ_NEAR * radius,
                  done = skproj_is_root(lanes->level[k], step, lanes->below[k],
                                        lanes->above[k], count, lanes->before[k],
                                        lanes->last[k], near, lanes->was_near[k] > 0.0) |
                         (is_last & (count > 0.0)) | !(radius < (double)INFINITY);
        const double next = root > lanes->lowest[k] ? root : lanes->lowest[k];
        lanes->step[k] = done & (count > 0.0) ? step : (double)NAN;
        lanes->last[k] = lanes->level[k];
        lanes->level[k] = done ? lanes->level[k] : next;
        lanes->before[k] = count;
        lanes->was_near[k] = near;
        left |= !done;
    }
    return left;
}

/* Move the level next to the root: what is left of the entries is more exact then. */
static SKPROJ_INLINE void NAME(move_to_root)(skproj_lanes *lanes)
{
    for (int k = 0; k < SKPROJ_LANES; ++k) {
        const double near = NAME(rounded_down)(lanes->level[k] + lanes->step[k], NULL),
                     above = lanes->above[k];
        if (near < above) { /* false for NaN */
            lanes->step[k] -= near - lanes->level[k];
            lanes->level[k] = near;
        } else if (near >= above) {
            const double more = lanes->count[k] * (above - lanes->level[k]);
            lanes->step[k] =
                (lanes->excess[k] - more - lanes->radius[k]) / lanes->count[k];
            lanes->level[k] = above;
        }
    }
}

/* Newton's method for the roots of sum(max(v - t, 0)) == radius in w columns of n rows,
 * from any levels: newton in _newton.pxd, column by column, with at most `max_looks`
 * looks at a column. Rows are read as they lie in memory, for blocks of SKPROJ_LANES
 * columns; the last block ends with the last column. No level is below `lowest`, which
 * should be left of the root; a column with an infinite radius is left alone. The roots
 * are level + step. The step is NaN in the few columns that are better solved for on
 * their own: a root, if rounded to the type, may be as large as the largest entry. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(newton_lanes)(const T *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t w, int signed_,
                   int max_looks, skproj_lanes *blocks)
{
    const ptrdiff_t n_blocks = (w + SKPROJ_LANES - 1) / SKPROJ_LANES;
    int left = 0;
    for (ptrdiff_t b = 0; b < n_blocks; ++b) {
        blocks[b].left = 0;
        for (int k = 0; k < SKPROJ_LANES; ++k) {
            blocks[b].left |= blocks[b].radius[k] < (double)INFINITY;
            blocks[b].before[k] = -1.0;
            blocks[b].was_near[k] = 0.0;
            blocks[b].last[k] = blocks[b].step[k] = (double)NAN;
        }
        left |= blocks[b].left;
    }
    for (int looks = 1; left && looks <= SKPROJ_MAX_LOOKS; ++looks) {
        left = 0;
        for (ptrdiff_t b = 0; b < n_blocks; ++b)
            if (blocks[b].left)
                NAME(begin_look)(blocks + b);
        for (ptrdiff_t i = 0; i < n; i += SKPROJ_ROWS)
            for (ptrdiff_t b = 0; b < n_blocks; ++b)
                if (blocks[b].left)
                    NAME(look_lanes)(x + i * stride + SKPROJ_MIN(b * SKPROJ_LANES,
                                                                 w - SKPROJ_LANES),
                                     SKPROJ_MIN(n - i, SKPROJ_ROWS), stride, signed_,
                                     blocks + b);
        for (ptrdiff_t b = 0; b < n_blocks; ++b)
            if (blocks[b].left)
                left |= blocks[b].left = NAME(take_step)(blocks + b, looks >= max_looks);
    }
    for (ptrdiff_t b = 0; b < n_blocks; ++b)
        NAME(move_to_root)(blocks + b);
}

/* Copy the wanted blocks of SKPROJ_LANES columns, one block after the other. The last
 * block ends with the last of w columns. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(pack_lanes)(const T *x, ptrdiff_t n, ptrdiff_t stride, ptrdiff_t w,
                 const char *wanted, T *out)
{
    for (ptrdiff_t i = 0; i < n; ++i, x += stride)
        for (ptrdiff_t j = 0, block = 0; j < w; j += SKPROJ_LANES, ++block)
            if (wanted[block])
                memcpy(out + (block * n + i) * SKPROJ_LANES,
                       x + SKPROJ_MIN(j, w - SKPROJ_LANES), SKPROJ_LANES * sizeof(T));
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
#ifdef SKPROJ_AVX512
    if (skproj_has_avx512())
        return NAME(collect_band_avx512)(x, n, low, high, signed_, band, count, excess);
#endif
    return signed_ ? NAME(collect_band_of)(x, n, low, high, 1, band, count, excess)
                   : NAME(collect_band_of)(x, n, low, high, 0, band, count, excess);
}

/* Copy w columns of n rows to contiguous storage, `pitch` entries from one column to
 * the next; 8 x 8 entries are transposed in registers where the compiler can. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(gather_columns)(const T *x, ptrdiff_t n, ptrdiff_t w, ptrdiff_t stride, T *out,
                     ptrdiff_t pitch)
{
    ptrdiff_t i = 0;
#ifdef SKPROJ_SHUFFLE
    typedef T vector
        __attribute__((vector_size(8 * sizeof(T)), aligned(sizeof(T)), may_alias));
    for (; i + 8 <= n; i += 8) {
        ptrdiff_t j = 0;
        for (; j + 8 <= w; j += 8) {
            vector a[8], b[8];
            for (int k = 0; k < 8; ++k)
                a[k] = *(const vector *)(x + (i + k) * stride + j);
            for (int k = 0; k < 4; ++k) {
                int p = 2 * k;
                b[p] = SKPROJ_SHUFFLE(a[p], a[p + 1], 0, 8, 2, 10, 4, 12, 6, 14);
                b[p + 1] = SKPROJ_SHUFFLE(a[p], a[p + 1], 1, 9, 3, 11, 5, 13, 7, 15);
            }
            for (int k = 0; k < 4; ++k) {
                int p = k < 2 ? k : k + 2;
                a[p] = SKPROJ_SHUFFLE(b[p], b[p + 2], 0, 1, 8, 9, 4, 5, 12, 13);
                a[p + 2] = SKPROJ_SHUFFLE(b[p], b[p + 2], 2, 3, 10, 11, 6, 7, 14, 15);
            }
            for (int k = 0; k < 4; ++k) {
                T *column = out + (j + k) * pitch + i;
                *(vector *)column =
                    SKPROJ_SHUFFLE(a[k], a[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
                *(vector *)(column + 4 * pitch) =
                    SKPROJ_SHUFFLE(a[k], a[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
            }
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

/* ---- what the group sparse projection needs of a contiguous group ---- */

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

/* ---- the weighted l1 ball, whose levels are proportional to weights ---- */

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

static SKPROJ_UNUSED void
NAME(weighted_excess_moments)(const T *x, const double *w, ptrdiff_t n, double level,
                              double *sum, double *sum_of_squares, double *sum_of_weights)
{
    *sum = NAME(weighted_look)(x, w, n, level, 0.0, sum_of_squares, sum_of_weights);
}

/* Copy |x| and w of the entries with low * w < |x| <= high * w to `values` and
 * `weights`, which have room for n, and return how many; for those above high * w add
 * w * (|x| - low * w) to `excess` and w * w to `squares`. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
NAME(collect_pairs)(const T *x, const double *w, ptrdiff_t n, double low, double high,
                    double *values, double *weights, double *excess, double *squares)
{
    ptrdiff_t kept = 0;
    double sums[16] = {0.0}, sums_of_squares[16] = {0.0};
    for (ptrdiff_t i = 0; i < n; i += 16) {
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
    return (T)(x < (T)0 ? 0.0 - y : y);
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
