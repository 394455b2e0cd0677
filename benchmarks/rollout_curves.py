"""How often a good canary is rolled back, and how soon a bad one: fairlead's judge and other rules on equal streams.

    python benchmarks/rollout_curves.py                    # 10,000 rollouts of each kind; some minutes
    python benchmarks/rollout_curves.py --runs 1000
    python benchmarks/rollout_curves.py --output benchmarks/results

Requests arrive one after another; each goes to the canary with the share's chance, and fails with its version's. Every
rule looks after every 20 requests, which is continuous peeking. No rule knows the rates, but for Wald's test.

    fairlead    the success_rate check with margin 0, alpha 0.05, knowing 1,000 earlier requests of the stable version
    threshold   the rule that Flagger's documentation starts from: of every 100 canary requests at least 99 % succeed;
                rolled back at the fifth check that fails. It does not look at the stable version
    t-test      Welch's t-test of the failures, one-sided at 0.05, looked at each time once the canary has 30 requests
    Wald        the sequential probability ratio test of these two rates, both known: no rule can be quicker

The bound is log(1/alpha) over the information of a request (Wald 1945, "Sequential Tests of Statistical Hypotheses"):
once with the stable version's rate known, and once for those who must learn it from the concurrent requests, whose
information is the smallest divergence from any equal pair of rates.
"""

import argparse
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from fairlead import plots
from fairlead.deployment.rates import mixture, rate_gains

ALPHA, STABLE, BAD = 0.05, 0.01, 0.05
LOOK, EARLIER, PRIOR = 20, 1_000, 0.18
CHECK, PASSING, FAILED_CHECKS = 100, 0.99, 5
FIRST_T_TEST = 30

Array = NDArray[np.float64]
Rule = Callable[[Array, Array], Array]
"""Takes a block of each run, (4, R): canary's failures and successes, stable's failures and successes, and what is seen
with it; tells which runs it would roll back now, bool (R,)."""


@dataclass(frozen=True)
class Curve:
    """How one rule did on the runs of one scenario.

    Attributes:
        stopped: Canary requests until it rolled back, (R,); infinite where it never did.
    """

    stopped: Array

    def rolled_back(self, within: float = np.inf) -> float:
        """The share of the runs that were rolled back within so many canary requests."""
        return float(np.mean((self.stopped <= within) & np.isfinite(self.stopped)))

    def mean(self, horizon: int) -> float:
        """The mean canary requests until the rollback; runs that were never rolled back count the horizon."""
        return float(np.mean(np.minimum(self.stopped, horizon)))


class Fairlead:
    """The judge's rate comparison, for all runs at once."""

    def __init__(self, runs: int, earlier: Array) -> None:
        self.parts: Any = 0.0
        self.margin, self.earlier = np.zeros(runs), earlier

    def __call__(self, block: Array, seen: Array) -> Array:
        """See `Rule`."""
        before = seen - block
        canary = (before[0] + PRIOR) / (before[:2].sum(axis=0) + 2 * PRIOR)
        known = before[2:] + self.earlier
        stable = (known[0] + PRIOR) / (known.sum(axis=0) + 2 * PRIOR)
        gains = rate_gains(block, canary, stable, self.margin)
        both = (block[:2].sum(axis=0) > 0) & (block[2:].sum(axis=0) > 0)
        self.parts = self.parts + np.where(both, gains, 0.0)
        return np.asarray(mixture(self.parts)[0] >= -log(ALPHA))


class Threshold:
    """A fixed demand on each interval, and a number of intervals that may miss it."""

    def __init__(self, runs: int) -> None:
        self.bad, self.total, self.failed = np.zeros(runs), np.zeros(runs), np.zeros(runs)

    def __call__(self, block: Array, _seen: Array) -> Array:
        """See `Rule`."""
        self.bad, self.total = self.bad + block[0], self.total + block[:2].sum(axis=0)
        due = self.total >= CHECK
        self.failed += due & (1 - self.bad / np.maximum(self.total, 1) < PASSING)
        self.bad, self.total = np.where(due, 0, self.bad), np.where(due, 0, self.total)
        return np.asarray(self.failed >= FAILED_CHECKS)


def t_test(_block: Array, seen: Array) -> Array:
    """Welch's test; for these counts the t distribution is the normal one."""
    canary, stable = seen[:2].sum(axis=0), seen[2:].sum(axis=0)
    enough = (canary >= FIRST_T_TEST) & (stable > 0)
    p, q = seen[0] / np.maximum(canary, 1), seen[2] / np.maximum(stable, 1)
    spread = np.sqrt(p * (1 - p) / np.maximum(canary - 1, 1) + q * (1 - q) / np.maximum(stable - 1, 1))
    return np.asarray(enough & (spread > 0) & (p - q > norm.ppf(1 - ALPHA) * spread))


class Wald:
    """The likelihood ratio of the two known rates."""

    def __init__(self, runs: int) -> None:
        self.log_ratio = np.zeros(runs)

    def __call__(self, block: Array, _seen: Array) -> Array:
        """See `Rule`."""
        self.log_ratio += block[0] * log(BAD / STABLE) + block[1] * log((1 - BAD) / (1 - STABLE))
        return np.asarray(self.log_ratio >= -log(ALPHA))


def simulate(canary: float, share: float, runs: int, horizon: int, seed: int) -> dict[str, Curve]:
    """Lets every rule judge the same rollouts.

    Args:
        canary: Its rate of failures.
        share: Its share of the requests.
        runs: Rollouts.
        horizon: Canary requests after which a rollout ends.
        seed: Of the streams.

    Returns:
        A curve of each rule.
    """
    chance = np.random.default_rng(seed)
    bad = chance.binomial(EARLIER, STABLE, runs)
    rules: dict[str, Rule] = {
        "fairlead": Fairlead(runs, np.array([bad, EARLIER - bad], dtype=np.float64)),
        "threshold": Threshold(runs), "t-test": t_test, "Wald": Wald(runs),
    }  # fmt: skip
    stopped = {name: np.full(runs, np.inf) for name in rules}
    seen = np.zeros((4, runs))
    for _ in range(int(horizon / share / LOOK)):
        block = _block(chance, canary, share, runs)
        seen += block
        for name, rule in rules.items():
            now = rule(block, seen) & np.isinf(stopped[name])
            stopped[name][now] = seen[:2].sum(axis=0)[now]
        if all(np.isfinite(times).all() for times in stopped.values()):
            break
    return {name: Curve(times) for name, times in stopped.items()}


def _block(chance: np.random.Generator, canary: float, share: float, runs: int) -> Array:
    asked = chance.binomial(LOOK, share, runs)
    bad, worse = chance.binomial(asked, canary), chance.binomial(LOOK - asked, STABLE)
    return np.array([bad, asked - bad, worse, LOOK - asked - worse], dtype=np.float64)


def divergence(p: float, q: float) -> float:
    """The Kullback-Leibler divergence of two Bernoulli distributions, in nats."""
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def bounds(share: float) -> tuple[float, float]:
    """Canary requests that BAD against STABLE takes at least: with STABLE known, and where it must be learnt."""
    ratio = (1 - share) / share
    shared = partial(_information, ratio=ratio)
    least = minimize_scalar(shared, bounds=(STABLE, BAD), method="bounded").fun
    return -log(ALPHA) / divergence(BAD, STABLE), -log(ALPHA) / float(least)


def _information(equal: float, ratio: float) -> float:
    return divergence(BAD, equal) + ratio * divergence(STABLE, equal)


def describe(share: float, good: dict[str, Curve], bad: dict[str, Curve], horizon: int) -> list[str]:
    """The figures of one share, as lines."""
    known, learnt = bounds(share)
    least = f"at least {known:.0f} canary requests with the stable rate known, {learnt:.0f} where it must be learnt"
    heads = f"{'rolled back if as good':>24} {'found if bad':>13} {'mean requests':>14} {'x known':>8} {'x learnt':>9}"
    lines = [f"canary's share {share:.0%}; {least}", f"  {'rule':10} {heads}"]
    for name, curve in bad.items():
        mean = curve.mean(horizon)
        rates = f"{good[name].rolled_back():24.2%} {curve.rolled_back():13.2%}"
        lines.append(f"  {name:10} {rates} {mean:14.0f} {mean / known:8.2f} {mean / learnt:9.2f}")
    return [*lines, f"  within {horizon} canary requests", ""]


def draw(good: dict[str, Curve], bad: dict[str, Curve], horizon: int, path: Path) -> None:
    """Writes the chart: how many rollouts each rule ended, by the canary's requests."""
    figure, (left, right) = plots.panels(1, 2, width=10, height=3.8)
    for axes, curves, most in ((left, good, horizon), (right, bad, 600)):
        grid = np.linspace(0, most, 200)
        for name, curve in curves.items():
            plots.line(axes, grid, [curve.rolled_back(n) for n in grid], label=name, dashed=name == "Wald")
        axes.set_ylim(0, 1)
    left.axhline(ALPHA, color=plots.GRID, linewidth=1, linestyle=":")
    plots.label(
        left, x="canary requests", y="share rolled back", title=f"A canary as good as stable ({STABLE:.0%} errors)"
    )
    plots.label(right, x="canary requests", y="share rolled back", title=f"A bad canary ({BAD:.0%} errors)")
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


def main() -> None:
    """Simulates, prints, and writes table and chart where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="rollouts of each kind")
    parser.add_argument("--horizon", type=int, default=2_000, help="canary requests of a rollout")
    parser.add_argument("--output", type=Path, help="folder for rollout_curves.txt and rollout_curves.svg")
    options = parser.parse_args()
    lines = [f"{options.runs} rollouts of each kind, alpha {ALPHA}, {STABLE:.0%} against {BAD:.0%} errors", ""]
    for seed, share in enumerate((0.05, 0.25, 0.5)):
        good = simulate(STABLE, share, options.runs, options.horizon, 2 * seed)
        bad = simulate(BAD, share, options.runs, options.horizon, 2 * seed + 1)
        lines += describe(share, good, bad, options.horizon)
        sys.stderr.write(f"share {share:.0%} done\n")
        if options.output and share == 0.25:
            draw(good, bad, options.horizon, options.output / "rollout_curves.svg")
    lines.append(f"Python {platform.python_version()}, numpy {np.__version__}; figures do not depend on the machine.")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if options.output:
        (options.output / "rollout_curves.txt").write_text(text)


if __name__ == "__main__":
    main()
