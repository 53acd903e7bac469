/* Losses of linear models, over samples; an array has a row of n samples for each output.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h.
 */
#ifndef SKPROJ_LOSSES_H
#define SKPROJ_LOSSES_H

#include "_exp.h"
#include "_simd.h"

/* Samples that are evaluated together: all their logits are in a cache. */
#define SKPROJ_SAMPLES 256

/* Softmax loss of logits x + intercept. Where `residuals` is not NULL, its derivative with
 * respect to them is written there. `work` has room for (n_classes, SKPROJ_SAMPLES). */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_softmax_loss(const double *x, const double *intercept, const ptrdiff_t *codes,
                    const double *weights, ptrdiff_t n_classes, ptrdiff_t n,
                    double *residuals, double *work)
{
    double value = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        double largest[SKPROJ_SAMPLES], sums[SKPROJ_SAMPLES], chosen[SKPROJ_SAMPLES];
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        const ptrdiff_t *code = codes + start;
        const double *weight = weights + start;
        double part = 0.0;

        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *row = x + k * n + start, shift = intercept[k];
            double *logits = work + k * SKPROJ_SAMPLES;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i) {
                const double logit = row[i] + shift;
                logits[i] = logit;
                largest[i] = k == 0 || logit > largest[i] ? logit : largest[i];
            }
        }
        for (ptrdiff_t i = 0; i < m; ++i)
            chosen[i] = work[code[i] * SKPROJ_SAMPLES + i];
        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            double *logits = work + k * SKPROJ_SAMPLES;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i) {
                const double power = SKPROJ_F64(exp)(logits[i] - largest[i]);
                logits[i] = power;
                sums[i] = k == 0 ? power : sums[i] + power;
            }
        }
        SKPROJ_SIMD(reduction(+ : part))
        for (ptrdiff_t i = 0; i < m; ++i)
            part += weight[i] * (skproj_log_large(sums[i]) - (chosen[i] - largest[i]));
        value += part;
        if (residuals == NULL)
            continue;
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < m; ++i)
            sums[i] = weight[i] / sums[i];
        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *powers = work + k * SKPROJ_SAMPLES;
            double *row = residuals + k * n + start;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i)
                row[i] = powers[i] * sums[i];
        }
        for (ptrdiff_t i = 0; i < m; ++i)
            residuals[code[i] * n + start + i] -= weight[i];
    }
    return value;
}

/* Second derivative of the softmax loss with respect to the intercept, from the residuals.
 * It is added to the lower triangle of `hessian`. `work` is that of the loss. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_softmax_hessian(const double *residuals, const ptrdiff_t *codes,
                       const double *weights, ptrdiff_t n_classes, ptrdiff_t n,
                       double *hessian, double *work)
{
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        double shares[SKPROJ_SAMPLES];
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        const double *weight = weights + start;

        for (ptrdiff_t k = 0; k < n_classes; ++k)
            memcpy(work + k * SKPROJ_SAMPLES, residuals + k * n + start,
                   m * sizeof(double));
        for (ptrdiff_t i = 0; i < m; ++i)
            work[codes[start + i] * SKPROJ_SAMPLES + i] += weight[i];
        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *own = work + k * SKPROJ_SAMPLES;
            double *row = hessian + k * n_classes, sum = 0.0;
            SKPROJ_SIMD(reduction(+ : sum))
            for (ptrdiff_t i = 0; i < m; ++i) {
                shares[i] = own[i] / weight[i];
                sum += own[i];
            }
            row[k] += sum;
            for (ptrdiff_t l = 0; l <= k; ++l) {
                const double *other = work + l * SKPROJ_SAMPLES;
                double product = 0.0;
                SKPROJ_SIMD(reduction(+ : product))
                for (ptrdiff_t i = 0; i < m; ++i)
                    product += shares[i] * other[i];
                row[l] -= product;
            }
        }
    }
}

/* Logistic loss of logits x + intercept; the targets are 0 or 1. */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_logistic_loss(const double *x, double intercept, const double *targets,
                     const double *weights, ptrdiff_t n, double *residuals)
{
    double value = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SAMPLES, n);
        double errors[SKPROJ_SAMPLES], part = 0.0;
        SKPROJ_SIMD(reduction(+ : part))
        for (ptrdiff_t i = start; i < stop; ++i) {
            const double sign = 1 - 2 * targets[i], margin = sign * (x[i] + intercept);
            const double decay = SKPROJ_F64(exp)(-fabs(margin));
            part += weights[i] *
                    (skproj_log1p_fraction(decay) + (margin > 0 ? margin : 0));
            errors[i - start] =
                sign * weights[i] * ((margin >= 0 ? 1 : decay) / (1 + decay));
        }
        value += part;
        if (residuals != NULL)
            memcpy(residuals + start, errors, (stop - start) * sizeof(double));
    }
    return value;
}

/* Half the squared error of logits x + intercept, linear where it exceeds epsilon. */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_huber_loss(const double *x, double intercept, const double *targets,
                  const double *weights, double epsilon, ptrdiff_t n, double *residuals)
{
    double value = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SAMPLES, n);
        double errors[SKPROJ_SAMPLES], part = 0.0;
        SKPROJ_SIMD(reduction(+ : part))
        for (ptrdiff_t i = start; i < stop; ++i) {
            const double error = x[i] + intercept - targets[i];
            const double low = error < -epsilon ? -epsilon : error; /* NaN stays NaN */
            const double clipped = low > epsilon ? epsilon : low;
            const double residual = weights[i] * clipped;
            part += residual * (error - 0.5 * clipped);
            errors[i - start] = residual;
        }
        value += part;
        if (residuals != NULL)
            memcpy(residuals + start, errors, (stop - start) * sizeof(double));
    }
    return value;
}

/* Sums of products of n numbers with a change from x to y, and of its weighted squares. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_change(const double *x, const double *y, const double *factors,
              const double *weights, ptrdiff_t n, double *products, double *squares)
{
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SUM_BLOCK) {
        const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SUM_BLOCK, n);
        double first = 0.0, second = 0.0;
        SKPROJ_SIMD(reduction(+ : first, second))
        for (ptrdiff_t i = start; i < stop; ++i) {
            const double change = y[i] - x[i];
            first += factors[i] * change;
            second += weights[i] * (change * change);
        }
        *products += first;
        *squares += second;
    }
}

#endif
