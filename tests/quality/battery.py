"""Statistics of normals by address and the probability of a false alarm: moments, tails, distribution, correlations."""

import itertools

import numpy as np
from scipy import fft
from scipy.special import log_ndtr, ndtr
from scipy.stats import binom, chi2, kstwobign, norm

# Probability that a right generator fails one test, by the asymptotic laws used; sums of high powers are not quite
# normal yet at these sizes, which makes the true probability up to six times this, still below 1e-6.
FALSE_ALARM = 1e-7
TAILS = np.arange(1.0, 5.6, 0.5)
BINS = 1 << 20
# Moments of a standard normal, 0 to 16.
MOMENT = [1.0 if k == 0 else 0.0 if k % 2 else float(np.prod(np.arange(1, k, 2))) for k in range(17)]


class Battery:
    """Takes chunks (numbers, paths), each of ``slots`` normals a generator block, and answers with probabilities."""

    def __init__(self, slots):
        self.slots, self.chunks, self.n = slots, 0, 0
        self.powers = np.zeros((slots, 9))
        self.above, self.below = np.zeros(len(TAILS), dtype=np.int64), np.zeros(len(TAILS), dtype=np.int64)
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.darling = []
        self.correlations = {}

    def add(self, x):
        self.chunks, self.n = self.chunks + 1, self.n + x.size
        planes = [x[s :: self.slots] for s in range(self.slots)]
        for s, plane in enumerate(planes):
            power = np.ones_like(plane)
            for k in range(9):
                self.powers[s, k] += power.sum()
                power *= plane
        ordered = np.sort(x, axis=None)
        self.above += ordered.size - np.searchsorted(ordered, TAILS, side="right")
        self.below += np.searchsorted(ordered, -TAILS, side="left")
        places = np.minimum((ndtr(ordered) * BINS).astype(np.int64), BINS - 1)
        self.counts += np.bincount(places, minlength=BINS)
        weights = 2.0 * np.arange(ordered.size) + 1.0
        total = (weights * (log_ndtr(ordered) + log_ndtr(-ordered[::-1]))).sum()
        self.darling.append(-ordered.size - total / ordered.size)
        self._correlate("values", planes)
        self._correlate("squares", [(plane * plane - 1.0) / np.sqrt(2.0) for plane in planes])
        return self

    def _correlate(self, name, planes):
        """Sums of products at all lags in number and path at once, slot by slot and across slots."""
        spectra = [fft.rfft2(plane) for plane in planes]
        for s, t in itertools.combinations_with_replacement(range(self.slots), 2):
            products = fft.irfft2(spectra[s] * spectra[t].conj(), s=planes[s].shape) / np.sqrt(planes[s].size)
            if s == t:
                products[0, 0] = 0.0
            key = name, s, t
            self.correlations[key] = products + self.correlations.get(key, 0.0)

    def moments(self):
        """Probability of each moment 1 to 8, of every slot."""
        n = self.n / self.slots
        order = np.arange(1, 9)
        exact = np.array([MOMENT[k] for k in order])
        spread = np.sqrt([(MOMENT[2 * k] - MOMENT[k] ** 2) / n for k in order])
        return 2.0 * norm.sf(np.abs(self.powers[:, 1:] / n - exact) / spread)

    def tails(self):
        """Probability of the number of draws beyond 1 to 5.5 sigma on either side."""
        share = norm.sf(TAILS)
        return np.array(
            [
                2.0 * np.minimum(binom.cdf(count, self.n, share), binom.sf(count - 1, self.n, share))
                for count in (self.above, self.below)
            ]
        )

    def kolmogorov_smirnov(self):
        """Probability of the largest distance of the distribution functions, looked at in 2^20 places."""
        distance = np.abs(np.cumsum(self.counts) / self.n - np.arange(1, BINS + 1) / BINS).max()
        return kstwobign.sf(distance * np.sqrt(self.n))

    def anderson_darling(self):
        """Probability of the largest statistic of a chunk.

        In the tail the law is that of half a chi-square times sqrt(3): its largest of the terms Z_j² / (j (j + 1)).
        """
        return len(self.darling) * np.sqrt(3.0) * chi2.sf(2.0 * max(self.darling), 1)

    def largest_correlation(self):
        """The largest z-score over all lags, and where: what, the two slots, and the lags in blocks and paths."""
        found = []
        for key, products in self.correlations.items():
            at = np.unravel_index(np.abs(products).argmax(), products.shape)
            found.append((float(np.abs(products[at]) / np.sqrt(self.chunks)), key, tuple(int(i) for i in at)))
        return max(found)

    def correlation_limit(self):
        """The z-score that all lags together pass with the probability of a false alarm."""
        lags = sum(products.size for products in self.correlations.values())
        return float(norm.isf(FALSE_ALARM / lags / 2.0))
