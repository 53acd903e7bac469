/* Products of dense columns, and of sparse rows, of float or double, with rows of
 * doubles. */
#ifndef SKPROJ_COLUMNS_H
#define SKPROJ_COLUMNS_H

#include "_simd.h"

/* Rows of which all columns are read in one go: they stay in a cache. */
#define SKPROJ_COLUMN_ROWS 1024

/* The products of m columns of n entries with a row r are written to every `stride`-th
 * number; y becomes the sum of the columns `index`, times their factors. */
#define SKPROJ_DEFINE_COLUMNS(T, dots, combine)                                            \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    dots(const T *x, ptrdiff_t n, ptrdiff_t m, const double *r, double *out,               \
         ptrdiff_t stride)                                                                 \
    {                                                                                      \
        for (ptrdiff_t start = 0; start < n || start == 0; start += SKPROJ_COLUMN_ROWS) {  \
            const ptrdiff_t size = SKPROJ_MIN(n - start, SKPROJ_COLUMN_ROWS);              \
            const double *own = r + start;                                                 \
            ptrdiff_t j = 0;                                                               \
            for (; j + 4 <= m; j += 4) {                                                   \
                const T *a = x + j * n + start, *b = a + n, *c = b + n, *d = c + n;        \
                double s = 0.0, t = 0.0, u = 0.0, v = 0.0;                                 \
                SKPROJ_SIMD(reduction(+ : s, t, u, v))                                     \
                for (ptrdiff_t i = 0; i < size; ++i) {                                     \
                    const double factor = own[i];                                          \
                    s += a[i] * factor;                                                    \
                    t += b[i] * factor;                                                    \
                    u += c[i] * factor;                                                    \
                    v += d[i] * factor;                                                    \
                }                                                                          \
                double *sums = out + j * stride;                                           \
                sums[0] = start ? sums[0] + s : s;                                         \
                sums[stride] = start ? sums[stride] + t : t;                               \
                sums[2 * stride] = start ? sums[2 * stride] + u : u;                       \
                sums[3 * stride] = start ? sums[3 * stride] + v : v;                       \
            }                                                                              \
            for (; j < m; ++j) {                                                           \
                const T *a = x + j * n + start;                                            \
                double s = 0.0;                                                            \
                SKPROJ_SIMD(reduction(+ : s))                                              \
                for (ptrdiff_t i = 0; i < size; ++i)                                       \
                    s += a[i] * own[i];                                                    \
                out[j * stride] = start ? out[j * stride] + s : s;                         \
            }                                                                              \
        }                                                                                  \
    }                                                                                      \
                                                                                           \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    combine(const T *x, ptrdiff_t n, const ptrdiff_t *index, ptrdiff_t m,                  \
            const double *factors, double *y)                                              \
    {                                                                                      \
        memset(y, 0, n * sizeof(double));                                                  \
        for (ptrdiff_t start = 0; start < n; start += SKPROJ_COLUMN_ROWS) {                \
            const ptrdiff_t size = SKPROJ_MIN(n - start, SKPROJ_COLUMN_ROWS);              \
            double *own = y + start;                                                       \
            ptrdiff_t j = 0;                                                               \
            for (; j + 4 <= m; j += 4) {                                                   \
                const T *a = x + index[j] * n + start, *b = x + index[j + 1] * n + start,  \
                        *c = x + index[j + 2] * n + start,                                 \
                        *d = x + index[j + 3] * n + start;                                 \
                const double s = factors[j], t = factors[j + 1], u = factors[j + 2],       \
                             v = factors[j + 3];                                           \
                SKPROJ_SIMD()                                                              \
                for (ptrdiff_t i = 0; i < size; ++i)                                       \
                    own[i] += (a[i] * s + b[i] * t) + (c[i] * u + d[i] * v);               \
            }                                                                              \
            for (; j < m; ++j) {                                                           \
                const T *a = x + index[j] * n + start;                                     \
                const double s = factors[j];                                               \
                SKPROJ_SIMD()                                                              \
                for (ptrdiff_t i = 0; i < size; ++i)                                       \
                    own[i] += a[i] * s;                                                    \
            }                                                                              \
        }                                                                                  \
    }

SKPROJ_DEFINE_COLUMNS(float, skproj_dots_f32, skproj_combine_f32)
SKPROJ_DEFINE_COLUMNS(double, skproj_dots_f64, skproj_combine_f64)

/* Outputs of which the products with sparse rows are computed side by side. */
#define SKPROJ_OUTPUTS 16

/* Products of n sparse rows with a matrix of `lanes` numbers a row, less a shift, of which
 * the first `width` are written, those of each to n numbers; and the sum of the rows times
 * such numbers, which is added to a matrix. What is not streamed stays in a cache. */
#define SKPROJ_DEFINE_ROWS(T, lanes, dot, transposed)                                      \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    dot(const T *data, const int *indices, const ptrdiff_t *indptr, ptrdiff_t n,           \
        const double *matrix, const double *shift, ptrdiff_t width, double *out)           \
    {                                                                                      \
        for (ptrdiff_t i = 0; i < n; ++i) {                                                \
            double sums[lanes] = {0};                                                      \
            ptrdiff_t p = indptr[i];                                                       \
            for (; p + 4 <= indptr[i + 1]; p += 4) {                                       \
                const double *a = matrix + (ptrdiff_t)indices[p] * lanes,                  \
                             *b = matrix + (ptrdiff_t)indices[p + 1] * lanes,              \
                             *c = matrix + (ptrdiff_t)indices[p + 2] * lanes,              \
                             *d = matrix + (ptrdiff_t)indices[p + 3] * lanes;              \
                SKPROJ_SIMD()                                                              \
                for (int k = 0; k < lanes; ++k)                                            \
                    sums[k] += (data[p] * a[k] + data[p + 1] * b[k]) +                     \
                               (data[p + 2] * c[k] + data[p + 3] * d[k]);                  \
            }                                                                              \
            for (; p < indptr[i + 1]; ++p) {                                               \
                const double *row = matrix + (ptrdiff_t)indices[p] * lanes, x = data[p];   \
                SKPROJ_SIMD()                                                              \
                for (int k = 0; k < lanes; ++k)                                            \
                    sums[k] += x * row[k];                                                 \
            }                                                                              \
            for (ptrdiff_t k = 0; k < width; ++k)                                          \
                out[k * n + i] = sums[k] - shift[k];                                       \
        }                                                                                  \
    }                                                                                      \
                                                                                           \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    transposed(const T *data, const int *indices, const ptrdiff_t *indptr, ptrdiff_t n,    \
               const double *rows, ptrdiff_t width, double *matrix)                        \
    {                                                                                      \
        for (ptrdiff_t i = 0; i < n; ++i) {                                                \
            double factors[lanes] = {0};                                                   \
            for (ptrdiff_t k = 0; k < width; ++k)                                          \
                factors[k] = rows[k * n + i];                                              \
            for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; ++p) {                        \
                double *row = matrix + (ptrdiff_t)indices[p] * lanes;                      \
                const double x = data[p];                                                  \
                SKPROJ_SIMD()                                                              \
                for (int k = 0; k < lanes; ++k)                                            \
                    row[k] += x * factors[k];                                              \
            }                                                                              \
        }                                                                                  \
    }

SKPROJ_DEFINE_ROWS(float, 1, skproj_row_dot_f32, skproj_add_rows_f32)
SKPROJ_DEFINE_ROWS(double, 1, skproj_row_dot_f64, skproj_add_rows_f64)
SKPROJ_DEFINE_ROWS(float, 8, skproj_row_eight_f32, skproj_add_eight_f32)
SKPROJ_DEFINE_ROWS(double, 8, skproj_row_eight_f64, skproj_add_eight_f64)
SKPROJ_DEFINE_ROWS(float, SKPROJ_OUTPUTS, skproj_row_dots_f32, skproj_add_outputs_f32)
SKPROJ_DEFINE_ROWS(double, SKPROJ_OUTPUTS, skproj_row_dots_f64, skproj_add_outputs_f64)

/* Numbers of a row of the matrix for so many outputs. */
static SKPROJ_INLINE ptrdiff_t skproj_lanes_of(ptrdiff_t width)
{
    return width == 1 ? 1 : width <= 8 ? 8 : SKPROJ_OUTPUTS;
}

/* These loops for the type of the data, float if it is `single`, and the lanes of the
 * outputs. */
static SKPROJ_UNUSED void
skproj_dots(const void *x, int single, ptrdiff_t n, ptrdiff_t m, const double *r,
            double *out, ptrdiff_t stride)
{
    if (single)
        skproj_dots_f32(x, n, m, r, out, stride);
    else
        skproj_dots_f64(x, n, m, r, out, stride);
}

static SKPROJ_UNUSED void
skproj_combine(const void *x, int single, ptrdiff_t n, const ptrdiff_t *index,
               ptrdiff_t m, const double *factors, double *y)
{
    if (single)
        skproj_combine_f32(x, n, index, m, factors, y);
    else
        skproj_combine_f64(x, n, index, m, factors, y);
}

#define SKPROJ_FOR_LANES(one, eight, all, ...)                                             \
    (lanes == 1 ? one : lanes == 8 ? eight : all)(data, indices, indptr, n, __VA_ARGS__)

static SKPROJ_UNUSED void
skproj_multiply_rows(const void *data, int single, const int *indices,
                     const ptrdiff_t *indptr, ptrdiff_t n, const double *matrix,
                     const double *shift, ptrdiff_t width, double *out)
{
    const ptrdiff_t lanes = skproj_lanes_of(width);
    if (single)
        SKPROJ_FOR_LANES(skproj_row_dot_f32, skproj_row_eight_f32, skproj_row_dots_f32,
                         matrix, shift, width, out);
    else
        SKPROJ_FOR_LANES(skproj_row_dot_f64, skproj_row_eight_f64, skproj_row_dots_f64,
                         matrix, shift, width, out);
}

static SKPROJ_UNUSED void
skproj_add_rows(const void *data, int single, const int *indices,
                const ptrdiff_t *indptr, ptrdiff_t n, const double *rows,
                ptrdiff_t width, double *matrix)
{
    const ptrdiff_t lanes = skproj_lanes_of(width);
    if (single)
        SKPROJ_FOR_LANES(skproj_add_rows_f32, skproj_add_eight_f32,
                         skproj_add_outputs_f32, rows, width, matrix);
    else
        SKPROJ_FOR_LANES(skproj_add_rows_f64, skproj_add_eight_f64,
                         skproj_add_outputs_f64, rows, width, matrix);
}

#endif
