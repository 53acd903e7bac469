/* Included by _sparse.h once per scalar type T. */

/* Products of n rows with a matrix whose rows have SKPROJ_LANES numbers, less a shift. The
 * first `width` of them are written, those of each to n numbers. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(csr_dot)(const T *data, const int *indices, const int *indptr, ptrdiff_t n,
              const T *matrix, const double *shift, ptrdiff_t width, double *out)
{
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_TOGETHER) {
        T sums[SKPROJ_TOGETHER * SKPROJ_LANES];
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_TOGETHER);
        for (ptrdiff_t i = 0; i < m; ++i) {
            T sum[SKPROJ_LANES] = {0};
            ptrdiff_t p = indptr[start + i];
            /* Four at a time, because the sums are in memory. */
            for (; p + 4 <= indptr[start + i + 1]; p += 4) {
                const T *a = matrix + (ptrdiff_t)indices[p] * SKPROJ_LANES,
                        *b = matrix + (ptrdiff_t)indices[p + 1] * SKPROJ_LANES,
                        *c = matrix + (ptrdiff_t)indices[p + 2] * SKPROJ_LANES,
                        *d = matrix + (ptrdiff_t)indices[p + 3] * SKPROJ_LANES;
                SKPROJ_SIMD()
                for (int lane = 0; lane < SKPROJ_LANES; ++lane)
                    sum[lane] += (data[p] * a[lane] + data[p + 1] * b[lane]) +
                                 (data[p + 2] * c[lane] + data[p + 3] * d[lane]);
            }
            for (; p < indptr[start + i + 1]; ++p) {
                const T *row = matrix + (ptrdiff_t)indices[p] * SKPROJ_LANES;
                SKPROJ_SIMD()
                for (int lane = 0; lane < SKPROJ_LANES; ++lane)
                    sum[lane] += data[p] * row[lane];
            }
            memcpy(sums + i * SKPROJ_LANES, sum, sizeof(sum));
        }
        for (ptrdiff_t k = 0; k < width; ++k)
            for (ptrdiff_t i = 0; i < m; ++i)
                out[k * n + start + i] = (double)sums[i * SKPROJ_LANES + k] - shift[k];
    }
}

/* The product of the transpose with `width` rows of n numbers is added to a matrix whose
 * rows have SKPROJ_LANES numbers. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(csr_transposed_dot)(const T *data, const int *indices, const int *indptr, ptrdiff_t n,
                         const double *x, ptrdiff_t width, T *out)
{
    T factors[SKPROJ_TOGETHER * SKPROJ_LANES] = {0};
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_TOGETHER) {
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_TOGETHER);
        for (ptrdiff_t k = 0; k < width; ++k)
            for (ptrdiff_t i = 0; i < m; ++i)
                factors[i * SKPROJ_LANES + k] = (T)x[k * n + start + i];
        for (ptrdiff_t i = 0; i < m; ++i) {
            const T *factor = factors + i * SKPROJ_LANES;
            for (ptrdiff_t p = indptr[start + i]; p < indptr[start + i + 1]; ++p) {
                T *row = out + (ptrdiff_t)indices[p] * SKPROJ_LANES;
                const T entry = data[p];
                SKPROJ_SIMD()
                for (int lane = 0; lane < SKPROJ_LANES; ++lane)
                    row[lane] += entry * factor[lane];
            }
        }
    }
}
