"""DET curves and score histograms."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from codecfake.detector.evaluation.scored_trials import ScoredTrials, group_by_setting
from codecfake.detector.figures import COLOURS, publish_figure
from codecfake.detector.metrics import RankedScores, rank_scores
from codecfake.manifests.labels import Label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", "--", ":", "-.")
TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)
CURVE_POINTS = 2_000
BINS = 60
PANELS_PER_ROW = 4


def publish_figures(folder: Path, parts: Sequence[ScoredTrials]) -> None:
    """Publish ``evaluation.det`` and ``evaluation.scores`` as PNG and SVG, and the same for every robustness setting.

    Args:
        folder: Folder to publish into.
        parts: The trials of dev and every condition; each has both classes.
    """
    for setting, group in group_by_setting(parts).items():
        publish_figure(folder, figure_name("det", setting), lambda group=group: det_figure(group))
        publish_figure(folder, figure_name("scores", setting), lambda group=group: histogram_figure(group))


def figure_name(kind: str, setting: str) -> str:
    """Name of a published figure without its ending: ``evaluation.det``, ``evaluation.det.opus16``."""
    return ".".join(filter(None, ("evaluation", kind, setting)))


def det_figure(parts: Sequence[ScoredTrials]) -> "Figure":
    """Miss rate over false alarm rate on probit axes, where normal scores give straight lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.set_box_aspect(1)
    for index, part in enumerate(parts):
        ranked = rank_scores(part.of(Label.BONA_FIDE), part.of(Label.SPOOF))
        false_alarm, miss = det_points(ranked)
        style = {"color": COLOURS[index % len(COLOURS)], "ls": DASHES[index // len(COLOURS) % len(DASHES)]}
        axes.plot(probit(false_alarm), probit(miss), label=part.name, lw=1.4, **style)
    ends = probit(np.array([TICKS[0], TICKS[-1]]))
    axes.plot(ends, ends, color="0.75", lw=0.8, zorder=0)
    ticks = probit(np.array(TICKS))
    labels = [f"{100 * tick:g}" for tick in TICKS]
    axes.set(
        xlim=ends, ylim=ends, title="DET curves; grey: equal errors\n(0 and 100 % are drawn at half a trial)"
    )
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlabel("false alarm rate: spoof accepted, %")
    axes.set_ylabel("miss rate: bona fide rejected, %")
    axes.grid(lw=0.3)
    figure.legend(loc="outside right center", frameon=False, ncols=1 + len(parts) // 24)
    return figure


def det_points(ranked: RankedScores) -> tuple[np.ndarray, np.ndarray]:
    """False alarm and miss rates where the curve bends, thinned evenly, kept off 0 and 1 by half a trial."""
    miss, false_alarm = ranked.miss_rates, ranked.false_alarm_rates
    bends = np.ones(miss.size, dtype=bool)
    bends[1:-1] = (np.diff(miss)[:-1] != np.diff(miss)[1:]) | (
        np.diff(false_alarm)[:-1] != np.diff(false_alarm)[1:]
    )
    points = np.flatnonzero(bends)
    if points.size > CURVE_POINTS:
        # Even along the curve as it is drawn, so that the rare errors in its corners stay.
        steps = np.hypot(
            *(np.diff(probit(_off_the_ends(rate[points], count))) for rate, count in _axes(ranked))
        )
        length = np.concatenate([[0.0], np.cumsum(steps)])
        wanted = np.searchsorted(length, np.linspace(0, length[-1], CURVE_POINTS))
        points = points[np.unique(np.minimum(wanted, points.size - 1))]
    (false_alarm, spoof), (miss, bona_fide) = _axes(ranked)
    return _off_the_ends(false_alarm[points], spoof), _off_the_ends(miss[points], bona_fide)


def _axes(ranked: RankedScores) -> tuple[tuple[np.ndarray, int], tuple[np.ndarray, int]]:
    return (ranked.false_alarm_rates, ranked.spoof), (ranked.miss_rates, ranked.bona_fide)


def _off_the_ends(rates: np.ndarray, trials: int) -> np.ndarray:
    return np.clip(rates, 0.5 / trials, 1 - 0.5 / trials)


def probit(rates: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal distribution for rates strictly between 0 and 1."""
    quantile = NormalDist().inv_cdf
    distinct, where = np.unique(rates, return_inverse=True)
    return np.array([quantile(rate) for rate in distinct.tolist()])[where]


def histogram_figure(parts: Sequence[ScoredTrials]) -> "Figure":
    """Share of each class per bin of scores, one panel per set of trials, on a logarithmic scale."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    per_row = min(PANELS_PER_ROW, len(parts))
    rows = math.ceil(len(parts) / per_row)
    figure = Figure(figsize=(2.6 * per_row + 0.6, 2.1 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, per_row, sharex=True, sharey=True, squeeze=False)
    scores = np.concatenate([part.scores for part in parts])
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    classes = ((Label.BONA_FIDE, "bona fide", COLOURS[0], "-"), (Label.SPOOF, "spoof", COLOURS[1], "--"))
    for axes, part in zip(panels.flat, parts, strict=False):
        for label, name, colour, dash in classes:
            counts = np.histogram(part.of(label), edges)[0]
            share = 100 * counts / counts.sum()
            axes.stairs(share, edges, color=colour, label=name, fill=True, alpha=0.25)
            axes.stairs(share, edges, color=colour, ls=dash, lw=1.1)
        axes.set_title(part.name, fontsize=9)
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    for axes in panels.flat[len(parts) :]:
        axes.set_visible(False)
    figure.supxlabel("score, higher = bona fide")
    figure.supylabel("% of the class per bin")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
    )
    return figure
