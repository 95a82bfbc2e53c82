"""What a worker does with the names of blocks, and what it refuses to start on."""

import shutil

import pytest
from run_helpers import build_here, cut_small_shards, settings, tree

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.build import build
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.worker_blocks import run_named_blocks


@pytest.fixture
def begun(corpora, outside, tmp_path, monkeypatch):
    """A build that handed its blocks to nobody: the names of the blocks and the corpus roots."""
    cut_small_shards(monkeypatch)
    config = settings(corpora, outside, tmp_path / "run")
    seen = []

    def hand_out(job, blocks, monitor):
        seen.append((job.roots, [block.name for block in blocks]))
        return ["handed out"]

    with pytest.raises(CodecfakeError, match="handed out"):
        build(config, Monitor(), hand_out)
    return config, *seen[0]


def test_workers_together_make_what_one_build_makes(begun, corpora, outside, tmp_path):
    config, roots, names = begun
    reports = [run_named_blocks(config.out, part, roots, Monitor()) for part in (names[::2], names[1::2])]
    assert sum(report.shards for report in reports) == len(names)
    assert build_here(config).shards_done == 0
    alone = settings(corpora, outside, tmp_path / "alone")
    build_here(alone)
    audio = {
        out: {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.wav")}
        for out in (config.out, alone.out)
    }
    assert audio[config.out] == audio[alone.out]


def test_published_shards_are_not_done_again(begun):
    config, roots, names = begun
    run_named_blocks(config.out, names[:2], roots, Monitor())
    before = tree(config.out)
    assert run_named_blocks(config.out, names[:2], roots, Monitor()).shards == 0
    assert tree(config.out) == before


def test_a_worker_without_the_corpora_publishes_nothing(begun, tmp_path):
    config, roots, names = begun
    with pytest.raises(CodecfakeError, match="the corpora are not mounted here"):
        run_named_blocks(config.out, names, dict.fromkeys(roots, tmp_path / "absent"), Monitor())
    assert not list(config.out.rglob("shard.json"))


def test_another_copy_of_a_corpus_is_noticed(begun, tmp_path):
    config, roots, names = begun
    copies = {corpus: shutil.copytree(root, tmp_path / corpus) for corpus, root in roots.items()}
    for path in copies["vctk"].rglob("*.flac"):
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CodecfakeError, match="is another file here than in the source manifest"):
        run_named_blocks(config.out, names, copies, Monitor())


def test_other_weights_are_refused(begun, outside):
    import torch
    from safetensors.torch import save_file

    config, roots, names = begun
    save_file({"mu": torch.tensor(100.0)}, outside.weights / "X1.safetensors")
    with pytest.raises(
        CodecfakeError, match=r"the weights of X1 .* are not those that the run was begun with"
    ):
        run_named_blocks(config.out, names, roots, Monitor())


def test_a_block_of_another_plan_is_refused(begun):
    config, roots, _ = begun
    with pytest.raises(CodecfakeError, match="has no block X1/99999"):
        run_named_blocks(config.out, ["X1/99999"], roots, Monitor())
