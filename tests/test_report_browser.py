"""report: the page of a real run in a real browser, clicked through."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from browser import Browser, chromium
from conftest import TINY, only_run

from pipeline.cli import main


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("browsed")
    for words in (["run", "isosceles", "--n", "6", *TINY, "--runs", str(root)],):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0
    return only_run(root)


@pytest.fixture(scope="module")
def page(run) -> Path:
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(run)])
    assert stopped.value.code == 0
    return run / "report.html"


@pytest.fixture
def tab(browser: Browser, page: Path):
    browser.open(page)
    yield browser
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {
        page.resolve().as_uri()
    }


def data(tab: Browser) -> dict:
    return json.loads(tab.ask("document.getElementById('data').textContent"))


def background(tab: Browser) -> str:
    return tab.ask("getComputedStyle(document.body).backgroundColor")


def test_the_theme_follows_the_system_and_the_button(browser, page):
    browser.open(page, scheme="dark")
    dark = background(browser)
    browser.click("#theme")
    assert background(browser) != dark
    browser.click("#theme")
    assert background(browser) == dark
    browser.ask("localStorage.clear()")
    assert browser.complaints == []


def test_the_slider_moves_through_the_rounds(tab):
    shown = "[...document.querySelectorAll('[data-round]')].filter(e => !e.hidden)"
    assert tab.ask(f"{shown}.map(e => e.dataset.round).join()") == "2"
    tab.ask("document.getElementById('round').focus()")
    tab.press("ArrowLeft")
    assert tab.ask(f"{shown}.map(e => e.dataset.round).join()") == "1"
    assert tab.ask("document.getElementById('round-shown').value") == "1"
    titles = tab.ask(f"{shown}[0].textContent")
    assert "Written by the model (20)" in titles


def test_a_pair_of_points_shows_exactly_what_it_blocks(tab):
    told = data(tab)
    board, coords = told["boards"][0], told["geometry"]["coords"]
    pair = (0, 3)
    for place in pair:
        tab.click("#stage g.points circle", place)
    (p, q) = (coords[board["points"][place]] for place in pair)

    def isosceles(u):
        sides = [(a - c) ** 2 + (b - d) ** 2 for (a, b), (c, d) in combinations([p, q, u], 2)]
        return len(set(sides)) < 3

    blocked = [u for u in coords if u not in (p, q) and isosceles(u)]
    assert blocked
    assert tab.ask("document.querySelectorAll('#stage .blocked').length") == len(blocked)
    text = tab.ask("document.getElementById('blocked').textContent")
    assert f"block {len(blocked)}: " in text
    for r, c in blocked:
        assert f"({r}, {c})" in text
    assert tab.ask("document.querySelectorAll('#stage .curve').length") >= 1
    tab.click("#clear")
    assert tab.ask("document.querySelectorAll('#stage .blocked').length") == 0


def test_a_board_is_used_by_keyboard(tab):
    tab.ask("document.querySelector('#stage svg').focus()")
    tab.press("Enter")
    assert tab.ask("document.querySelectorAll('#stage .chosen').length") == 1
    for key in ("ArrowRight", "ArrowDown", "ArrowRight"):
        tab.press(key)
    tab.press("Enter")
    assert tab.ask("document.querySelectorAll('#stage .chosen').length") == 2
    tab.press("Escape")
    assert tab.ask("document.querySelectorAll('#stage .chosen').length") == 0


def test_another_board_is_shown_when_asked_for(tab):
    tab.click(".thumb[data-board]", 1)
    told = data(tab)
    assert tab.ask("document.querySelectorAll('#stage g.points circle').length") == len(
        told["boards"][1]["points"]
    )
    assert told["pool"][1][0] in tab.ask("document.getElementById('board-facts').textContent")


def test_the_pool_is_sorted_by_the_heads_of_its_columns(tab):
    column = "[...document.querySelectorAll('#members tbody tr')].map(r => r.cells[{}].textContent)"
    scores = [int(s) for s in tab.ask(column.format(1))]
    assert scores == sorted(scores, reverse=True)
    tab.click("#members th button", 1)
    assert [int(s) for s in tab.ask(column.format(1))] == sorted(scores)
    head = "document.querySelectorAll('#members th')[{}].getAttribute('aria-sort')"
    assert (tab.ask(head.format(1)), tab.ask(head.format(0))) == ("ascending", "none")
    tab.click("#members th button", 0)
    names = tab.ask(column.format(0))
    assert names == sorted(names)
    assert len(names) == len(data(tab)["pool"])


def test_progress_is_shown_over_what_is_chosen(tab):
    shown = "[...document.querySelectorAll('[data-axis]')].filter(e => !e.hidden)"
    assert tab.ask(f"{shown}.map(e => e.dataset.axis).join()") == "rounds"
    tab.click("input[name=axis] + span", 1)
    assert tab.ask(f"{shown}.map(e => e.dataset.axis).join()") == "time"


def test_the_heat_map_averages_over_symmetries(tab):
    cells = "[...document.querySelectorAll('#heat .heat')].map(e => e.getAttribute('d')).join('|')"
    before = tab.ask(cells)
    tab.click("#average")
    drawn = tab.ask(cells)
    assert drawn != before
    cell, margin = data(tab)["geometry"]["cell"], data(tab)["geometry"]["margin"]
    for level in drawn.split("|"):
        starts = {
            tuple((int(x) - margin) // cell for x in part.split("h")[0].split())
            for part in level.split("M")[1:]
        }
        assert starts == {(5 - x, y) for x, y in starts} == {(y, x) for x, y in starts}


def test_nothing_is_wider_than_a_phone(browser, page):
    browser.open(page, width=390)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    assert browser.complaints == []


def test_everything_that_can_be_used_has_a_name_and_can_be_reached(tab):
    assert (
        tab.ask(
            "[...document.querySelectorAll('button, input, [role=img]')].filter(e => !("
            "e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length))).length"
        )
        == 0
    )
    tab.ask("document.body.focus()")
    seen = set()
    for _ in range(12):
        tab.press("Tab")
        seen.add(tab.ask("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"Skip to the content", "Boards", "theme"} <= seen


def test_runs_laid_over_each_other_have_a_line_each(browser, run, tmp_path, cli):
    import shutil

    other = Path(shutil.copytree(run, tmp_path / "other"))
    page = tmp_path / "both.html"
    assert cli("report", run, other, "-o", page).code == 0
    browser.open(page, width=390)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    legend = browser.ask("document.querySelector('[data-axis=rounds] svg').textContent")
    assert run.name in legend
    assert "other" in legend
    browser.click("input[name=axis] + span", 2)
    assert browser.ask("document.querySelector('[data-axis=cpu]').hidden") is False
    assert browser.complaints == []
