"""`codecfake report`, as a user calls it: what its pages say, and that they are published whole."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import write_audio, write_codecfake
from detector_run import SPLIT, make_run
from run_helpers import build_here, settings

from codecfake.detector.score_files import publish_scores
from codecfake.detector.trials import PROCESSING, read_trials
from codecfake.flows.commands.audit import audit
from codecfake.flows.commands.import_dataset import import_dataset
from codecfake.flows.commands.report import report
from codecfake.flows.report.data_counts import count_data, parts_table
from codecfake.flows.report.page_tables import EMPTY, PageTable
from codecfake.flows.report.pages import HERE, Site
from codecfake.flows.report.report import published_report
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

PAGES = ("index", "detectors", "audit")
SCRIPT = "<script>alert(1)</script>"


def make_report(data: Path, out: Path | None = None, **options) -> Path:
    report(data, **({"out": out, "listen": 0, "rounds": 50} | options))
    return out or data / "report"


def page(folder: Path, name: str) -> str:
    return (folder / f"{name}.html").read_text(encoding="utf-8")


def plain(html: str) -> str:
    """Text of a page with one space between words."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def rows_of(html: str, caption: str) -> dict[str, list[str]]:
    """Cells of the table with a caption, by the first cell of their row."""
    table = html.split(f"<caption>{caption}</caption>")[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return {row[0]: row[1:] for row in cells}


def add_detector(run: Path, name: str, **description) -> Path:
    """A detector that was trained for two epochs and scored; one F07 fake scores above all bona fide files."""
    folder = run / "detectors" / name
    trials = read_trials(run, SPLIT)
    about = {
        "model": "mel-lcnn",
        "front_end": {"name": "mel"},
        "network": {"name": "lcnn"},
        "training": {"epochs": 2, "optimizer": "adam"},
        "split": SPLIT,
        "manifest_sha256": trials.digest,
    }
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(about | description))
    epochs = [{"epoch": epoch, "train_loss": 1 / epoch, "dev_loss": 0.5 / epoch} for epoch in (1, 2)]
    more = {"dev_eer_percent": 25.0, "learning_rate": 1e-3, "seconds": 2.0, "utterances_per_second": 9.0}
    (folder / "state.json").write_text(json.dumps({"history": [epoch | more for epoch in epochs]}))
    for part in trials.evaluated():
        scores = np.where(part.labels == Label.BONA_FIDE, 1.0, -1.0) + np.arange(len(part)) / 100
        named = dict(zip(part.files, scores.tolist(), strict=True))
        if part.name == "C7":
            named[next(file for file in part.files if file.startswith("F07"))] = 9.0
        publish_scores(folder / "scores", part.name, named)
    return folder


@pytest.fixture(scope="module")
def scored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("scored") / "run")
    add_detector(run, "first")
    return run


@pytest.fixture(scope="module")
def scored_report(scored_run: Path) -> Path:
    return make_report(scored_run)


def test_pages_need_nothing_but_their_folder(scored_report):
    for name in PAGES:
        html = page(scored_report, name)
        links = re.findall(r'(?:href|src)="([^"]*)"', re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))
        assert not [link for link in links if link.startswith(("http", "//", "/"))]
        local = [link for link in links if not link.startswith(("#", "data:"))]
        assert "static/report.css" in local
        for link in local:
            assert (scored_report / link).is_file(), link
        assert "listen.html" not in html  # the page was not asked for
        assert html.count('aria-current="page"') == 1
        assert "url(http" not in html
    for style in (scored_report / "static").glob("*.css"):
        assert "http" not in style.read_text()


def test_error_rates_stand_beside_the_papers(scored_report):
    rates = rows_of(page(scored_report, "detectors"), "Equal error rates")
    assert rates["condition"][2:] == ["EER %", "95 % interval", "paper %", "difference"]
    assert rates["C4"][:4] == ["4", "4", "0.000", "0.000 to 0.000"]
    bona_fide, spoof, eer, interval = rates["C7"][:4]
    assert (bona_fide, spoof) == ("4", "16")
    assert 0 < float(eer) < 25
    low, high = map(float, interval.split(" to "))
    assert low < high
    paper, difference = map(float, rates["C7"][4:])
    assert difference == pytest.approx(float(eer) - paper, abs=1e-3)
    assert "codec/mel-lcnn" in plain(page(scored_report, "detectors"))


def test_scores_without_an_evaluation_are_evaluated_and_nothing_is_written(scored_run, scored_report):
    assert "Equal error rates" in page(scored_report, "detectors")
    assert not list((scored_run / "detectors" / "first").glob("evaluation*"))


def test_figures_take_the_colours_of_the_page_and_have_words_and_numbers(scored_report):
    html = page(scored_report, "detectors")
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert re.match(r'<svg role="img" aria-label="[^"]{40,}"', figure)
        assert "currentColor" in figure and "var(--series-0)" in figure and "var(--series-1)" in figure
        assert "#000000" not in figure and "#ffffff" not in figure
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert rows_of(html, "Epochs")["2"][:3] == ["0.5", "0.25", "25.000"]
    assert rows_of(html, "Miss rate in % where so few spoofs are accepted")["C7"][0] == "100.00"
    assert rows_of(html, "Percentiles of the scores; higher = bona fide")["C4"]


def test_decisions_are_counted_at_the_stated_threshold(scored_report):
    html = page(scored_report, "detectors")
    confusion = rows_of(html, "C7")
    assert [int(cell) for cell in confusion["bona fide"]] == [4, 0]
    assert [int(cell) for cell in confusion["spoof"]] == [1, 15]
    assert "The threshold is fixed on dev" in plain(html)


def test_a_broken_or_unscored_detector_does_not_hide_the_others(tmp_path):
    run = make_run(tmp_path / "run")
    add_detector(run, "good", warning=f"stands in for another {SCRIPT}")
    shutil.rmtree(add_detector(run, "unscored") / "scores")
    (add_detector(run, "broken") / "model.json").write_text("{")
    html = page(make_report(run, rounds=0), "detectors")
    assert "Equal error rates" in html
    assert "codecfake score run --detector run/detectors/unscored" in plain(html)
    assert "broken/model.json is damaged" in plain(html)
    assert "stands in for another" in html and SCRIPT not in html


def test_without_detectors_and_audit_the_pages_say_what_to_type(tmp_path):
    folder = make_report(make_run(tmp_path / "run"))
    assert "codecfake train run" in page(folder, "detectors")
    assert "codecfake audit run" in page(folder, "audit")


def test_the_audit_is_shown(tmp_path):
    run = make_run(tmp_path / "run")
    audit(run, limit=3, rounds=20)
    html = page(make_report(run), "audit")
    assert "Quality control" in html
    assert set(rows_of(html, "EER % of every feature")) == {"codec", "F04", "F07"}
    assert "fewer than ten source utterances" in plain(html)
    (run / "audit" / "audit.json").write_text("{}")
    html = plain(page(make_report(run), "audit"))
    assert "run/audit/audit.json is damaged" in html and "codecfake audit run" in html


def test_names_are_text_and_never_markup(tmp_path):
    run = make_run(tmp_path / "<b>run & co")
    folder = make_report(run)
    for name in PAGES:
        html = page(folder, name)
        assert "<b>run" not in html and "&lt;b&gt;run &amp; co" in html


def test_templates_escape_everything(tmp_path):
    templates = list((HERE / "templates").glob("*.html"))
    assert templates and not [path for path in templates if "|safe" in path.read_text()]
    site = Site(tmp_path / "site", heading=SCRIPT, warnings=[SCRIPT], pages=["index"])
    site.write_page("index", "base.html")
    assert SCRIPT not in (tmp_path / "site" / "index.html").read_text()


def test_a_report_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    run = make_run(tmp_path / "run")
    folder = make_report(run)
    (folder / "stale.html").touch()
    killed = folder.with_name(".tmp-report-0123456789ab")
    killed.mkdir()
    make_report(run)
    assert not (folder / "stale.html").exists() and not killed.exists()
    before = page(folder, "index")
    with pytest.raises(CodecfakeError, match="nobody"):
        make_report(run, utterance=["nobody"])
    assert page(folder, "index") == before
    assert not list(run.glob(".tmp-*"))


def test_two_reports_do_not_write_into_each_other(tmp_path):
    out = tmp_path / "report"
    with published_report(out) as draft:
        with pytest.raises(CodecfakeError, match="another process writes"), published_report(out):
            pass
        (draft / "report.json").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["report", "report.json"]


def test_a_folder_that_is_no_report_is_left_alone(tmp_path):
    run, mine = make_run(tmp_path / "run"), tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(CodecfakeError, match="no report"):
        make_report(run, mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_downloaded_tree(tmp_path):
    data = write_codecfake(tmp_path / "Codecfake")
    report(data, listen=0)
    folder = tmp_path / "Codecfake-report"  # inside, its audio would be taken for the tree's
    assert not (data / "report").exists()
    counts = rows_of(page(folder, "index"), "Files per codec and split")
    assert counts["F07"] == ["0", "0", "2", "2"]
    assert counts["real"][:2] == ["2", "1"]
    parts = rows_of(page(folder, "index"), "Bona fide and spoofed files per part")
    assert parts["C7"] == ["1", "2", "3"]
    assert "does not tell with which weights" in plain(page(folder, "index"))


def test_an_imported_dataset_claims_no_build(tmp_path):
    import_dataset(write_codecfake(tmp_path / "Codecfake"), tmp_path / "run")
    html = page(make_report(tmp_path / "run"), "index")
    text = plain(html)
    assert "Imported from codecfake" in text and "does not tell with which weights" in text
    assert "encodec-24khz" not in text and "Run time and throughput" not in text
    assert rows_of(html, "Recordings")["vctk"] == ["CC BY-NC-ND 4.0"]
    assert "that of the imported dataset as a whole" in text
    assert rows_of(html, "Quarantined files by reason")["missing"] == ["file of the dataset", "2"]


def test_an_imported_rebuild_has_the_licences_of_each_corpus_and_codec(tmp_path, corpora, outside):
    config = settings(corpora, outside, tmp_path / "run", codecs="F04", weights="mini", limit=8)
    build_here(config)
    import_dataset(config.out / "splits" / SPLIT / "Codecfake", tmp_path / "imported")
    html = page(make_report(tmp_path / "imported"), "index")
    assert rows_of(html, "Recordings") == {
        "corpus": ["licence as published"],
        "aishell3": ["Apache-2.0"],
        "vctk": ["CC BY 4.0"],
    }
    assert "demonstration" in " ".join(rows_of(html, "Codecs")["F04"])
    text = plain(html)
    assert "covers its fakes" not in text
    assert "The licences of the recordings are those of the published corpora" in text


def test_robustness_conditions_are_no_more_data(tmp_path):
    trials = read_trials(make_run(tmp_path / "run"), SPLIT)
    clean = trials.conditions["C4"]
    processed = replace(
        clean,
        name="C4-gsm",
        files=[f"gsm-{file}" for file in clean.files],
        columns=clean.columns | {PROCESSING: np.full(len(clean), "gsm", dtype=object)},
    )
    more = replace(trials, conditions=trials.conditions | {"C4-gsm": processed})
    assert count_data(more).table() == count_data(trials).table()
    assert ["C4-gsm", "4", "4", "8"] in [row[:4] for row in parts_table(more).rows]


def test_fakes_beside_a_folder_of_their_sources(tmp_path):
    for codec in ("encodec_24khz", "SpeechTokenizer"):
        write_audio(tmp_path / "fakes" / f"{codec}+p225_001.wav", is_real=False)
    write_audio(tmp_path / "real" / "p225" / "p225_001_mic1.flac")
    folder = make_report(tmp_path / "fakes", tmp_path / "out", real=tmp_path / "real")
    text = plain(page(folder, "index"))
    assert "bona fide files beside them 1" in text and "spoofed files 2" in text
    assert "codecfake audit fakes --real FOLDER" in page(folder, "audit")


def test_a_built_run_tells_how_it_was_made(tmp_path, corpora, outside, monkeypatch):
    aishell3 = tmp_path / "aishell3"
    shutil.copytree(corpora.aishell3, aishell3)
    broken = sorted(aishell3.rglob("*.wav"))[0]
    broken.write_bytes(b"RIFF")
    monkeypatch.setattr("sys.argv", ["codecfake", "build", "--vctk", str(corpora.vctk)])
    config = settings(corpora, outside, tmp_path / "run", aishell3=aishell3, codecs="F04", weights="mini")
    build_here(config)
    html = page(make_report(config.out), "index")
    text = plain(html)
    assert "demonstration networks (--weights mini)" in text
    quarantine = rows_of(html, "Quarantined files by reason")
    assert [row for row in quarantine.values() if row == ["source file", "1"]]
    assert broken.name in html
    codec = rows_of(html, "Codecs")["F04"]
    assert codec[:3] == ["C4", "encodec-24khz-6kbps", "6"] and "demonstration" in codec[4]
    assert rows_of(html, "Recordings")["vctk"] == ["CC BY 4.0"]
    assert rows_of(html, "Run time and throughput over the published shards")["F04"][0] == "20"
    stamp = json.loads((config.out / "run.json").read_text())
    assert stamp["digest"] in html
    assert str(corpora.vctk.parent) not in html  # a report may be sent to a colleague
    assert f"codecfake build --vctk {corpora.vctk.name}" in text


def test_columns_in_which_nothing_is_known_are_left_out():
    table = PageTable("", ["name", "a", "b"], [["x", EMPTY, "1"], ["y", EMPTY, "-2.5 dB"]])
    assert table.informative().columns == ["name", "b"]
    assert table.numeric == [False, False, True]
