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

/* Four numbers that stay in registers: sums in an array of 16 do not. */
#if defined(__GNUC__) || defined(__clang__)
typedef double skproj_quad
    __attribute__((vector_size(4 * sizeof(double)), aligned(sizeof(double)), may_alias));
#define SKPROJ_QUADS(n) n
#define SKPROJ_UNROLL SKPROJ_PRAGMA(GCC unroll 4)
#else
typedef double skproj_quad;
#define SKPROJ_QUADS(n) (4 * (n))
#define SKPROJ_UNROLL
#endif

/* Products of n sparse rows with a matrix of `size` V's a row, less a shift, of which the
 * first `width` numbers are written, those of each to n numbers; and the sum of the rows
 * times such numbers, which is added to a matrix. What is not streamed stays in a cache. */
#define SKPROJ_DEFINE_ROWS(T, V, size, dot, transposed)                                    \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    dot(const T *data, const int *indices, const ptrdiff_t *indptr, ptrdiff_t n,           \
        const double *matrix, const double *shift, ptrdiff_t width, double *out)           \
    {                                                                                      \
        const V *rows = (const V *)matrix;                                                 \
        double numbers[SKPROJ_OUTPUTS] = {0};                                                 \
        for (ptrdiff_t i = 0; i < n; ++i) {                                                \
            V sums[size];                                                                  \
            memset(sums, 0, sizeof(sums));                                                 \
            for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; ++p) {                        \
                const V *row = rows + (ptrdiff_t)indices[p] * (size);                      \
                const double x = data[p];                                                  \
                SKPROJ_UNROLL                                                              \
                for (int k = 0; k < (size); ++k)                                           \
                    sums[k] += x * row[k];                                                 \
            }                                                                              \
            memcpy(numbers, sums, sizeof(sums));                                           \
            for (ptrdiff_t k = 0; k < width; ++k)                                          \
                out[k * n + i] = numbers[k] - shift[k];                                    \
        }                                                                                  \
    }                                                                                      \
                                                                                           \
    static SKPROJ_UNUSED SKPROJ_CLONES void                                                \
    transposed(const T *data, const int *indices, const ptrdiff_t *indptr, ptrdiff_t n,    \
               const double *rows, ptrdiff_t width, double *matrix)                        \
    {                                                                                      \
        double numbers[SKPROJ_OUTPUTS] = {0};                                              \
        for (ptrdiff_t i = 0; i < n; ++i) {                                                \
            V factors[size];                                                               \
            for (ptrdiff_t k = 0; k < width; ++k)                                          \
                numbers[k] = rows[k * n + i];                                              \
            memcpy(factors, numbers, sizeof(factors));                                     \
            for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; ++p) {                        \
                V *row = (V *)matrix + (ptrdiff_t)indices[p] * (size);                     \
                const double x = data[p];                                                  \
                SKPROJ_UNROLL                                                              \
                for (int k = 0; k < (size); ++k)                                           \
                    row[k] += x * factors[k];                                              \
            }                                                                              \
        }                                                                                  \
    }

/* These for one output, and for up to four, eight, twelve and sixteen. */
#define SKPROJ_DEFINE_ALL_ROWS(T, suffix)                                                  \
    SKPROJ_DEFINE_ROWS(T, double, 1, skproj_dot_1##suffix, skproj_add_1##suffix)           \
    SKPROJ_DEFINE_ROWS(T, skproj_quad, SKPROJ_QUADS(1), skproj_dot_4##suffix,              \
                       skproj_add_4##suffix)                                               \
    SKPROJ_DEFINE_ROWS(T, skproj_quad, SKPROJ_QUADS(2), skproj_dot_8##suffix,              \
                       skproj_add_8##suffix)                                               \
    SKPROJ_DEFINE_ROWS(T, skproj_quad, SKPROJ_QUADS(3), skproj_dot_12##suffix,             \
                       skproj_add_12##suffix)                                              \
    SKPROJ_DEFINE_ROWS(T, skproj_quad, SKPROJ_QUADS(4), skproj_dot_16##suffix,             \
                       skproj_add_16##suffix)

SKPROJ_DEFINE_ALL_ROWS(float, _f32)
SKPROJ_DEFINE_ALL_ROWS(double, _f64)

/* Numbers of a row of the matrix for so many outputs. */
static SKPROJ_INLINE ptrdiff_t skproj_lanes_of(ptrdiff_t width)
{
    return width == 1 ? 1 : (width + 3) / 4 * 4;
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

#define SKPROJ_FOR_LANES(loop, suffix, ...)                                                \
    (width == 1    ? loop##1##suffix                                                       \
     : width <= 4  ? loop##4##suffix                                                       \
     : width <= 8  ? loop##8##suffix                                                       \
     : width <= 12 ? loop##12##suffix                                                      \
                   : loop##16##suffix)(data, indices, indptr, n, __VA_ARGS__)

static SKPROJ_UNUSED void
skproj_multiply_rows(const void *data, int single, const int *indices,
                     const ptrdiff_t *indptr, ptrdiff_t n, const double *matrix,
                     const double *shift, ptrdiff_t width, double *out)
{
    if (single)
        SKPROJ_FOR_LANES(skproj_dot_, _f32, matrix, shift, width, out);
    else
        SKPROJ_FOR_LANES(skproj_dot_, _f64, matrix, shift, width, out);
}

static SKPROJ_UNUSED void
skproj_add_rows(const void *data, int single, const int *indices,
                const ptrdiff_t *indptr, ptrdiff_t n, const double *rows,
                ptrdiff_t width, double *matrix)
{
    if (single)
        SKPROJ_FOR_LANES(skproj_add_, _f32, rows, width, matrix);
    else
        SKPROJ_FOR_LANES(skproj_add_, _f64, rows, width, matrix);
}

#endif
