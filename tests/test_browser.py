"""The report in a real browser, from disk: nothing fails, nothing is fetched, players and keys do what they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_helpers import Watched, opened_window, started_browser
from listening_run import HOSTILE, QUARANTINED, make_listening_run

from codecfake.flows.report.report import ReportRequest, make_report
from codecfake.pipeline.monitor import Monitor

AT = "document.querySelector('td.current audio').currentTime"
PLAYS = "!document.querySelector('td.current audio').paused"
NAME = "document.querySelector('td.current').dataset.name"
UTTERANCE = "document.querySelector('tr.current').dataset.utterance"
SHOWN = "[...document.querySelectorAll('#listening tbody tr')].filter(row => !row.hidden).length"
SLOWLY = "document.querySelectorAll('audio').forEach(audio => { audio.playbackRate = 0.1 })"
"""The clips last 0.75 s: so they last 7.5."""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LIGHTNESS = (
    "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    run = make_listening_run(folder / "run")
    request = ReportRequest(run, utterances=5, wanted=(QUARANTINED, "p225_008"), rounds=20)
    make_report(request, folder / "report", Monitor())
    return folder / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with started_browser() as browser:
        yield browser


@pytest.fixture
def window(browser, report: Path) -> Iterator[Watched]:
    with opened_window(browser) as window:
        window.open(report / "listen.html")
        window.page.evaluate(SLOWLY)
        yield window
        window.require_silence()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_pages_open_from_disk_without_network_or_errors(browser, report: Path, scheme: str) -> None:
    with opened_window(browser, scheme=scheme, width=390, height=844) as window:
        pages = sorted(report.glob("*.html"))
        assert {page.stem for page in pages} >= {"index", "detectors", "audit", "listen"}
        for page in pages:
            window.open(page)
            window.page.wait_for_load_state("load")
            assert window.page.evaluate(SIDEWAYS) == 0, f"{page.name} is wider than a phone"
            assert (window.page.evaluate(LIGHTNESS) > 384) == (scheme == "light")
            for link in window.page.eval_on_selector_all("nav a", "links => links.map(link => link.href)"):
                assert Path(link.removeprefix("file://")).is_file()
        window.page.click("#theme")
        assert (window.page.evaluate(LIGHTNESS) > 384) == (scheme == "dark")
        window.require_silence()


def test_a_player_plays_and_another_column_goes_on_at_its_position(window: Watched) -> None:
    page = window.page
    page.click("tbody tr:nth-child(2) td:nth-of-type(1) .play")
    page.wait_for_function(f"{AT} > 0.1")
    assert page.get_attribute("td.current .play", "aria-pressed") == "true"
    before = page.evaluate(AT)
    page.keyboard.press("ArrowRight")
    assert page.evaluate(NAME) == "F04"
    after = page.evaluate(AT)
    assert before <= after < before + 0.3
    page.wait_for_function(f"{PLAYS} && {AT} > {after} + 0.02")
    assert page.eval_on_selector_all("audio", "all => all.filter(audio => !audio.paused).length") == 1


def test_space_plays_and_pauses_and_says_so(window: Watched) -> None:
    page = window.page
    page.keyboard.press(" ")
    page.wait_for_function(f"{PLAYS} && {AT} > 0.03")
    assert "playing" in page.inner_text("#status")
    page.keyboard.press(" ")
    page.wait_for_function(f"!({PLAYS})")
    assert "paused" in page.inner_text("#status")
    page.wait_for_selector('#toggle[aria-label="Play"]')  # the event of the pause comes a moment later


def test_digits_arrows_and_the_comparison_choose_cells(window: Watched) -> None:
    page = window.page
    page.keyboard.press("ArrowDown")
    assert page.evaluate(UTTERANCE) == "p225_008"
    page.keyboard.press("3")
    assert page.evaluate(NAME) == "F07"
    assert page.evaluate("document.activeElement.closest('td').dataset.name") == "F07"
    for key, name in (("a", "Genuine"), ("b", "F07"), ("ArrowLeft", "F04"), ("a", "Genuine"), ("a", "F04")):
        page.keyboard.press(key)
        assert page.evaluate(NAME) == name
    assert page.inner_text("#now") == "p225_008 · F04"


def test_a_missing_cell_is_skipped_and_explained(window: Watched) -> None:
    page = window.page
    assert page.evaluate(UTTERANCE) == QUARANTINED
    page.keyboard.press("ArrowRight")
    assert page.evaluate(NAME) == "F07"
    page.keyboard.press("2")
    assert page.evaluate(NAME) == "F07"
    assert "codec-silent" in page.inner_text("#status")


def test_a_click_on_a_spectrogram_plays_from_there(window: Watched) -> None:
    page = window.page
    box = page.locator("tbody tr:nth-child(2) td:nth-of-type(3) .picture").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    page.wait_for_function(PLAYS)
    assert page.evaluate(AT) == pytest.approx(0.6 * 0.75, abs=0.15)
    assert page.evaluate(NAME) == "F07"


def test_differences_are_toggled(window: Watched) -> None:
    page = window.page
    mel, minus = (
        page.locator(f"tbody tr:nth-child(2) td:nth-of-type(3) .{name}") for name in ("mel", "minus")
    )
    assert (mel.is_visible(), minus.is_visible()) == (True, False)
    page.keyboard.press("d")
    assert (mel.is_visible(), minus.is_visible()) == (False, True)
    page.wait_for_function("document.querySelector('tr:nth-child(2) .minus').naturalWidth > 0")
    assert page.is_checked("#difference")
    page.uncheck("#difference")
    assert (mel.is_visible(), minus.is_visible()) == (True, False)


def test_differences_are_off_when_the_browser_comes_back_to_the_page(window: Watched) -> None:
    page = window.page
    minus = page.locator("tbody tr:nth-child(2) td:nth-of-type(3) .minus")
    page.keyboard.press("d")
    assert page.is_checked("#difference")
    page.click("nav a[href='index.html']")
    page.go_back()
    page.wait_for_load_state("load")
    assert (page.is_checked("#difference"), minus.is_visible()) == (False, False)


def test_search_by_utterance_speaker_and_language(window: Watched) -> None:
    page = window.page
    total = page.evaluate(SHOWN)
    page.keyboard.press("/")
    for words, expected in (("p225_008", 1), ("<script>", 1), ("no such thing", 0), ("", total)):
        page.fill("#search", words)
        assert page.evaluate(SHOWN) == expected
    page.fill("#search", "mandarin")
    assert 0 < page.evaluate(SHOWN) < total
    assert f"{page.evaluate(SHOWN)} of {total}" in page.inner_text("#found")
    page.keyboard.press("Enter")
    assert "Mandarin" in page.inner_text("tr.current th")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert page.evaluate(SHOWN) == total


def test_help_opens_and_closes_by_key(window: Watched) -> None:
    page = window.page
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("d")
    assert not page.is_checked("#difference")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")


def test_a_speaker_named_as_a_script_is_inert(window: Watched) -> None:
    page = window.page
    assert HOSTILE in page.inner_text("[data-utterance=p225_008] th")
    assert page.locator("main img[src=x]").count() == 0
    assert page.locator("#listening script").count() == 0
    assert not window.dialogs
