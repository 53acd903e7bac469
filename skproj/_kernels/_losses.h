/* Losses of linear models, over samples; an array has a row of n samples for each output.
 *
 * Header-only C without Python.h, compiled for several instruction sets like _simd.h. The
 * derivative of a loss is written to `residuals`, which may be the place of the logits or
 * NULL.
 */
#ifndef SKPROJ_LOSSES_H
#define SKPROJ_LOSSES_H

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
        for (ptrdiff_t k = 0; residuals != NULL && k < n_classes; ++k) {
            const double *powers = work + k * SKPROJ_SAMPLES;
            const double *target = targets + k * n + start;
            double *row = residuals + k * n + start;
            SKPROJ_SIMD()
            for (ptrdiff_t i = 0; i < m; ++i)
                row[i] = weight[i] * (powers[i] / sums[i] - target[i]);
        }
    }
    return value;
}

/* Losses of one output. `statement` sets the loss and its derivative from logit, target
 * and parameter. */
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
    loss = mean - (target > 0 ? target * logit : 0);
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

/* out = x * y */
static SKPROJ_UNUSED SKPROJ_CLONES void
skproj_multiply(const double *x, const double *y, ptrdiff_t n, double *out)
{
    SKPROJ_SIMD()
    for (ptrdiff_t i = 0; i < n; ++i)
        out[i] = x[i] * y[i];
}

/* The Cox model. Samples are in an order in which those at risk come first, stratum by
 * stratum: samples of one time follow each other, and the events of this time, a tie, end
 * at its last sample. */
enum { SKPROJ_FIRST = 1, SKPROJ_EVENT = 2, SKPROJ_CLOSES = 4 };

/* Exponentials are kept in units of exp(level), which grows where they would overflow. */
#define SKPROJ_LEVEL_RANGE 500.0

typedef struct {
    double mass, level;  /* weight times exp(logit - level) */
    double share, tied;  /* of the mass of the samples, and of the events, up to here */
    double hazard, seen; /* at the end of a tie: what it adds, and of this for its events */
    /* With u the mean of the samples at risk and v its difference from that of the events,
     * the means of a tie have the Gram matrix of root * (u + mix * v) and spread * v. */
    double root, mix, spread;
} skproj_at_risk;

/* Half the deviance; what the derivatives need is left in `samples`. */
static SKPROJ_UNUSED SKPROJ_CLONES double
skproj_cox_loss(const double *x, const ptrdiff_t *order, const double *weights,
                const double *log_weights, const unsigned char *flags, ptrdiff_t n,
                int efron, skproj_at_risk *samples)
{
    double value = 0.0, level = 0.0, sum = 0.0, tied = 0.0, weight = 0.0, logits = 0.0,
           last = 0.0;
    ptrdiff_t n_tied = 0;
    for (ptrdiff_t start = 0; start < n; start += SKPROJ_SAMPLES) {
        const ptrdiff_t m = SKPROJ_MIN(n - start, SKPROJ_SAMPLES);
        double shifted[SKPROJ_SAMPLES], masses[SKPROJ_SAMPLES];
        for (ptrdiff_t i = 0; i < m; ++i) {
            const double logit = x[order[start + i]] + log_weights[start + i];
            if (flags[start + i] & SKPROJ_FIRST || logit > level + SKPROJ_LEVEL_RANGE)
                level = logit;
            samples[start + i].level = level;
            shifted[i] = logit - level;
        }
        SKPROJ_SIMD()
        for (ptrdiff_t i = 0; i < m; ++i)
            masses[i] = SKPROJ_F64(exp)(shifted[i]);
        for (ptrdiff_t i = 0; i < m; ++i) {
            skproj_at_risk *sample = samples + start + i;
            const int flag = flags[start + i];
            if (flag & SKPROJ_FIRST)
                sum = tied = weight = logits = 0.0, n_tied = 0;
            else if (sample->level != last) {
                const double factor = SKPROJ_F64(exp)(last - sample->level);
                sum *= factor;
                tied *= factor;
                logits += weight * (last - sample->level);
            }
            last = sample->level;
            sample->mass = masses[i];
            sum += masses[i];
            sample->share = masses[i] / sum; /* at least one mass was 1 */
            sample->tied = sample->root = 0.0;
            if (flag & SKPROJ_EVENT) {
                tied += masses[i];
                sample->tied = masses[i] / tied;
                logits += weights[start + i] * (shifted[i] - log_weights[start + i]);
                weight += weights[start + i];
                n_tied += 1;
            }
            if (flag & SKPROJ_CLOSES) {
                const double mean = weight / n_tied, part = tied / sum;
                double inverses = n_tied, seen = n_tied, mixes = 0.0, squares = 0.0;
                value += weight * log(sum / weight) - logits;
                for (ptrdiff_t k = 1; efron && k < n_tied; ++k) {
                    const double place = (double)k / n_tied, left = 1 - place * part,
                                 mix = place * part / left;
                    value += mean * log(left / (1 - place));
                    inverses += mix;
                    seen += (1 - place) / left - 1;
                    mixes += mix;
                    squares += mix * mix;
                }
                squares -= mixes * (mixes / n_tied);
                sample->hazard = mean * inverses / sum;
                sample->seen = mean * seen / sum;
                sample->root = sqrt(weight);
                sample->mix = mixes / n_tied;
                sample->spread = sqrt(squares > 0 ? mean * squares : 0);
                tied = weight = logits = 0.0, n_tied = 0;
            }
        }
    }
    return value < 0 ? 0 : value; /* rounding; NaN stays NaN */
}

/* The derivative of this loss: the hazards of the times before add up, those of a tie only
 * in part for its events. */
static SKPROJ_UNUSED void
skproj_cox_residuals(const ptrdiff_t *order, const double *weights,
                     const unsigned char *flags, ptrdiff_t n,
                     const skproj_at_risk *samples, double *residuals)
{
    double hazard = 0.0, seen = 0.0;
    for (ptrdiff_t i = n - 1; i >= 0; --i) {
        const skproj_at_risk *sample = samples + i;
        if (i == n - 1 || flags[i + 1] & SKPROJ_FIRST)
            hazard = seen = 0.0;
        else if (sample->level != sample[1].level) {
            const double factor = SKPROJ_F64(exp)(sample->level - sample[1].level);
            hazard *= factor;
            seen *= factor;
        }
        if (flags[i] & SKPROJ_CLOSES) {
            seen = hazard + sample->seen;
            hazard += sample->hazard;
        }
        residuals[order[i]] = flags[i] & SKPROJ_EVENT ? sample->mass * seen - weights[i]
                                                      : sample->mass * hazard;
    }
}

/* Rows whose Gram matrix is the part of the second derivative that is due to the means of
 * columns, of the ties that end at samples from start to stop. `means` has room for two
 * numbers for each column, which are kept for the next samples. The rows, at most two for
 * each sample, are `stride` long as columns; their number is returned. */
static SKPROJ_UNUSED SKPROJ_CLONES ptrdiff_t
skproj_cox_rows(const double *const *columns, ptrdiff_t n_columns, const ptrdiff_t *order,
                const skproj_at_risk *samples, ptrdiff_t start, ptrdiff_t stop,
                double *means, ptrdiff_t stride, double *rows)
{
    enum { lanes = 4 };
    ptrdiff_t n_rows = 0;
    for (ptrdiff_t first = 0; first < n_columns; first += lanes) {
        const ptrdiff_t width = SKPROJ_MIN(n_columns - first, lanes);
        const double *column[lanes];
        double mean[lanes], tied[lanes];
        n_rows = 0;
        for (ptrdiff_t k = 0; k < lanes; ++k) {
            const ptrdiff_t place = first + SKPROJ_MIN(k, width - 1);
            column[k] = columns[place];
            mean[k] = means[2 * place];
            tied[k] = means[2 * place + 1];
        }
        for (ptrdiff_t i = start; i < stop; ++i) {
            const double share = samples[i].share, tied_share = samples[i].tied,
                         root = samples[i].root, mix = samples[i].mix,
                         spread = samples[i].spread;
            for (int k = 0; k < lanes; ++k) {
                const double entry = column[k][order[i]];
                mean[k] += share * (entry - mean[k]);
                tied[k] += tied_share * (entry - tied[k]);
            }
            if (root == 0.0)
                continue;
            for (ptrdiff_t k = 0; k < width; ++k) {
                double *row = rows + (first + k) * stride + n_rows;
                const double difference = mean[k] - tied[k];
                row[0] = root * (mean[k] + mix * difference);
                if (spread > 0.0)
                    row[1] = spread * difference;
            }
            n_rows += 1 + (spread > 0.0);
        }
        for (ptrdiff_t k = 0; k < width; ++k) {
            means[2 * (first + k)] = mean[k];
            means[2 * (first + k) + 1] = tied[k];
        }
    }
    return n_rows;
}

/* A bound of twice the second-order term of a change: the Hessian is a sum of variances
 * within the samples at risk, each of which is at most a quarter of the squared range. */
static SKPROJ_UNUSED double
skproj_cox_ranges(const double *x, const double *y, const ptrdiff_t *order,
                  const double *weights, const unsigned char *flags, ptrdiff_t n)
{
    double smallest = 0.0, largest = 0.0, weight = 0.0, sum = 0.0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double change = y[order[i]] - x[order[i]];
        if (flags[i] & SKPROJ_FIRST)
            smallest = largest = change;
        smallest = change < smallest ? change : smallest;
        largest = change > largest ? change : largest;
        weight += flags[i] & SKPROJ_EVENT ? weights[i] : 0;
        if (flags[i] & SKPROJ_CLOSES) {
            sum += weight * ((largest - smallest) * (largest - smallest));
            weight = 0.0;
        }
    }
    return 0.25 * sum;
}

#endif
