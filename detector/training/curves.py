"""The curves of a training: loss on train and dev, and the EER on dev, by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.detector.figures import COLOURS, publish_figure
from codecfake.detector.training.folder import EpochRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def publish_curves(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Publish ``history.png`` and ``history.svg`` beside ``history.csv``."""
    publish_figure(folder, "history", lambda: history_figure(history))


def history_figure(history: Sequence[EpochRecord]) -> "Figure":
    """Losses over epochs, and below them the EER on dev."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    losses, errors = figure.subplots(2, 1, sharex=True)
    epochs = [record.epoch for record in history]
    best = min(history, key=lambda record: record.dev_loss)
    style = {"marker": "o", "ms": 3, "lw": 1.4}
    losses.plot(epochs, [record.train_loss for record in history], color=COLOURS[0], label="train", **style)
    losses.plot(epochs, [record.dev_loss for record in history], color=COLOURS[1], label="dev", **style)
    errors.plot(epochs, [record.dev_eer_percent for record in history], color=COLOURS[1], **style)
    for axes in (losses, errors):
        axes.axvline(best.epoch, color="0.75", lw=0.8, zorder=0)
        axes.grid(axis="y", color="0.9")
        axes.set_ylim(bottom=0)
    losses.set(ylabel="loss", title="Training; grey: the epoch that is kept")
    losses.legend(frameon=False)
    errors.set(ylabel="EER on dev, %", xlabel="epoch")
    errors.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
