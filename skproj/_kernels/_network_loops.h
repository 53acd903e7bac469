/* Included by _networks.h once per scalar type T. What is defined for the type ends with
 * this file.
 *
 * In the comments, z is the input of a hidden unit and a its output; dv is the gradient
 * of the objective with respect to v.
 */

static SKPROJ_INLINE T NAME(sigmoid)(T z)
{
    return 1 / (1 + NAME(exp)(-z));
}

/* Replace inputs z by the derivatives of the outputs a. */
static SKPROJ_INLINE void NAME(activate)(int activation, T bias, T *z, ptrdiff_t n, T *a)
{
    switch (activation) {
    case SKPROJ_SILU: /* a = z s with s = sigmoid(z), a' = s (1 + z (1 - s)) */
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T x = z[i] + bias, s = NAME(sigmoid)(x);
            a[i] = x * s;
            z[i] = s * (1 + x * (1 - s));
        }
        break;
    case SKPROJ_RELU: /* a = z [z > 0], a' = [z > 0]; NaN stays NaN */
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T x = z[i] + bias;
            a[i] = x <= 0 ? 0 : x;
            z[i] = x > 0 ? 1 : 0;
        }
        break;
    case SKPROJ_TANH: /* a = 2 sigmoid(2 z) - 1, a' = 1 - a^2 */
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T x = z[i] + bias, t = 2 * NAME(sigmoid)(2 * x) - 1;
            a[i] = t;
            z[i] = 1 - t * t;
        }
        break;
    default: /* a = sigmoid(z), a' = a (1 - a) */
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T s = NAME(sigmoid)(z[i] + bias);
            a[i] = s;
            z[i] = s * (1 - s);
        }
    }
}

/* Replace outputs o by gradients of mean(w l), do_k = w (softmax(o)_k - [k = y]) / n, with
 * the cross-entropy l; the losses are w l. */
static SKPROJ_INLINE void NAME(cross_entropy)(T *outputs, ptrdiff_t n_classes, ptrdiff_t n,
                                              ptrdiff_t pitch, const int64_t *labels,
                                              const T *weight, T *losses, T *largest,
                                              T *scale)
{
    for (ptrdiff_t i = 0; i < n; ++i)
        losses[i] = -outputs[labels[i] * pitch + i];
    memcpy(largest, outputs, n * sizeof(T));
    for (ptrdiff_t k = 1; k < n_classes; ++k)
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T o = outputs[k * pitch + i];
            largest[i] = o > largest[i] ? o : largest[i];
        }
    memset(scale, 0, n * sizeof(T));
    for (ptrdiff_t k = 0; k < n_classes; ++k)
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i) {
            const T e = NAME(exp)(outputs[k * pitch + i] - largest[i]);
            outputs[k * pitch + i] = e;
            scale[i] += e;
        }
    for (ptrdiff_t i = 0; i < n; ++i)
        losses[i] = weight[i] * (losses[i] + largest[i] + LOG(scale[i]));
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i)
        scale[i] = weight[i] / (scale[i] * (T)n);
    for (ptrdiff_t k = 0; k < n_classes; ++k)
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < n; ++i)
            outputs[k * pitch + i] *= scale[i];
    for (ptrdiff_t i = 0; i < n; ++i)
        outputs[labels[i] * pitch + i] -= weight[i] / (T)n;
}

/* Add a multiple of each of n_rows rows to the SKPROJ_LANES numbers of `sums`. */
static SKPROJ_INLINE void NAME(add_multiples)(const T *factors, ptrdiff_t step,
                                              const T *rows, ptrdiff_t n_rows,
                                              ptrdiff_t pitch, T *sums)
{
    for (ptrdiff_t k = 0; k < n_rows; ++k) {
        const T factor = factors[k * step];
        SKPROJ_SIMD()
        for (int lane = 0; lane < SKPROJ_LANES; ++lane)
            sums[lane] += factor * rows[k * pitch + lane];
    }
}

/* Sum of products, of a multiple of SKPROJ_LANES numbers. */
static SKPROJ_INLINE T NAME(inner_product)(const T *x, const T *y, ptrdiff_t n)
{
    T sums[SKPROJ_LANES] = {0}, sum = 0;
    for (ptrdiff_t i = 0; i < n; i += SKPROJ_LANES)
        SKPROJ_SIMD()
        for (int lane = 0; lane < SKPROJ_LANES; ++lane)
            sums[lane] += x[i + lane] * y[i + lane];
    for (int lane = 0; lane < SKPROJ_LANES; ++lane)
        sum += sums[lane];
    return sum;
}

/* Losses and gradients of one network; see _networks.pyx for the arguments. `a` has room
 * for (n_units, pitch) numbers, `outputs` for (n_classes + 2, pitch); pitch is n_samples
 * rounded up to a multiple of SKPROJ_LANES. What is behind the samples is zero. */
static SKPROJ_UNUSED SKPROJ_CLONES void
NAME(differentiate_network)(skproj_network_sizes sizes, T *z, const T *hidden_bias,
                            const T *weight, const T *bias, const int64_t *labels,
                            const T *sample_weight, T *losses, T *d_hidden_bias,
                            T *d_weight, T *d_bias, ptrdiff_t pitch, T *a, T *outputs)
{
    const ptrdiff_t n = sizes.n_samples, n_units = sizes.n_units,
                    n_classes = sizes.n_classes;
    for (ptrdiff_t u = 0; u < n_units; ++u) {
        NAME(activate)(sizes.activation, hidden_bias[u], z + u * n, n, a + u * pitch);
        memset(a + u * pitch + n, 0, (pitch - n) * sizeof(T));
    }
    for (ptrdiff_t k = 0; k < n_classes; ++k) /* o = W a + b */
        for (ptrdiff_t i = 0; i < pitch; i += SKPROJ_LANES) {
            T sums[SKPROJ_LANES];
            for (int lane = 0; lane < SKPROJ_LANES; ++lane)
                sums[lane] = bias[k];
            NAME(add_multiples)(weight + k * n_units, 1, a + i, n_units, pitch, sums);
            memcpy(outputs + k * pitch + i, sums, sizeof(sums));
        }
    NAME(cross_entropy)(outputs, n_classes, n, pitch, labels, sample_weight, losses,
                        outputs + n_classes * pitch, outputs + (n_classes + 1) * pitch);
    for (ptrdiff_t k = 0; k < n_classes; ++k) { /* dW = do a', db = sum of do */
        T *o = outputs + k * pitch;
        memset(o + n, 0, (pitch - n) * sizeof(T));
        d_bias[k] = 0;
        for (ptrdiff_t i = 0; i < n; ++i)
            d_bias[k] += o[i];
        for (ptrdiff_t u = 0; u < n_units; ++u)
            d_weight[k * n_units + u] = NAME(inner_product)(o, a + u * pitch, pitch);
    }
    for (ptrdiff_t u = 0; u < n_units; ++u) { /* dz = a' W' do, db = sum of dz */
        T *dz = z + u * n, total = 0;
        for (ptrdiff_t i = 0; i < n; i += SKPROJ_LANES) {
            T sums[SKPROJ_LANES] = {0};
            const int n_lanes = (int)SKPROJ_MIN(n - i, SKPROJ_LANES);
            NAME(add_multiples)(weight + u, n_units, outputs + i, n_classes, pitch, sums);
            SKPROJ_SIMD(reduction(+ : total))
            for (int lane = 0; lane < n_lanes; ++lane)
                total += dz[i + lane] *= sums[lane];
        }
        d_hidden_bias[u] = total;
    }
}

#undef T
#undef NAME
#undef LOG
