"""The table of submissions: its numbers, its CSV, and the page in a real browser, from a file.

Credits: Playwright, which drives Debian's Chromium.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from common.errors import UserError
from submission.mark import mark, stated_bonus
from submission.options import MarkSettings
from tests.submission.made_submissions import (
    LOG,
    PAPER,
    gravitar_files,
    gravitar_log,
    gravitar_scores,
    write_zip,
)

HOSTILE = "=cmd()<script>alert(1)</script>&.zip"


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on five submissions: a good one, a better one, an altered one, a hostile name, one that is no zip."""
    folder = tmp_path_factory.mktemp("submissions")
    good, better = gravitar_scores(801, 1, rise=0.1), gravitar_scores(801, 2, rise=1.0)
    write_zip(folder / "ada.zip", gravitar_files(good))
    write_zip(folder / "bob.zip", gravitar_files(better))
    altered = gravitar_log(better).replace("std_score: 3", "std_score: 2")
    write_zip(folder / "carol.zip", {**gravitar_files(better), LOG: altered.encode()})
    files = gravitar_files(good)
    del files[PAPER]
    write_zip(folder / HOSTILE.replace("/", "_"), files)
    (folder / "eve.zip").write_bytes(b"PK no zip")
    mark(MarkSettings(folder, means=(300.0, 100_000.0), output=folder / "marking"))
    return folder / "marking"


def test_the_table(marked: Path) -> None:
    with (marked / "submissions.csv").open(newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert len(rows) == 5
    assert next(name for name in rows if "cmd" in name).startswith("'=cmd()")
    better = gravitar_scores(801, 2, rise=1.0)
    bob = rows["bob.zip"]
    assert (bob["edition"], bob["faults"], bob["pages"], bob["episodes"], bob["flags"]) == ("2020", "0", "2", "801", "")
    assert float(bob["best score"]) == better[np.r_[0:801:10]].max()
    # Of the windows after each hundred games, the first whose mean is 300.
    means = [better[end - 99 : end + 1].mean() for end in range(100, 801, 100)]
    assert int(bob["episodes to 300"]) == 100 * (1 + next(k for k, mean in enumerate(means) if mean >= 300))
    assert float(bob["best mean of 100"]) == pytest.approx(max(means), abs=0.01)
    assert bob["episodes to 100000"] == ""
    assert rows["carol.zip"]["flags"] == "lines"
    assert (rows["eve.zip"]["faults"], rows["eve.zip"]["best score"]) == ("1", "")


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("This submission expects a total of +6 marks.", 6),
        ("I expect a total bonus of\n+1 mark", 1),
        ("Overall penalty: \u22122 marks.", -2),
        ("Bonus: 4 marks for STL-10. The total bonus is 5 marks", 5),
        ("Twenty marks", None),
    ],
)
def test_the_bonus_that_a_paper_states(text: str, total: int | None) -> None:
    assert stated_bonus(text) == total


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no submission"):
        mark(MarkSettings(tmp_path, output=tmp_path / "marking"))
    with pytest.raises(UserError, match="is not a folder"):
        mark(MarkSettings(tmp_path / "nothing"))
    with pytest.raises(UserError, match="--edition 2019"):
        mark(MarkSettings(tmp_path, edition=2019))


@pytest.fixture(scope="module")
def browser_page(marked: Path) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.goto((marked / "index.html").as_uri())
        yield page
        browser.close()
        assert wrong == []


def names(page: Page) -> list[str]:
    return [row.locator("td").first.inner_text() for row in page.locator("#rows tr").all()]


def test_the_page_sorts(browser_page: Page) -> None:
    page = browser_page
    assert names(page)[1:] == ["ada.zip", "bob.zip", "carol.zip", "eve.zip"]
    head = page.locator("th", has_text="best score")
    head.click()
    values = [row.locator("td").nth(7).inner_text() for row in page.locator("#rows tr").all()]
    known = [float(value) for value in values if value]
    assert known == sorted(known) and values[-1] == ""  # the one without a log is last
    head.click()
    values = [row.locator("td").nth(7).inner_text() for row in page.locator("#rows tr").all()]
    assert [float(value) for value in values if value] == sorted(known, reverse=True) and values[-1] == ""
    page.locator("th", has_text="submission").click()


def test_the_page_filters(browser_page: Page) -> None:
    page = browser_page
    page.fill("#filter", "bob")
    assert names(page) == ["bob.zip"] and page.locator("#count").inner_text() == "1 of 5"
    page.fill("#filter", "is missing")  # what a finding says
    assert len(names(page)) == 1 and "cmd" in names(page)[0]
    page.fill("#filter", "")
    page.check("#odd")
    assert names(page) == ["carol.zip"]
    page.uncheck("#odd")
    page.check("#faulty")
    assert {name[:3] for name in names(page)} == {"=cm", "eve"}
    page.uncheck("#faulty")
    assert len(names(page)) == 5


def test_the_page_shows_curves_and_evidence(browser_page: Page, marked: Path) -> None:
    page = browser_page
    assert page.locator("#curves path").count() == 4  # eve has no log
    row = page.locator("#rows tr", has_text="carol.zip")
    row.hover()
    assert page.locator("#curves path.chosen").count() == 1
    row.locator("summary").click()
    text = row.locator("details").inner_text()
    assert "marking lines are impossible" in text and "worth a second look" in text
    link = row.locator("a", has_text="figure").get_attribute("href")
    assert link is not None and (marked / link).read_bytes().startswith(b"\x89PNG")
    assert "=cmd()<script>alert(1)<_script>&.zip" in names(page)[0]  # as text, not run
