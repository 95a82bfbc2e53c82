"""Importing everything that the commands import, so that forked copies of this process need not."""

import gc
import importlib
import pkgutil
import sys
import warnings

PACKAGES = ("codec_adapters", "detector", "flows.commands", "manifests", "pipeline")
APART = ("bench", "upstream")
"""Parts that the commands under test do not use, and that import much."""
LIBRARIES = (
    "codecfake.flows.running",
    "codecfake.flows.summaries",
    "lightning_fabric",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.font_manager",
    "matplotlib.figure",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "rich.progress",
    "safetensors.torch",
    "soundfile",
    "soxr",
    "torch.utils.tensorboard",
    "typer.testing",
)


def warm_up() -> None:
    """Import what is there; run nothing, for the copies of a process with threads are not whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            if importlib.util.find_spec(name.partition(".")[0]):
                importlib.import_module(name)
        importlib.import_module("codecfake.flows.cli")
        for package in PACKAGES:
            top = importlib.import_module(f"codecfake.{package}")
            for module in pkgutil.walk_packages(top.__path__, f"{top.__name__}."):
                if not set(APART) & set(module.name.split(".")):
                    importlib.import_module(module.name)
    import torch

    torch.set_num_threads(1)
    from codecfake.pipeline import shards

    shards.MINIMUM_UTTERANCES, shards.MAXIMUM_UTTERANCES = 2, 3
    from codecfake.detector import feature_cache, feature_computing, feature_shards, feature_writing

    for module in (feature_cache, feature_computing, feature_shards, feature_writing):
        module.UTTERANCES_PER_SHARD = 4
    gc.collect()
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
