"""The `codecfake` command: every function of the product, with one example each."""

import errno
import os
import sys
from typing import Any

import typer

from codecfake.flows.commands import (
    audit,
    bench,
    build,
    codec_checks,
    codec_training,
    codecs,
    compare,
    conditions,
    corpora,
    demo,
    detector_features,
    detector_import,
    detector_scoring,
    detector_training,
    evaluation,
    export,
    import_dataset,
    pools,
    report,
    run,
)

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

app = typer.Typer(
    help="Rebuild the Codecfake deepfake-audio dataset from VCTK and AISHELL-3, and prove a detector on it.",
    pretty_exceptions_enable=False,
    add_completion=False,
    **SETTINGS,
)
corpora_app = typer.Typer(help="Check and download the source corpora.", **SETTINGS)
codecs_app = typer.Typer(help="The neural codecs.", **SETTINGS)
bench_app = typer.Typer(help="How fast this machine is, and what limits it.", **SETTINGS)
detector_app = typer.Typer(help="Detectors of other origin.", **SETTINGS)

BOTH = "--vctk VCTK-Corpus-0.92 --aishell3 data_aishell3"
COMMANDS = (
    (app, "demo", demo.demo, "codecfake demo --out codecfake-demo"),
    (corpora_app, "check", corpora.check, f"codecfake corpora check {BOTH}"),
    (corpora_app, "fetch", corpora.fetch, "codecfake corpora fetch vctk --out corpora"),
    (app, "plan", build.plan, f"codecfake plan {BOTH} --out run"),
    (app, "build", build.build, f"codecfake build {BOTH} --out run --codecs F04,F07"),
    (app, "status", run.status, "codecfake status run"),
    (app, "verify", run.verify, "codecfake verify run"),
    (app, "retry", run.retry, "codecfake retry run --reason out-of-memory"),
    (app, "compare", compare.compare, "codecfake compare run other-run --tolerance 1"),
    (codecs_app, "list", codecs.list_codecs, "codecfake codecs list"),
    (codecs_app, "describe", codecs.describe, "codecfake codecs describe F04"),
    (codecs_app, "fetch", codecs.fetch, "codecfake codecs fetch F04 --out weights"),
    (codecs_app, "check", codec_checks.check, "codecfake codecs check F04 --random-weights"),
    (codecs_app, "new", codec_checks.new, "codecfake codecs new mycodec"),
    (codecs_app, "train", codec_training.train, "codecfake codecs train F01 --data espeak --out weights"),
    (app, "audit", audit.audit, "codecfake audit run"),
    (
        app,
        "conditions",
        conditions.conditions,
        "codecfake conditions run --add opus16,amr-nb,noise-snr10,reverb",
    ),
    (app, "export", export.export, "codecfake export hf run codecfake-hf"),
    (app, "report", report.report, "codecfake report run"),
    (app, "import", import_dataset.import_dataset, "codecfake import Codecfake run"),
    (app, "splits", run.splits, "codecfake splits run --policy speaker-disjoint --seed 1"),
    (app, "train", detector_training.train, "codecfake train run --model w2v2-aasist"),
    (
        app,
        "features",
        detector_features.features,
        "codecfake features run --model w2v2-aasist --out features",
    ),
    (app, "score", detector_scoring.score, "codecfake score run --name w2v2-aasist"),
    (app, "evaluate", evaluation.evaluate, "codecfake evaluate run --name w2v2-aasist --against paper"),
    (
        detector_app,
        "import",
        detector_import.import_detector,
        "codecfake detector import anti-spoofing_feat_model.pt --out codec-w2v2-aasist",
    ),
    (
        app,
        "server",
        pools.server,
        "codecfake server --database postgresql+asyncpg://USER:PASSWORD@HOST/prefect",
    ),
    (app, "deploy", pools.deploy, "codecfake deploy --pool gpu"),
    (app, "worker", pools.worker, "codecfake worker --pool gpu --gpus 0,1"),
    (bench_app, "resynthesis", bench.resynthesis, "codecfake bench resynthesis --codecs F04 --device cpu"),
    (bench_app, "features", bench.features, "codecfake bench features --models w2v2-aasist"),
    (bench_app, "train", bench.train, "codecfake bench train --models mel-lcnn"),
    (bench_app, "io", bench.io, "codecfake bench io"),
    (app, "reproduce", build.reproduce, f"codecfake reproduce {BOTH} --out run"),
)

for group, name, function, example in COMMANDS:
    group.command(name, epilog=f"Example: {example}")(function)
app.add_typer(corpora_app, name="corpora")
app.add_typer(codecs_app, name="codecs")
app.add_typer(detector_app, name="detector")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command; errors that a user can act on are printed without a traceback."""
    from codecfake.codec_adapters import CodecError
    from codecfake.flows.interrupts import handle_interrupts, was_interrupted
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.manifests.showing import for_terminal
    from codecfake.pipeline.monitor import Stopped

    # Idle network threads would else spin, and take the cores from whatever runs beside.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Python processes that are started from here take no module from the folder one stands in: a run may be of others.
    os.environ["PYTHONSAFEPATH"] = "1"
    handle_interrupts()
    try:
        app()
    except (CodecfakeError, CodecError) as error:
        typer.echo(for_terminal(f"Error: {error}"), err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(for_terminal(f"Error: {error}"), err=True)
        if error.errno == errno.ENOSPC:
            typer.echo("Next: free space on that disk, then repeat the command; it goes on.", err=True)
        elif error.errno == errno.EMFILE:
            typer.echo("Next: ulimit -n 4096, then repeat the command; it goes on.", err=True)
        sys.exit(1)
    except (Stopped, KeyboardInterrupt):
        _say_stopped()
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # typer's own answer to a Ctrl-C that came before the work did
            _say_stopped()
        raise
    except Exception:
        if not was_interrupted():
            raise
        # In the middle of an import a Ctrl-C breaks Python's own locks, and comes out as something else.
        _say_stopped()
        sys.exit(130)


def _say_stopped() -> None:
    typer.echo("Stopped. What was published stays; the same command goes on from there.", err=True)
