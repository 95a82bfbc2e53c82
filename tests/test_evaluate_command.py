"""`codecfake evaluate` on score files, as a user calls it."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from codecfake.detector.evaluation import evaluate_files
from codecfake.detector.evaluation.score_scales import Scale, ratios_of
from codecfake.flows.commands.evaluation import evaluate
from codecfake.manifests.errors import CodecfakeError

SOURCES = ["p225_001", "p225_002", "SSB00050001", "SSB00050002", "p226_003", "SSB00730009"]
NO_ROUNDS = 0


def softmax_like(seed: int, center: float) -> float:
    return float(1 / (1 + np.exp(-np.random.default_rng(seed).normal(center, 2))))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Score files as the authors release them: C1 and C4 share their reals, one file is empty."""
    folder = tmp_path / "codec_w2v2aasist" / "result"
    folder.mkdir(parents=True)
    reals = [(f"{name}.wav", softmax_like(i, 2), "real") for i, name in enumerate(SOURCES)]
    for number in (1, 4):
        fakes = [
            (f"F0{number}_{n}.wav", softmax_like(99 * number + i, -2), "fake") for i, n in enumerate(SOURCES)
        ]
        lines = [f"{name} {score!r} {label}\n" for name, score, label in reals + fakes]
        (folder / f"C{number}_result.txt").write_text("".join(lines))
    (folder / "C3_1_result.txt").touch()
    (folder / "readme.md").write_text("not a score file\n")
    return folder


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, **options: object) -> str:
    evaluate([Path(str(argument)) for argument in arguments], **({"rounds": NO_ROUNDS} | options))
    return capsys.readouterr().out


def test_a_folder_of_the_authors_files(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, published)
    assert "codec_w2v2aasist on score files" in text
    assert re.search(r"│ C1 +│ +6 │ +6 │", text)
    assert re.search(r"│ pooled +│ +6 │ +12 │", text)  # reals that both conditions have count once
    assert re.search(r"│ codec +│ F04 +│ +6 │ +6 │", text)
    assert re.search(r"│ language +│ zh +│ +3 │ +6 │", text)
    assert "Warning: C3_1_result.txt was skipped" in text
    assert "the threshold 0.5, the authors' choice for softmax scores" in " ".join(text.split())
    assert "actDCF and Cllr are left out: all scores lie within 0 and 1" in text
    assert "Format of C1, C4: name score label (the authors of Codecfake)." in text
    assert max(map(len, re.findall(r"[┏│].*", text))) <= 80


def test_all_files_hold_the_same_numbers(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluation = evaluate_files([published], rounds=30, out=out)
    names = {"json", "csv", "md", "tex", "breakdown.csv", "det.png", "det.svg", "scores.png", "scores.svg"}
    assert {path.name for path in out.iterdir()} == {f"evaluation.{name}" for name in names}
    content = json.loads((out / "evaluation.json").read_text())
    with (out / "evaluation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    markdown, latex = (out / "evaluation.md").read_text(), (out / "evaluation.tex").read_text()
    for row, result, ours in zip(rows, content["conditions"], evaluation.conditions, strict=False):
        assert row["condition"] == result["condition"] == ours.condition
        assert float(row["eer_percent"]) == result["eer_percent"] == ours.eer_percent
        assert float(row["eer_percent_high"]) == result["eer_interval_percent"]["high"]
        assert row["cllr"] == "" and result["cllr"] is None
        shown = f"{ours.eer_percent:.3f}"
        interval = f"{ours.eer_interval_percent.low:.3f} to {ours.eer_interval_percent.high:.3f}"
        assert f"| {ours.condition} | 6 | 6 | {shown} | {interval} |" in markdown
        assert f"{ours.condition} & 6 & 6 & {shown} & {interval} &" in latex
    assert rows[-1]["condition"] == "pooled"
    assert "30 bootstrap rounds" in markdown and r"EER \%" in latex
    assert (out / "evaluation.det.png").read_bytes().startswith(b"\x89PNG")
    svg = (out / "evaluation.det.svg").read_text()
    assert "spoof accepted" in svg and "C4" in svg
    # The same input gives the same pictures.
    evaluate_files([published], rounds=0, out=tmp_path / "again")
    assert (tmp_path / "again" / "evaluation.det.svg").read_text() == svg


def test_json_on_standard_output(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(printed(capsys, published, json=True, against="paper", row="codec/w2v2-aasist"))
    assert content["detector"] == "codec_w2v2aasist"
    assert [result["condition"] for result in content["conditions"]] == ["C1", "C4"]
    assert content["threshold"] == 0.5
    cell = next(cell for cell in content["against_paper"] if cell["condition"] == "C1")
    assert (cell["printed"], cell["corrected"]) == (0.167, 0.008)
    assert cell["difference"] == pytest.approx(content["conditions"][0]["eer_percent"] - 0.008)


def test_labels_from_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = tmp_path / "19LA.tsv"
    scores.write_text(
        "filename\tcm-score\nLA_E_1.flac\t3.5\nLA_E_2.flac\t-2\nLA_E_3.flac\t-1\nLA_E_4.flac\t2\n"
    )
    protocol = tmp_path / "ASVspoof2019.LA.cm.eval.trl.txt"
    lines = ["LA_0001 LA_E_1 - - bonafide", "LA_0001 LA_E_2 - A07 spoof", "LA_0001 LA_E_3 - A08 spoof"]
    protocol.write_text("\n".join(lines) + "\n")
    with pytest.raises(CodecfakeError, match=r"4 of 4 trials have no label, such as LA_E_1.flac(.|\n)*--key"):
        evaluate_files([scores])
    with pytest.raises(CodecfakeError, match=r"19LA: 1 of 4 trials have no label, such as LA_E_4.flac"):
        evaluate_files([scores], keys=[protocol])
    protocol.write_text(
        "\n".join([*lines, "LA_0001 LA_E_4 - - bonafide", "LA_0001 LA_E_5 - - bonafide"]) + "\n"
    )
    text = printed(capsys, scores, key=[protocol])
    assert re.search(r"│ 19LA +│ +2 │ +2 │ +0.000 │", text)
    assert re.search(r"│ attack +│ A08 +│ +2 │ +1 │", text)
    assert "the keys hold 1 trials that no score file names" in text
    assert "the threshold 0, where a difference of logits" in " ".join(text.split())
    assert "taken as natural log-likelihood ratios, as they are" in text


def test_progress_phase_of_asvspoof_2021_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "21LA.txt").write_text("LA_E_1 2\nLA_E_2 -2\nLA_E_3 9\n")
    rows = [
        "LA_1 LA_E_1 alaw ita_tx bonafide bonafide notrim eval",
        "LA_1 LA_E_2 alaw ita_tx A07 spoof notrim eval",
    ]
    rows.append("LA_1 LA_E_3 alaw ita_tx A07 spoof notrim progress")
    (tmp_path / "trial_metadata.txt").write_text("\n".join(rows) + "\n")
    evaluation = evaluate_files([tmp_path / "21LA.txt"], keys=[tmp_path / "trial_metadata.txt"], rounds=0)
    assert (evaluation.pooled.bona_fide, evaluation.pooled.spoof, evaluation.pooled.eer_percent) == (1, 1, 0)
    assert any(
        "1 trials of the phases progress and hidden were left out" in note for note in evaluation.notes
    )


def test_inverted_scores_are_reported_and_never_flipped(tmp_path: Path) -> None:
    lines = [
        f"p225_{i:03d}.wav {i / 100 - 3} real\nF01_p225_{i:03d}.wav {i / 100} fake\n" for i in range(100)
    ]
    (tmp_path / "C1_result.txt").write_text("".join(lines))
    evaluation = evaluate_files([tmp_path / "C1_result.txt"], rounds=0)
    assert evaluation.conditions[0].eer_percent == 100
    assert evaluation.conditions[0].inverted
    assert "C1: inverted scores: AUC 0.0000 is below 0.5" in evaluation.warnings[0]
    assert "nothing was flipped" in evaluation.warnings[0]


def test_probabilities_become_logits_only_when_stated() -> None:
    scores = np.array([0.0, 1e-30, 0.25, 0.75, 1 - 2.0**-30, 1.0])
    assert ratios_of(scores, None).of(scores) is None
    as_they_are = ratios_of(scores, Scale.LLR)
    assert as_they_are.of(scores).tolist() == scores.tolist()
    stated = ratios_of(scores, Scale.PROBABILITY)
    llrs = stated.of(scores)
    assert llrs[2:4].tolist() == pytest.approx([-np.log(3), np.log(3)])
    assert np.isfinite(llrs).all() and (np.diff(llrs) >= 0).all()
    assert "2 of 6 are exactly 0 or 1" in stated.note
    with pytest.raises(CodecfakeError, match="stated to be probabilities, but reach from"):
        ratios_of(scores - 1, Scale.PROBABILITY)
    assert ratios_of(scores * 5, None, np.log(2)).of(np.array([1.0])).tolist() == [1 - np.log(2)]


def test_a_dev_file_fixes_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("a 4 real\nb 3 fake\n")
    (tmp_path / "C1.txt").write_text("c 5 real\nd 3.4 fake\n")
    evaluation = evaluate_files([tmp_path], rounds=0)
    assert (evaluation.threshold, evaluation.threshold_origin) == (3.5, "fixed on dev (its EER threshold)")
    assert [result.condition for result in evaluation.conditions] == ["C1"]
    assert evaluation.conditions[0].accuracy_percent == 100
    stated = evaluate_files([tmp_path], rounds=0, threshold=3.2)
    assert (stated.threshold_origin, stated.conditions[0].accuracy_percent) == ("given with --threshold", 50)


def test_mistakes_are_explained(published: Path, tmp_path: Path) -> None:
    file = published / "C1_result.txt"
    with pytest.raises(CodecfakeError, match="are both of the condition C1"):
        evaluate_files([published, file])
    with pytest.raises(CodecfakeError, match=r"C3_1_result.txt is empty"):
        evaluate_files([published / "C3_1_result.txt"])
    with pytest.raises(CodecfakeError, match="no score file there"):
        evaluate_files([tmp_path / "codec_w2v2aasist"])
    with pytest.raises(CodecfakeError, match=r"the paper has no row 'codec/lcnn'(.|\n)*codec/w2v2-aasist, "):
        evaluate([file], against="paper", row="codec/lcnn", rounds=0)
    with pytest.raises(CodecfakeError, match=r"is not known(.|\n)*--row with one of vocoder/mel-lcnn"):
        evaluate([file], against="paper", rounds=0)
    with pytest.raises(CodecfakeError, match="--scores with one of llr, probability"):
        evaluate([file], scores="softmax", rounds=0)
    only_reals = tmp_path / "C2.txt"
    only_reals.write_text("a 1 real\nb 2 real\n")
    with pytest.raises(CodecfakeError, match="C2: 2 bona fide and 0 spoof files have scores"):
        evaluate_files([only_reals])


def test_numbers_of_an_earlier_evaluation_do_not_stay_beside_new_ones(
    published: Path, tmp_path: Path
) -> None:
    out, mine = tmp_path / "out", {"evaluation.det.notes.txt", "evaluation.mine.png", "det.png"}
    evaluate([published], rounds=0, against="paper", row="codec/w2v2-aasist", out=out)
    fresh = {f"evaluation.against_paper.{ending}" for ending in ("csv", "json", "md", "tex")}
    assert fresh < {path.name for path in out.iterdir()}
    stale = {
        f"evaluation.{kind}.amr-nb-12.2.{ending}" for kind in ("det", "scores") for ending in ("png", "svg")
    }
    for name in mine | stale:
        (out / name).touch()
    evaluate([published / "C4_result.txt"], rounds=0, out=out)
    present = {path.name for path in out.iterdir()}
    assert mine < present and not present & (fresh | stale)
    assert {"evaluation.json", "evaluation.det.png", "evaluation.scores.svg"} < present


def test_options_that_cannot_be_followed_are_refused(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CodecfakeError, match=r"row of the paper(.|\n)*--against paper --row codec/mel-lcnn"):
        evaluate([published], rounds=0, row="codec/mel-lcnn")
    with pytest.raises(CodecfakeError, match=r"have no split 'a'(.|\n)*with --key"):
        evaluate([published], rounds=0, split="a")
    (tmp_path / "key.txt").write_text("a real 0\n")
    with pytest.raises(CodecfakeError, match="have no split 'a'"):
        evaluate([published], rounds=0, split="a", key=[tmp_path / "key.txt"])
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    app = typer.Typer()
    app.command()(evaluate)
    result = CliRunner().invoke(app, [str(published), "--out", "taken"])
    assert result.exit_code == 2 and "is a file" in " ".join(result.output.split())


def test_score_files_need_no_torch(published: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from codecfake.detector.evaluation import evaluate_files; "
        f"evaluate_files([Path({str(published)!r})], rounds=2); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_published_files_against_the_paper(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "published" / "codec_w2v2aasist"
    text = printed(capsys, folder, json=True, against="paper", row="codec/w2v2-aasist")
    compared = [cell for cell in json.loads(text)["against_paper"] if cell["ours"] is not None]
    assert len(compared) == 13  # twelve files and LAVG
    for cell in compared:
        assert abs(cell["difference"]) <= 0.001, cell["condition"]
