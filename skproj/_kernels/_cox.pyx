"""The Cox loss of survival times: a sum over the samples at risk at each event."""

from libc.math cimport INFINITY, NAN, exp, fmax, log, sqrt
from libc.stdlib cimport calloc, free, malloc

import numpy as np

from ._losses cimport In, Loss, add_gram, copy_triangle, tile_of


cdef extern from "_losses.h" nogil:
    void exponentials "skproj_exponentials" (In x, Py_ssize_t n, double* out) noexcept


# Samples of the Cox model are in an order in which those at risk come first, stratum
# by stratum: those of one time are together, and its events, a tie, end at the last.
cdef enum:
    FIRST = 1
    EVENT = 2
    CLOSES = 4

cdef struct AtRisk:
    double mass, level   # weight times exp(logit - level)
    double share, tied   # of the mass of all samples up to here, and of the events
    double hazard, seen  # at the end of a tie: what it adds, also that for its events
    # With u the mean of columns at risk and v its difference from that of the events,
    # the means of a tie have the Gram matrix of root * (u + mix * v) and spread * v.
    double root, mix, spread


# The level of logits grows where exponentials would overflow.
cdef double LEVEL_RANGE = 500.0


cdef class Cox(Loss):
    """Half the deviance of the Cox model; the targets are events and times.

    They are a structured array with the fields `event` and `time`, as `read_target`
    returns it, with at least one event. `ties` is "breslow" or "efron". The partial
    likelihoods of the `strata` add up. The sum over the events is divided by the weight
    of all samples. A shift of all the logits changes nothing: there is no intercept to
    fit, only the columns of a `basis`.
    """

    # Only events count, and the order of few events is soon fitted without an error.
    min_slope_share = 0.05

    cdef:
        const Py_ssize_t[::1] order
        const double[::1] ordered_weights, log_weights
        const unsigned char[::1] flags
        bint efron

    def __init__(self, targets, weights, ties="breslow", offset=None, strata=None):
        event, time = targets["event"], targets["time"]
        codes = np.zeros(len(time), dtype=np.intp)
        if strata is not None:
            codes = np.unique(strata, return_inverse=True)[1]
        order = np.lexsort((-time, codes))
        event, time, codes = event[order], time[order], codes[order]
        first = np.diff(codes, prepend=-1) != 0
        last_of_time = np.append(first[1:] | (np.diff(time) != 0.0), True)
        closes = np.zeros(len(time), dtype=bool)
        closes[last_of_time] = np.diff(event.cumsum()[last_of_time], prepend=0) > 0
        flags = FIRST * first + EVENT * event + CLOSES * closes
        Loss.__init__(self, targets["event"][:, np.newaxis], weights, False, offset)
        self.arguments = (targets, weights, ties, offset, strata)
        self.order, self.efron, self.curvature = order, ties == "efron", INFINITY
        self.flags = flags.astype(np.uint8)
        self.ordered_weights = np.asarray(self.weights)[order]
        self.log_weights = np.log(self.ordered_weights)

    cdef AtRisk* at_risk(self, const double* logits, double* value) noexcept nogil:
        """Return what the derivatives need of the samples, and the value."""
        cdef:
            Py_ssize_t n = self.n_samples, i, k, n_tied = 0
            AtRisk* samples = <AtRisk*>malloc(n * (sizeof(AtRisk) + sizeof(double)))
            AtRisk* sample = samples
            double* masses = <double*>(samples + n)
            double level = 0.0, total = 0.0, tied = 0.0, weight = 0.0, events = 0.0
            double logit, rise, mean, place, left, mix, mixes, squares
        value[0] = 0.0 if samples != NULL else NAN
        for i in range(n if samples != NULL else 0):
            logit = logits[self.order[i]] + self.log_weights[i]
            if self.flags[i] & FIRST or logit > level + LEVEL_RANGE:
                level = logit
            samples[i].level, masses[i] = level, logit - level
        exponentials(masses, n if samples != NULL else 0, masses)
        for i in range(n if samples != NULL else 0):
            sample = samples + i
            if self.flags[i] & FIRST:
                total = 0.0
            elif sample.level != samples[i - 1].level:
                rise = sample.level - samples[i - 1].level
                total *= exp(-rise)
                tied *= exp(-rise)
                events -= weight * rise
            total += masses[i]  # at least 1, when there was a level
            sample.mass, sample.share = masses[i], masses[i] / total
            sample.tied = sample.root = 0.0
            if self.flags[i] & EVENT:
                tied += masses[i]
                sample.tied = masses[i] / tied if tied > 0.0 else 0.0
                weight += self.ordered_weights[i]
                events += self.ordered_weights[i] * (
                    logits[self.order[i]] - sample.level
                )
                n_tied += 1
            if self.flags[i] & CLOSES:
                mean, mixes, squares = weight / n_tied, 0.0, 0.0
                value[0] += weight * (log(total) - log(weight)) - events
                sample.seen = n_tied
                for k in range(1, n_tied if self.efron else 1):
                    place = <double>k / n_tied
                    left = 1.0 - place * (tied / total)
                    mix = 1.0 / left - 1.0
                    value[0] += mean * log(left / (1.0 - place))
                    sample.seen += (1.0 - place) / left - 1.0
                    mixes += mix
                    squares += mix * mix
                sample.seen *= mean / total
                sample.hazard = mean * (n_tied + mixes) / total
                sample.root, sample.mix = sqrt(weight), mixes / n_tied
                sample.spread = sqrt(fmax(mean * (squares - mixes * sample.mix), 0.0))
                tied = weight = events = 0.0
                n_tied = 0
        value[0] = 0.0 if value[0] < 0.0 else value[0]  # rounding; NaN stays NaN
        return samples

    cdef double at(self, In products, In intercept, double* residuals) noexcept nogil:
        cdef:
            Py_ssize_t n = self.n_samples, i
            double value, hazard = 0.0, seen = 0.0
            AtRisk* samples = self.at_risk(products, &value)
        # The hazards of the times before add up; events see a part of their tie.
        for i in range(n - 1, -1 if samples != NULL and residuals != NULL else n, -1):
            if i < n - 1 and self.flags[i + 1] & FIRST:
                seen = hazard = 0.0
            elif i < n - 1 and samples[i].level != samples[i + 1].level:
                seen *= exp(samples[i].level - samples[i + 1].level)
                hazard *= exp(samples[i].level - samples[i + 1].level)
            if self.flags[i] & CLOSES:
                seen = hazard + samples[i].seen
                hazard += samples[i].hazard
            residuals[self.order[i]] = samples[i].mass * hazard
            if self.flags[i] & EVENT:
                residuals[self.order[i]] = (
                    samples[i].mass * seen - self.ordered_weights[i]
                )
        free(samples)
        return value

    cdef double linear_term(self, In products, In new_products, In intercept,
                            In residuals, double* bound) noexcept nogil:
        # The Hessian is a sum of variances within the samples at risk, each of which is
        # at most a quarter of the squared range.
        cdef:
            double linear = Loss.linear_term(
                self, products, new_products, intercept, residuals, bound)
            double change, smallest = 0.0, largest = 0.0, weight = 0.0
            Py_ssize_t i
        bound[0] = 0.0
        for i in range(self.n_samples):
            change = new_products[self.order[i]] - products[self.order[i]]
            if self.flags[i] & FIRST:
                smallest = largest = change
            smallest, largest = min(smallest, change), max(largest, change)
            weight += self.ordered_weights[i] if self.flags[i] & EVENT else 0.0
            if self.flags[i] & CLOSES:
                bound[0] += 0.125 * weight * (largest - smallest) ** 2
                weight = 0.0
        return linear

    cdef Py_ssize_t means(self, In column, const AtRisk* samples, Py_ssize_t start,
                          Py_ssize_t stop, double* mean, double* rows) noexcept nogil:
        """Write a column of rows that are due to ties which end at these samples.

        The mean of the samples at risk and that of the events are kept for the next.
        """
        cdef:
            Py_ssize_t i, n_rows = 0
            double entry, at_risk = mean[0], tied = mean[1]
        for i in range(start, stop):
            entry = column[self.order[i]]
            at_risk += samples[i].share * (entry - at_risk)
            tied += samples[i].tied * (entry - tied)
            if samples[i].root > 0.0:
                rows[n_rows] = samples[i].root * (
                    at_risk + samples[i].mix * (at_risk - tied)
                )
                n_rows += 1
                if samples[i].spread > 0.0:
                    rows[n_rows] = samples[i].spread * (at_risk - tied)
                    n_rows += 1
        mean[0], mean[1] = at_risk, tied
        return n_rows

    cdef int hessian(self, const double* const* columns, Py_ssize_t m, In products,
                     In intercept, In residuals, double* out) noexcept nogil:
        # That of independent hazards minus what is due to the means of those at risk.
        cdef:
            Py_ssize_t n = self.n_samples, part, i, n_rows = 0
            Py_ssize_t tile = tile_of(m, n)
            int failed = Loss.hessian(
                self, columns, m, products, intercept, residuals, out)
            double* logits = <double*>calloc(n + 2 * m * (1 + tile), sizeof(double))
            double* means = logits + n
            double* rows = means + 2 * m
            double value
            AtRisk* samples = NULL
        if logits != NULL:
            self.add_offsets(products, intercept, logits)
            samples = self.at_risk(logits, &value)
        failed |= samples == NULL
        for part in range(0 if failed else (n + tile - 1) // tile):
            for i in range(m):
                n_rows = self.means(columns[i], samples, part * tile,
                                    min((part + 1) * tile, n), means + 2 * i,
                                    rows + 2 * tile * i)
            if n_rows > 0:
                add_gram(rows, 2 * tile, n_rows, m, -1.0, 1.0, out)
        copy_triangle(out, m, 1, 0, 0, 1.0, out)
        free(samples)
        free(logits)
        return failed
