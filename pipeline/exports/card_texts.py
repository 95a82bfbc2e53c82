"""The sentences of a dataset card."""

CONTENT = """\
Genuine speech of public corpora, and the same utterances resynthesised by neural audio codecs: the data that
detectors of codec-made deepfake audio are trained and tested on. It is a rebuild of the Codecfake dataset
(arXiv 2405.04880) from its raw corpora, not a copy of the published files. The layout is that of version 1 of
the published dataset, without its sets A1 to A3, which are not made by codecs."""

IMPORTED_CONTENT = """\
The dataset {dataset} as it was published, under {licence}, in another layout. The audio files{exception}
are byte for byte those of the published copy that was imported; nothing here was resynthesised. Its licence holds for
this copy too: under a licence that allows no derivatives, keep it to yourself."""

BUT_FOR_CONDITIONS = ", but for those under robustness conditions,"

MINI_WARNING = """\
**Made with demonstration networks (`--weights mini`), not with the codecs' published weights. Do not report
results on it.**"""

SYNTHETIC_WARNING = (
    "The speech is synthetic (codecfake demo, espeak-ng), also where it stands for bona fide. The numbers show that "
    "the path works, not how well."
)

LIMITS = """\
- The labels say which files went through a neural codec. They do not say who speaks, or that a text was faked.
- The audio is clean read speech, but for what `processing` names where there are robustness conditions.
- Rate, length, level and silence can tell real from fake where a codec changes them. `codecfake audit RUN` measures
  it on the run."""

CODECFAKE_PAPER = "https://arxiv.org/abs/2405.04880"
CODECFAKE_CITATION = """\
@article{xie2025codecfake,
  title   = {The Codecfake Dataset and Countermeasures for the Universally Detection of Deepfake Audio},
  author  = {Xie, Yuankun and others},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  volume  = {33},
  year    = {2025},
  note    = {arXiv:2405.04880}
}"""

CODECFAKE15_PAPER = "https://arxiv.org/abs/2406.07237"
CODECFAKE15_CITATION = """\
@inproceedings{wu2024codecfake,
  title     = {CodecFake: Enhancing Anti-Spoofing Models Against Deepfake Audios from Codec-Based
               Speech Synthesis Systems},
  author    = {Wu, Haibin and Tseng, Yuan and Lee, Hung-yi},
  booktitle = {Interspeech},
  year      = {2024},
  note      = {arXiv:2406.07237}
}"""

COLUMNS = """\
`label` is `real` or `fake`, `codec` the codec of a fake, `conditions` the test conditions a file belongs to: the
trials of `C4` are all files, genuine and fake, that name it."""

PARTS = """\
The evaluation lies in parts that are named by the conditions of their files: `test-C4` holds fakes, `test-real` genuine
files; where conditions differ in these, `test-real-C1+C4` holds those of C1 and C4."""

WITHOUT_CONFIGURATION = """\
No configuration of their own, for their files are shared in too many ways: {names}. Filter the column `conditions`."""

ONLY_WAV = "All files are WAV."
SEVERAL_ENDINGS = """\
Files by ending: {counts}. Each has the ending of the file itself here, whatever the lists of the dataset call it."""
AS_LISTED = """\
Files by format: {counts}. Each is named as in the label files, whatever its format: readers have to look inside."""

LOADING = {
    "hf": f"""\
```python
from datasets import load_dataset

everything = load_dataset("FOLDER")
condition = load_dataset("FOLDER", "CONDITION", split="test")
links = load_dataset("audiofolder", data_dir="FOLDER/audiofolder")  # needs torchcodec
```

`data/` holds Parquet files with the audio inside, `audiofolder/` the same as loose files, but for robustness
conditions. Upload one of them. Decoding in `datasets` needs torchcodec, and the last line above fails without it before
it decodes anything. From Parquet, `cast_column("audio", Audio(decode=False))` gives the bytes of the files without it.
{COLUMNS} {PARTS}""",
    "webdataset": f"""\
```python
import webdataset

train = webdataset.WebDataset("FOLDER/codecfake-train-{{000000..000041}}.tar", shardshuffle=False)
for sample in train:
    sample["__key__"], sample["wav"], sample["json"]  # bytes, as they are in the tar
```

The files of a training shard are a seeded mixture of all codecs; those of the other parts are in order.
{COLUMNS} {PARTS}""",
    "shar": f"""\
```python
from lhotse import CutSet

train = CutSet.from_shar(in_dir="FOLDER/train")
```

One folder per part. {COLUMNS} {PARTS}""",
    "asvspoof": """\
`Codecfake_cm_protocols/` holds `Codecfake.cm.train.trn.txt`, `.dev.trl.txt` and `.eval.trl.txt` with five columns
as in ASVspoof 2019 LA: `SPEAKER FILE - ATTACK KEY`; the third names the robustness condition, if any. An attack is
called by its condition (`C4`), and the key is `bonafide` or `spoof`.
The audio is `Codecfake_train/wav/FILE.wav` and so on; `manifest.csv` has the path and the sha256 of each file.""",
    "tree": f"""\
`Codecfake/` is the published layout: `label/*.txt`, `train/`, `dev/`, `test/C1/` and so on. A label line reads
`F01_SSB13650058.wav fake 1`. `archives/` holds the same as tar files below 45 GB with relative paths, so that each
fits a Zenodo record (50 GB, 100 files). Check them, then unpack:

```
sha256sum --check SHA256SUMS
tar -xf archives/Codecfake-train-000.tar
```

{COLUMNS}""",
}
