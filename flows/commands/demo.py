"""`demo`: the whole path on a machine without corpora, weights or GPU."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options

TRAINING = {"epochs": 3, "batch_size": 16}
"""Small enough for the few hundred files of the demonstration."""
CONDITIONS = "opus16,amr-nb,noise-snr10,reverb"
CONDITIONS_OF = "C1,C7"
"""What the robustness conditions are derived from."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the corpora and the run.")] = Path("codecfake-demo"),
    no_prefect: options.NoPrefect = False,
) -> None:
    """Make synthetic corpora, build the dataset with mini codecs, train, evaluate, report, export: minutes on a CPU."""
    from codecfake.flows.commands import audit, conditions, detector_scoring, evaluation, export, report
    from codecfake.flows.running import run_reproduce
    from codecfake.flows.summaries import say
    from codecfake.pipeline.config import make_config
    from codecfake.pipeline.espeak_corpora import write_espeak_corpora

    out = out.absolute()
    vctk, aishell3 = out / "corpora" / "VCTK-Corpus-0.92", out / "corpora" / "data_aishell3"
    say(f"The speech of this demonstration is synthetic, also where it stands for bona fide. Folder: {out}")
    write_espeak_corpora(vctk, aishell3)
    run = out / "run"
    settings = {"vctk": vctk, "aishell3": aishell3, "out": run, "weights": "mini"}
    config = make_config(settings)
    run_reproduce(config, use_prefect=not no_prefect, **TRAINING)
    conditions.conditions(run, add=CONDITIONS, codecs=CONDITIONS_OF)
    detector_scoring.score(run)
    evaluation.evaluate([run])
    audit.audit(run)
    for layout in export.Format:
        export.export(layout, run, out / "exports" / layout.value)
    report.report(run)
    say(f"All files: {out}. Next: codecfake status {run}")
