"""Is the canary's mean higher, judged as often as one likes? An asymptotic confidence sequence for a difference.

For latencies, sizes, costs: anything with a mean that is no count. After n observations of both sides together the
difference of the means lies within

    σ̂ · sqrt( 2(nρ² + 1) / (n²ρ²) · ln( sqrt(nρ² + 1) / α ) )

of its estimate, for all n at once with probability 1 − α, in the limit of large samples: hence a warm-up of 100 a side.
ρ is chosen so that the interval is narrowest at `tuned_for` observations; there it is 1.55 times as wide as a fixed
95 % interval. σ̂² = n · (s²ₓ/nₓ + s²ᵧ/nᵧ), the variance of the difference, scaled to one observation.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory (2021, arXiv 2103.06476),
theorem 2.2; definitions.md E3(c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from interlock.judge.sequential import ALPHA, Finding

SAMPLES_MIN = 100
TUNED_FOR = 5_000
TOLERATED = 0.1


@dataclass(frozen=True, slots=True)
class Moments:
    """A sample as its number, mean and sum of squared distances from the mean: two of them add up."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def plus(self, other: Moments) -> Moments:
        """Both samples together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * other.count / count
        return Moments(count, mean, self.squares + other.squares + apart * apart * self.count * other.count / count)

    @property
    def variance(self) -> float:
        """Unbiased; 0 below two values."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


def moments_of(values: list[float] | tuple[float, ...]) -> Moments:
    """A sample's moments."""
    if not values:
        return Moments()
    mean = math.fsum(values) / len(values)
    return Moments(len(values), mean, math.fsum((one - mean) ** 2 for one in values))


@dataclass(frozen=True, slots=True)
class Averaging:
    """How means are judged.

    Takes: `higher_is_worse`. `tolerated`: safe when the mean is worse by less than this part of the baseline's.
           `samples_max` of both sides together, after which nothing more is waited for.
    """

    alpha: float = ALPHA
    higher_is_worse: bool = True
    tolerated: float = TOLERATED
    samples_min: int = SAMPLES_MIN
    samples_max: int | None = None
    tuned_for: int = TUNED_FOR


@dataclass(frozen=True, slots=True)
class Difference:
    """What two samples say: the difference of their means, canary less baseline, with its interval."""

    finding: Finding
    estimate: float
    low: float
    high: float
    reason: str


def compare_means(canary: Moments, baseline: Moments, how: Averaging) -> Difference:
    """The difference so far.

    Takes: everything seen since the comparison began; the caller stops at the first final finding.
    Fails: never.
    """
    n = canary.count + baseline.count
    said = f"mean {canary.mean:.4g} of {canary.count:,}, baseline {baseline.mean:.4g} of {baseline.count:,}"
    estimate = canary.mean - baseline.mean
    if min(canary.count, baseline.count) < max(how.samples_min, 2):
        return Difference(Finding.RUNNING, estimate, -math.inf, math.inf, f"{said}: too few to say anything.")
    variance = n * (canary.variance / canary.count + baseline.variance / baseline.count)
    margin = math.sqrt(variance) * _half_width(n, how)
    low, high = estimate - margin, estimate + margin
    worse_low, worse_high = (low, high) if how.higher_is_worse else (-high, -low)
    if worse_low > 0:
        finding = Finding.HARMFUL
    elif worse_high < how.tolerated * abs(baseline.mean):
        finding = Finding.SAFE
    elif how.samples_max is not None and n >= how.samples_max:
        finding = Finding.INCONCLUSIVE
    else:
        finding = Finding.RUNNING
    percent = f"{(1 - how.alpha) * 100:.4g} %"
    reason = f"{said}: the difference is between {low:.4g} and {high:.4g}, with {percent} confidence at every look."
    return Difference(finding, estimate, low, high, reason)


def _half_width(n: int, how: Averaging) -> float:
    """The half-width of the interval, in standard deviations."""
    log_alpha = math.log(how.alpha)
    rho2 = (-2 * log_alpha + math.log(1 - 2 * log_alpha)) / how.tuned_for
    scaled = n * rho2 + 1
    return math.sqrt(2 * scaled / (n * n * rho2) * math.log(math.sqrt(scaled) / how.alpha))
