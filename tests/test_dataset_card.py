"""The dataset card and the Croissant metadata say what is in an export, under which licences."""

import csv
import json

import pytest
import yaml
from exported_run import built_run, export, rows_by_file
from huggingface_hub import DatasetCard

from codecfake.pipeline.exports.export import FORMATS
from codecfake.pipeline.exports.licences import codec_licences, corpus_licence


@pytest.fixture(scope="module")
def run(corpora, tmp_path_factory):
    with built_run(tmp_path_factory.mktemp("card"), corpora) as run_dir:
        yield run_dir


@pytest.fixture(scope="module")
def exports(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for form in FORMATS:
        export(run, folder / form, form)
    return folder


def test_the_card_has_the_metadata_of_the_hub(exports):
    data = DatasetCard.load(exports / "hf" / "README.md").data.to_dict()
    assert data["language"] == ["en", "zh"]
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["audio-classification"]
    assert (data["license"], data["license_link"]) == ("other", "LICENSE.md")
    assert [config["config_name"] for config in data["configs"]] == ["default", "C4", "C-X1"]
    assert "configs" not in DatasetCard.load(exports / "tree" / "README.md").data.to_dict()


@pytest.mark.parametrize("form", FORMATS)
def test_the_card_counts_what_the_split_holds_and_names_no_path(exports, run, form):
    text = (exports / form / "README.md").read_text()
    rows = rows_by_file(run).values()
    for split, codec in {(row["split"], row["codec"]) for row in rows}:
        count = sum((row["split"], row["codec"]) == (split, codec) for row in rows)
        assert f"| {split} | {codec} | {count} |" in text
    assert "mulaw-8khz" in text and "encodec-24khz-6kbps" in text
    yaml.safe_load(text.split("---")[1])
    for file in (exports / form).glob("*.*"):
        assert str(run.parent).encode() not in file.read_bytes()


def test_every_row_names_the_licences_of_its_corpus_codec_and_weights(exports):
    with (exports / "tree" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["corpus"]: row["corpus_licence"] for row in rows} == {
        "vctk": "CC BY 4.0",
        "aishell3": "Apache-2.0",
    }
    for row in rows:
        assert bool(row["codec_licence"]) == bool(row["weights_licence"]) == (row["label"] == "fake")
        assert (exports / "tree" / row["location"]).is_file()
    assert {row["weights_licence"] for row in rows if row["codec"] == "F04"} == {
        "not known (weights given by the user; checkpoint_sha256 names them)"
    }
    licences = (exports / "tree" / "LICENSE.md").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/" in licences
    assert "the package encodec 0.1.1 on PyPI says CC-BY-NC-4.0" in licences


def test_licences_follow_the_version_of_the_corpus_and_the_origin_of_the_weights():
    assert corpus_licence("vctk", "vctk 0.80") == "ODC-By 1.0"
    assert corpus_licence("somewhere", "") == "not known"
    assert "demonstration" in codec_licences("F05", "mini").weights
    assert "CC-BY-NC-4.0" in codec_licences("F05", "official").weights
    assert codec_licences("gone", "official").code == "not known"


@pytest.mark.parametrize("form", FORMATS)
def test_croissant_is_valid_and_yields_the_manifest(exports, run, form):
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(exports / form / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors, issues.report()
    assert not issues.warnings, issues.report()
    assert str(dataset.metadata.ctx.conforms_to.value).endswith("/1.1")
    records = list(dataset.records("files"))
    found = {record["files/file"].decode(): record["files/label"].decode() for record in records}
    assert found == {file: row["label"] for file, row in rows_by_file(run).items()}
    for entry in json.loads((exports / form / "croissant.json").read_text())["distribution"]:
        assert (exports / form / entry["contentUrl"]).is_file() and len(entry["sha256"]) == 64
