/* Loops of the projected gradient steps of the factorisation, over vectors of doubles. */
#ifndef SKPROJ_DESCENT_H
#define SKPROJ_DESCENT_H

#include "_simd.h"

/* A gradient step, from the point that momentum leads to, to entries that are not
 * negative; g has the products of the vectors x with the Gram matrix. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_step(const double *x, const double *x_before, const double *g,
            const double *g_before, const double *cross, ptrdiff_t n, double momentum,
            double size, double *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double gradient = g[i] + momentum * (g[i] - g_before[i]) - cross[i];
        const double y = x[i] + momentum * (x[i] - x_before[i]) - size * gradient;
        out[i] = y > 0.0 ? y : 0.0;
    }
}

/* The objective x (g / 2 - cross) of n entries is added to `value`, and the square of their
 * distance to others to `moved`. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_assess(const double *x, const double *g, const double *cross, const double *other,
              ptrdiff_t n, double *value, double *moved)
{
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double first = 0.0, second = 0.0;
        SKPROJ_SIMD(reduction(+ : first, second))
        for (ptrdiff_t i = start; i < stop; ++i) {
            const double move = x[i] - other[i];
            first += x[i] * (0.5 * g[i] - cross[i]);
            second += move * move;
        }
        *value += first;
        *moved += second;
    }
}

/* Add sums of four rows x, with factors a and b, to the rows y and z of n entries. */
static SKPROJ_INLINE void skproj_add_products(const double *a, const double *b,
                                              const double *x, ptrdiff_t pitch, ptrdiff_t n,
                                              double *y, double *z)
{
    const double *x1 = x + pitch, *x2 = x1 + pitch, *x3 = x2 + pitch;
    SKPROJ_SIMD()
    for (ptrdiff_t j = 0; j < n; ++j) {
        y[j] += (a[0] * x[j] + a[1] * x1[j]) + (a[2] * x2[j] + a[3] * x3[j]);
        z[j] += (b[0] * x[j] + b[1] * x1[j]) + (b[2] * x2[j] + b[3] * x3[j]);
    }
}

/* The product of a symmetric matrix with n_rows rows of n entries. Its rows are taken two
 * at a time, and four of the others, so that what is loaded is used more than once. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_multiply(const double *matrix, const double *rows, ptrdiff_t n_rows, ptrdiff_t n,
                double *out)
{
    double unused[SKPROJ_SUM_BLOCK];
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        const ptrdiff_t size = SKPROJ_MIN(n - start, SKPROJ_SUM_BLOCK);
        for (ptrdiff_t i = 0; i < n_rows; i += 2) {
            const int both = i + 1 < n_rows;
            const double *a = matrix + i * n_rows, *b = both ? a + n_rows : a;
            double *y = out + i * n + start, *z = both ? y + n : unused;
            ptrdiff_t k = 0;
            memset(y, 0, size * sizeof(double));
            memset(z, 0, size * sizeof(double));
            for (; k + 4 <= n_rows; k += 4)
                skproj_add_products(a + k, b + k, rows + k * n + start, n, size, y, z);
            for (; k < n_rows; ++k) {
                const double *x = rows + k * n + start;
                SKPROJ_SIMD()
                for (ptrdiff_t j = 0; j < size; ++j) {
                    y[j] += a[k] * x[j];
                    z[j] += b[k] * x[j];
                }
            }
        }
    }
}

#endif
