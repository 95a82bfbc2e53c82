"""Reports of what was changed by hand, and into places that are no plain folder."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from detector_run import SPLIT, make_run
from test_report import add_detector, make_report, page, plain

from codecfake.flows.commands.audit import audit
from codecfake.manifests.errors import CodecfakeError


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("state.json", {"history": [7]}, "state.json is damaged: 0"),
        ("state.json", {"history": [{"epoch": "a", "train_loss": None}]}, "state.json is damaged: 0.epoch"),
        ("model.json", {"training": "x"}, "model.json is damaged: training"),
        ("model.json", {"data": [7]}, "model.json is damaged: data.0"),
        ("model.json", {"data": [{"name": SPLIT}]}, "model.json is damaged: data.0.digest"),
        ("model.json", {"front_end": []}, "model.json is damaged: front_end"),
        ("model.json", {"split": ["a"], "weights_sha256": 5}, "model.json is damaged: split"),
    ],
)
def test_odd_settings_of_a_detector_hide_only_that_detector(tmp_path, file, content, told):
    run = make_run(tmp_path / "run")
    add_detector(run, "good")
    odd = add_detector(run, "odd") / file
    odd.write_text(json.dumps(json.loads(odd.read_text()) | content))
    html = page(make_report(run, rounds=0, listen=1), "detectors")
    assert html.count("<caption>Equal error rates</caption>") == 1
    assert f"odd/{told}" in plain(html)


@pytest.mark.parametrize(
    "change",
    [
        {"margin_points": "ten"},
        {"utterances": None},
        {"separations": [{"codec": "F04"}]},
        {"quality": {}},
        {"notes": 7},
    ],
)
def test_an_odd_audit_is_named_and_the_command_for_a_new_one(tmp_path, change):
    run = make_run(tmp_path / "run")
    audit(run, limit=3, rounds=20)
    path = run / "audit" / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    text = plain(page(make_report(run), "audit"))
    assert f"run/audit/audit.json is damaged: {next(iter(change))}" in text
    assert "codecfake audit run" in text


def test_a_report_goes_where_a_link_leads(tmp_path):
    run, web, link = make_run(tmp_path / "run"), tmp_path / "disk" / "web", tmp_path / "pages"
    web.mkdir(parents=True)
    link.symlink_to(web)
    for _ in range(2):
        make_report(run, link)
        assert link.is_symlink() and "run" in page(web, "index")
        assert [path.name for path in web.parent.iterdir()] == ["web"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "pages", "run"]


def test_no_report_takes_the_place_of_a_disk(tmp_path):
    if not os.path.ismount("/proc"):
        pytest.skip("no mounted folder is known here")
    with pytest.raises(CodecfakeError, match=r"a disk is mounted(.|\n)*--out /proc/report"):
        make_report(make_run(tmp_path / "run"), Path("/proc"))


def test_an_odd_description_of_a_codec_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    path = run / "splits" / SPLIT / "manifest.parquet"
    table = pq.read_table(path)
    position = table.column_names.index("codec_config")
    odd = pa.array([json.dumps({"kilobits_per_second": "six"})] * len(table))
    pq.write_table(table.set_column(position, "codec_config", odd), path)
    text = plain(page(make_report(run, listen=1), "listen"))
    assert "manifest.parquet is damaged: kilobits_per_second" in text
