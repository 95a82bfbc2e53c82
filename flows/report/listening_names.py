"""Names of the fifteen codecs of CodecFake (arXiv 2406.07237) as its files have them, and the ids of their cards."""

PUBLISHED_NAMES = {
    "SpeechTokenizer": "A",
    "academicodec_hifi_16k_320d": "B1",
    "academicodec_hifi_16k_320d_large_uni": "B2",
    "academicodec_hifi_24k_320d": "B3",
    "audiodec_24k_320d": "C",
    "descript-audio-codec-16khz": "D1",
    "descript-audio-codec-24khz": "D2",
    "descript-audio-codec-44khz": "D3",
    "encodec_24khz": "E",
    "funcodec-funcodec_en_libritts-16k-gr1nq32ds320": "F1",
    "funcodec-funcodec_en_libritts-16k-gr8nq32ds320": "F2",
    "funcodec-funcodec_en_libritts-16k-nq32ds320": "F3",
    "funcodec-funcodec_en_libritts-16k-nq32ds640": "F4",
    "funcodec-funcodec_zh_en_general_16k_nq32ds320": "F5",
    "funcodec-funcodec_zh_en_general_16k_nq32ds640": "F6",
}
