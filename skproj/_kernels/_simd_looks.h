/* Searches for the thresholds of groups: looks at their entries, Newton's method for
 * columns side by side, and bands of entries near a level. See _simd_loops.h. */

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
