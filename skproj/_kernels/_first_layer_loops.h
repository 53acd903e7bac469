/* Included by _first_layer.h once per scalar type T.
 *
 * The weights of a column are contiguous, and so are the units of a sample, `pitch`
 * numbers after those of the sample before: a multiple of SKPROJ_LANES. Each entry of
 * a column belongs to one sample.
 */

/* sums += factor * row, or row += factor * sums, of one block of units. */
#define SKPROJ_TO_SUMS(k, sums)                          \
    if (k < blocks)                                      \
        SKPROJ_SIMD()                                    \
        for (int lane = 0; lane < SKPROJ_LANES; ++lane)  \
            sums[lane] += factor * row[k * SKPROJ_LANES + lane];
#define SKPROJ_TO_ROW(k, sums)                           \
    if (k < blocks)                                      \
        SKPROJ_SIMD()                                    \
        for (int lane = 0; lane < SKPROJ_LANES; ++lane)  \
            row[k * SKPROJ_LANES + lane] += factor * sums[lane];

/* Add the products of a column of the samples with its weights to the outputs. */
static SKPROJ_INLINE void NAME(spread_column)(const T *data, const int32_t *rows,
                                              ptrdiff_t n, T scale, const T *weight,
                                              ptrdiff_t n_units, T *outputs,
                                              ptrdiff_t pitch, const int blocks)
{
    /* One array for each register: of a longer one the compiler makes memory. */
    T all[SKPROJ_UNITS] = {0}, a[SKPROJ_LANES], b[SKPROJ_LANES], c[SKPROJ_LANES],
      d[SKPROJ_LANES];
    memcpy(all, weight, n_units * sizeof(T));
    memcpy(a, all, sizeof(a));
    memcpy(b, all + SKPROJ_LANES, sizeof(b));
    memcpy(c, all + 2 * SKPROJ_LANES, sizeof(c));
    memcpy(d, all + 3 * SKPROJ_LANES, sizeof(d));
    for (ptrdiff_t p = 0; p < n; ++p) {
        const T factor = scale * data[p];
        T *row = outputs + rows[p] * pitch;
        SKPROJ_TO_ROW(0, a)
        SKPROJ_TO_ROW(1, b)
        SKPROJ_TO_ROW(2, c)
        SKPROJ_TO_ROW(3, d)
    }
}

/* Store the sum of the gradients of the outputs, times the entries of a column. */
static SKPROJ_INLINE void NAME(gather_column)(const T *data, const int32_t *rows,
                                              ptrdiff_t n, T scale, T *d_weight,
                                              ptrdiff_t n_units, const T *d_outputs,
                                              ptrdiff_t pitch, const int blocks)
{
    T a[SKPROJ_LANES] = {0}, b[SKPROJ_LANES] = {0}, c[SKPROJ_LANES] = {0},
      d[SKPROJ_LANES] = {0}, all[SKPROJ_UNITS];
    for (ptrdiff_t p = 0; p < n; ++p) {
        const T factor = scale * data[p];
        const T *row = d_outputs + rows[p] * pitch;
        SKPROJ_TO_SUMS(0, a)
        SKPROJ_TO_SUMS(1, b)
        SKPROJ_TO_SUMS(2, c)
        SKPROJ_TO_SUMS(3, d)
    }
    memcpy(all, a, sizeof(a));
    memcpy(all + SKPROJ_LANES, b, sizeof(b));
    memcpy(all + 2 * SKPROJ_LANES, c, sizeof(c));
    memcpy(all + 3 * SKPROJ_LANES, d, sizeof(d));
    memcpy(d_weight, all, n_units * sizeof(T));
}

#undef SKPROJ_TO_SUMS
#undef SKPROJ_TO_ROW

/* Call one of them for each column and for SKPROJ_UNITS units at a time. */
#define SKPROJ_EACH_COLUMN(function)                                               \
    for (ptrdiff_t j = 0; j < x.n_columns; ++j) {                                  \
        const ptrdiff_t start = x.starts[x.columns[j]],                            \
                        n = x.starts[x.columns[j] + 1] - start;                    \
        for (ptrdiff_t u = 0; u < n_units; u += SKPROJ_UNITS) {                    \
            const ptrdiff_t width = SKPROJ_MIN(n_units - u, SKPROJ_UNITS);         \
            SKPROJ_BY_BLOCKS((width + SKPROJ_LANES - 1) / SKPROJ_LANES,            \
                             function(data + start, x.rows + start, n, factors[j], \
                                      weight + j * n_units + u, width,             \
                                      outputs + u, pitch, blocks))                 \
        }                                                                          \
    }

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(apply_first_layer)(skproj_sparse_samples x, const T *data, const T *factors,
                        const T *weight, ptrdiff_t n_units, T *outputs, ptrdiff_t pitch)
{
    SKPROJ_EACH_COLUMN(NAME(spread_column))
}

static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(differentiate_first_layer)(skproj_sparse_samples x, const T *data, const T *factors,
                                T *weight, ptrdiff_t n_units, const T *outputs,
                                ptrdiff_t pitch)
{
    SKPROJ_EACH_COLUMN(NAME(gather_column))
}

#undef SKPROJ_EACH_COLUMN
