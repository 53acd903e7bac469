/* Losses of linear models, over samples; an array has a row of n samples for each output.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h. The
 * derivative of a loss is written to `residuals`, which may be the place of the logits or
 * NULL.
 */
#ifndef SKPROJ_LOSSES_H
#define SKPROJ_LOSSES_H

#include "_columns.h"
#include "_exp.h"
#include "_simd.h"

/* Samples that are evaluated together: all their logits are in a cache. */
#define SKPROJ_SAMPLES 256

/* Softmax loss of logits x + intercept, which may be NULL; a target is 1 and the others of a
 * sample are 0. `work` has room for (n_classes, SKPROJ_SAMPLES). */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_softmax_loss(const double *x, const double *intercept, const double *targets,
                    const double *weights, ptrdiff_t n_classes, ptrdiff_t n,
                    double *residuals, double *work)
{
    double value = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        double largest[SKPROJ_SAMPLES], sums[SKPROJ_SAMPLES], chosen[SKPROJ_SAMPLES];
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        const double *weight = weights + start;
        double part = 0.0;

        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *row = x + k * n + start, *target = targets + k * n + start;
            const double shift = intercept == NULL ? 0 : intercept[k];
            double *logits = work + k * SKPROJ_SAMPLES;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i) {
                const double logit = row[i] + shift;
                logits[i] = logit;
                largest[i] = k == 0 || logit > largest[i] ? logit : largest[i];
                chosen[i] = target[i] > 0 ? logit : chosen[i];
            }
        }
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
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < m; ++i)
            sums[i] = weight[i] / sums[i];
        for (ptrdiff_t k = 0; residuals != NULL && k < n_classes; ++k) {
            const double *powers = work + k * SKPROJ_SAMPLES;
            const double *target = targets + k * n + start;
            double *row = residuals + k * n + start;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i)
                row[i] = powers[i] * sums[i] - weight[i] * target[i];
        }
    }
    return value;
}

/* Add `shift` to the logits of all samples, of which only the residuals are known: the
 * probabilities take the factors exp(shift). Returns the change of the loss. */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_softmax_shift(const double *shift, const double *targets, const double *weights,
                     ptrdiff_t n_classes, ptrdiff_t n, double *residuals)
{
    double change = 0.0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        double sums[SKPROJ_SAMPLES], chosen[SKPROJ_SAMPLES];
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        const double *weight = weights + start;
        double part = 0.0;

        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *target = targets + k * n + start, factor = exp(shift[k]);
            double *row = residuals + k * n + start;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i) {
                row[i] = (row[i] + weight[i] * target[i]) * factor;
                sums[i] = k == 0 ? row[i] : sums[i] + row[i];
                chosen[i] = target[i] > 0 ? shift[k] : chosen[i];
            }
        }
        SKPROJ_SIMD(reduction(+ : part))
        for (ptrdiff_t i = 0; i < m; ++i) {
            const double sum = sums[i] / weight[i]; /* from 1/e to e */
            part += weight[i] * (skproj_log_large(4 * sum) - 2 * SKPROJ_LN2 - chosen[i]);
            sums[i] = 1 / sum;
        }
        change += part;
        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *target = targets + k * n + start;
            double *row = residuals + k * n + start;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i)
                row[i] = row[i] * sums[i] - weight[i] * target[i];
        }
    }
    return change;
}

/* Second derivatives of the softmax loss by factors of one column, for each two classes:
 * the upper triangle is written. `work` has room for (n_classes + 1, SKPROJ_SAMPLES) and
 * n_classes. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_softmax_curvature(const double *column, const double *residuals,
                         const double *targets, const double *weights, ptrdiff_t n_classes,
                         ptrdiff_t n, double *out, double *work)
{
    double *scaled = work + n_classes * SKPROJ_SAMPLES, *products = scaled + SKPROJ_SAMPLES;
    memset(out, 0, n_classes * n_classes * sizeof(double));
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        const double *weight = weights + start, *own = column + start;

        for (ptrdiff_t k = 0; k < n_classes; ++k) {
            const double *target = targets + k * n + start;
            const double *row = residuals + k * n + start;
            double *masses = work + k * m, total = 0.0;
            SKPROJ_SIMD(reduction(+ : total))
            for (ptrdiff_t i = 0; i < m; ++i) {
                masses[i] = (row[i] + weight[i] * target[i]) * own[i];
                scaled[i] = masses[i] / weight[i];
                total += masses[i] * own[i];
            }
            skproj_dots_f64(work, m, k + 1, scaled, products, 1);
            for (ptrdiff_t j = 0; j <= k; ++j)
                out[j * n_classes + k] -= products[j];
            out[k * (n_classes + 1)] += total;
        }
    }
}

/* Losses of one output. The rest of the arguments sets the loss and its derivative from
 * logit, target and parameter. */
#define SKPROJ_DEFINE_LOSS(name, ...)                                                 \
    static SKPROJ_UNUSED SKPROJ_CLONES double                                         \
    name(const double *x, double intercept, const double *targets,                    \
         const double *weights, double parameter, ptrdiff_t n, double *residuals)     \
    {                                                                                 \
        double value = 0.0;                                                           \
        for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {               \
            const ptrdiff_t stop = SKPROJ_MIN(start + SKPROJ_SAMPLES, n);             \
            double errors[SKPROJ_SAMPLES], part = 0.0;                                \
            SKPROJ_SIMD(reduction(+ : part))                                          \
            for (ptrdiff_t i = start; i < stop; ++i) {                                \
                const double logit = x[i] + intercept, target = targets[i];           \
                double loss, error;                                                   \
                __VA_ARGS__                                                           \
                part += weights[i] * loss;                                            \
                errors[i - start] = weights[i] * error;                               \
            }                                                                         \
            value += part;                                                            \
            if (residuals != NULL)                                                    \
                memcpy(residuals + start, errors, (stop - start) * sizeof(double));   \
        }                                                                             \
        return value;                                                                 \
    }

/* Logistic loss; the targets are 0 or 1. */
SKPROJ_DEFINE_LOSS(skproj_logistic_loss, {
    const double sign = 1 - 2 * target, margin = sign * logit;
    const double decay = SKPROJ_F64(exp)(-fabs(margin));
    loss = skproj_log1p_fraction(decay) + (margin > 0 ? margin : 0);
    error = sign * ((margin >= 0 ? 1 : decay) / (1 + decay));
})

/* Half the squared error, linear where it exceeds the parameter. */
SKPROJ_DEFINE_LOSS(skproj_huber_loss, {
    const double difference = logit - target;
    const double low = difference < -parameter ? -parameter : difference; /* keeps NaN */
    error = low > parameter ? parameter : low;
    loss = error * (difference - 0.5 * error);
})

/* Negative log-likelihood of counts, without a constant; logits are logarithms of means. */
SKPROJ_DEFINE_LOSS(skproj_poisson_loss, {
    const double mean = logit > 708.0 ? INFINITY : SKPROJ_F64(exp)(logit);
    error = mean - target;
    loss = mean - (target > 0 && mean < INFINITY ? target * logit : 0);
})

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

/* Square roots of second derivatives of the loss of each sample: for shares (of one output,
 * or of two with the sign changed), for exponentials, or, with an epsilon, for Huber. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_roots(const double *residuals, const double *targets, const double *other,
             const double *other_targets, const double *weights, int shares,
             double epsilon, ptrdiff_t n, double *roots)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double weight = weights[i], mean = residuals[i] + weight * targets[i];
        const double factor = other == residuals
                                  ? weight - mean
                                  : other[i] + weight * other_targets[i];
        double second = shares ? mean * (factor / weight) : mean;
        if (epsilon > 0)
            second = fabs(residuals[i]) < weight * epsilon ? weight : 0;
        roots[i] = sqrt(second > 0 ? second : 0);
    }
}

/* out = exp(x), the smallest normal numbers where it is less. */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_exponentials(const double *x, ptrdiff_t n, double *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i)
        out[i] = SKPROJ_F64(exp)(x[i]);
}

#endif
