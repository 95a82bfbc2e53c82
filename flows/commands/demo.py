"""`demo`: the whole path on a machine without corpora, weights or GPU."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options

TRAINING = {"epochs": 3, "batch_size": 16}
"""Small enough for the few hundred files of the demonstration."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the corpora and the run.")] = Path("codecfake-demo"),
    no_prefect: options.NoPrefect = False,
) -> None:
    """Make synthetic corpora, build the dataset with mini codecs, train and evaluate: minutes on a CPU."""
    from codecfake.flows.running import run_reproduce
    from codecfake.flows.summaries import say, show_evaluation
    from codecfake.pipeline.config import make_config
    from codecfake.pipeline.espeak_corpora import write_espeak_corpora

    out = out.absolute()
    vctk, aishell3 = out / "corpora" / "VCTK-Corpus-0.92", out / "corpora" / "data_aishell3"
    say(f"The speech of this demonstration is synthetic, also where it stands for bona fide. Folder: {out}")
    write_espeak_corpora(vctk, aishell3)
    run = out / "run"
    settings = {"vctk": vctk, "aishell3": aishell3, "out": run, "weights": "mini"}
    config = make_config(settings)
    evaluation = run_reproduce(config, use_prefect=not no_prefect, **TRAINING)
    show_evaluation(evaluation)
    say(f"Listen: {run / 'splits' / evaluation.split / 'Codecfake'}. Next: codecfake status {run}")
