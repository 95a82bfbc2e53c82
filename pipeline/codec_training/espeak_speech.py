"""Speech for training without recordings: espeak-ng with many voices, in files that are spoken only once."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import published
from codecfake.pipeline.espeak import EspeakVoice, require_espeak, synthesise

if TYPE_CHECKING:
    import numpy as np

    from codecfake.pipeline.monitor import Monitor

DEFAULT_SECONDS = 1800
PEAK = 0.7
MANDARIN_SHARE = 0.46
ENGLISH_SHARE = 0.46
"""The rest reads English words with the sounds of other languages, which neither of the two has."""

ENGLISH_ACCENTS = (
    "en-us",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
OTHER_LANGUAGES = ("de", "fr", "es", "it", "pl", "fi", "tr", "nl", "pt", "sv")

VARIANTS = """
    Alex Andrea Andy Annie AnxiousAndy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael
    Mike Nguyen RicishayMax RicishayMax2 RicishayMax3 Storm Tweaky adam anika announcer antonio aunty
    belinda benjamin boris croak david ed edward edward2 f1 f4 fast grandma grandpa gustave ian iven iven2
    iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 klatt5 klatt6 linda m1 m2 m3 m4 m5 m6 m7 m8
    marcelo max michel miguel mike2 norbert pablo paul pedro quincy rob robert shelby steph steph2 steph3
    travis zac
"""
"""All of espeak-ng but those with a breath, which never sound the same twice, and the robots."""

ENGLISH_WORDS = """
    a about above across after again all almost along always and animal answer around asked away autumn
    back ball beautiful because before began behind below between big bird blue boat both bought branch
    bread bridge bright brother brought brown build busy by called carefully castle caught chair change
    cheese children church circle city clear climb cloud coffee cold colour come corner could country
    cousin cross daughter decided deep different dinner distance doctor dog door down dream drive dry
    dust each early earth easy edge eight either engine enough evening every example eye face family
    farmer fast father feather few field finger fire first fish five flew floor flower follow food forest
    forgot found four fresh friend from front fruit full game garden gave gentle ghost girl give glass go
    gold good grass great green ground grow guess hair half happy harbour have head heard heavy help here
    high hill history hold home horse hour house how huge hundred idea important inside island job
    journey judge jump just keep kitchen knew language large last late laugh leaf learn leave left letter
    light listen little live long look loud love machine make many market measure meat meet middle might
    milk minute money month moon morning mother mountain mouth move much music my narrow near never new
    night noise north nothing now number ocean of often old on once only open orange other our outside
    over own page paint paper part path people perhaps picture piece place plain plant please point power
    press pretty promise pull purple push question quick quiet rain reach ready reason red remember rest
    rice right river road rock roof room rose rough round run sail salt same sand save school sea second
    seem sell send seven shadow shall shape share sharp sheep ship shirt shoe shop short should shoulder
    show side silver simple sing sister six sky sleep slow small smell smoke smooth snow soft soldier
    some song soon sound south space speak spring square stand star station stay stone stood stop story
    strange street strong student such sugar summer sun sure surprise swim table take talk tall teacher
    tell ten than thank that their them there these thick thin thing think third this those though
    thought thousand three through throw time tired today together tomorrow tongue too took tooth toward
    town tree true try turn twelve twenty two under until upon useful usual valley very village visit
    voice wait walk wall want warm was wash watch water wave way we wear weather week weigh well were
    what wheel when where which while white whole why wide wild will wind window winter wish with without
    woman wonder wood word work world would write wrong year yellow yesterday yet you young zero
"""

MANDARIN_WORDS = """
    我们 他们 你们 老师 学生 朋友 医生 工人 孩子 妈妈 爸爸 哥哥 姐姐 今天 明天 昨天 早上 晚上 中午 春天
    夏天 秋天 冬天 北京 上海 广州 城市 农村 公园 学校 医院 银行 商店 火车站 飞机场 图书馆 电影院 办公室
    厨房 房间 窗户 桌子 椅子 电脑 手机 电视 汽车 自行车 飞机 火车 地铁 水果 苹果 香蕉 西瓜 蔬菜 米饭 面条
    饺子 牛奶 咖啡 绿茶 喜欢 觉得 认为 希望 需要 可以 应该 开始 结束 学习 工作 休息 运动 跑步 游泳 唱歌
    跳舞 看书 写字 画画 做饭 吃饭 喝水 睡觉 起床 回家 旅行 参加 准备 帮助 介绍 讨论 研究 发展 提高 解决
    问题 经济 文化 历史 科学 技术 社会 自然 环境 天气 下雨 下雪 刮风 晴朗 温暖 寒冷 漂亮 高兴 快乐 难过
    生气 安静 热闹 便宜 昂贵 新鲜 干净 重要 简单 复杂 容易 困难 非常 特别 已经 正在 马上 突然 终于 一直
    经常 有时 因为 所以 但是 虽然 如果 而且 然后 一 二 三 四 五 六 七 八 九 十 百 千 万 年 月 日 星期
    小时 分钟 颜色 红色 绿色 蓝色 黄色 白色 黑色 音乐 电影 新闻 报纸 杂志 故事 语言 声音 眼睛 耳朵 鼻子
    嘴巴 身体 健康 生活 世界 国家 人民 政府 公司 市场 价格 质量 服务 质疑 区域 女儿 旅客 绿洲 云彩 军队
    群众 去年 全部 选择 学院 雪山 约会 原因 愿意 熊猫 琼浆 窘迫 翁媪 耳机 儿童
"""


def speak_files(folder: Path, seconds: float, seed: int, monitor: "Monitor") -> list[Path]:
    """Speak until there are ``seconds`` of speech; what an earlier call has spoken is used again.

    Every utterance is a function of ``seed`` and its number, so more seconds begin with the same files.

    Args:
        folder: Where the files of all seeds lie; made when missing.
        seconds: How much speech.
        seed: Of voices and words.
        monitor: Told how far it is.

    Returns:
        FLAC files at espeak-ng's own rate, mono, with a peak of 0.7.

    Raises:
        CodecfakeError: espeakng_loader is not installed.
    """
    import soundfile

    require_espeak()
    edition = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]  # other words are other files
    folder = folder / f"espeak-{edition}-seed{seed}"
    paths: list[Path] = []
    spoken = 0.0
    monitor.begin("Speaking", seconds, "s")
    while spoken < seconds:
        monitor.raise_if_stopped()
        path = folder / f"{len(paths):06d}.flac"
        if not path.is_file():
            wave, sample_rate = invent_speech(seed, len(paths))
            with published(path) as temporary:
                soundfile.write(temporary, wave, sample_rate, format="FLAC", subtype="PCM_16")
        duration = soundfile.info(path).duration
        spoken += duration
        paths.append(path)
        monitor.advance(duration)
    monitor.end()
    return paths


def invent_speech(seed: int, number: int) -> "tuple[np.ndarray, int]":
    """Speak one utterance of 0.8 to 15 s, float32, shape (T,); return it with its rate in Hz."""
    import numpy as np

    from codecfake.codec_adapters.resampling import resample

    rng = np.random.default_rng([seed, number])
    while True:
        wave, sample_rate = synthesise(*invent_utterance(rng))
        peak = float(np.abs(wave).max(initial=0.0))
        if peak > 0.01 and 0.8 < wave.size / sample_rate < 15:
            break
    # Played at another speed, the formants move: more vocal tracts than the engine has.
    stretched = resample(wave * (PEAK / peak), sample_rate, round(sample_rate * rng.uniform(0.82, 1.2)))
    return stretched, sample_rate


def invent_utterance(rng: "np.random.Generator") -> tuple[str, EspeakVoice]:
    """Draw a string of words and a speaker; the grammar of it does not matter to a codec."""
    kind = rng.random()
    if kind < MANDARIN_SHARE:
        language, words = "cmn", "".join(rng.choice(MANDARIN_WORDS.split(), rng.integers(5, 11)))
    else:
        languages = ENGLISH_ACCENTS if kind < MANDARIN_SHARE + ENGLISH_SHARE else OTHER_LANGUAGES
        language = str(rng.choice(languages))
        words = " ".join(rng.choice(ENGLISH_WORDS.split(), rng.integers(6, 14)))
    voice = EspeakVoice(
        f"{language}+{rng.choice(VARIANTS.split())}",
        words_per_minute=int(rng.integers(115, 225)),
        pitch=int(rng.integers(10, 95)),
        pitch_range=int(rng.integers(15, 95)),
    )
    return words + str(rng.choice([".", "?", "!"])), voice
