"""The pages in a browser: sorting, filtering, the keyboard, narrow screens, without JavaScript.

`make test-pages` installs the driver; the browser is Chromium of the system, or ``CHROMIUM=path``.
"""

import os
import shutil

import pytest

from tests.unit.report.pages import write_run, write_val
from tests.unit.report.test_run_page import OTHER, ROW, call

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = (1280, 390)
CLASSES = tuple(f"class {number:04d} of a rather long name" for number in range(1203))

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright: `make test-pages`")
if not CHROMIUM:
    pytest.skip("no Chromium on this machine (or set CHROMIUM)", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        # In a container Chromium's own sandbox is not available; the pages are ours.
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Pages of three rows: one of two seeds, one with masks, one with as many classes as LVIS."""
    root = tmp_path_factory.mktemp("site") / "results" / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankdet.cli.run_sources._val_data", lambda *_: data)
        data = write_val(root.parent / "val")
        for seed, ap in ((0, 0.3), (1, 0.35)):
            write_run(root, ROW, ap=ap, seed=seed, several=True)
        write_run(root, OTHER, ap=0.1, names=CLASSES)
        write_run(root, "rs_mask_r50", ap=0.05, masks=True)
        call("html", "--preset", "demo", "--results", root)
        call("tables", "--preset", "demo", "--results", root)
    return root


@pytest.fixture
def opened(browser, results):
    """Return a function that opens a page; nothing may be loaded or reported by any page."""
    contexts, said, loaded = [], [], []

    def go(name, width=1280, **options):
        size = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, is_mobile=width < 500, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        page.goto((results / name).as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in loaded if not url.startswith(("file:", "data:"))] == []


PAGES = (
    *("report.html", f"{ROW}/seed-0/run.html", f"{OTHER}/run.html", "rs_mask_r50/run.html"),
    "tables/rank-sort-one-stage.html",
)


def column(page, table, index):
    rows = page.locator(f"{table} tbody > tr:not([hidden])")
    cells = rows.evaluate_all(
        "(rows, i) => rows.map(row => row.cells[i].textContent.trim())", index
    )
    return cells


def sort_by(page, table, name):
    page.locator(f"{table} thead tr:last-child th", has_text=name).first.locator("button").click()
    page.wait_for_timeout(60)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_the_screen(opened, name, width):
    page = opened(name, width)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(each =>
            !each.closest(".scroll, pre, svg") &&
            each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        ).map(each => each.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("main p, main td, main th, main dd")]
            .filter(each => each.textContent.trim())
            .map(each => parseFloat(getComputedStyle(each).fontSize))"""
    )
    assert min(sizes) >= 12


def test_a_column_is_sorted_by_value_with_missing_values_last(opened):
    page = opened(f"{OTHER}/run.html")
    table = "#classes-box table"
    before = column(page, table, 2)
    assert before[-1] == "—" and len(before) == len(CLASSES)
    sort_by(page, table, "AP")
    falling = column(page, table, 2)
    assert falling[:3] == ["25.0", "12.5", "8.3"] and falling[-1] == "—"
    sort_by(page, table, "AP")
    rising = column(page, table, 2)
    assert rising[0] == "0.0" and rising[-2:] == ["25.0", "—"]
    numbers = [float(each) for each in rising[:-1]]
    assert numbers == sorted(numbers)
    sort_by(page, table, "Class")
    assert column(page, table, 0)[0] == CLASSES[-1]
    assert page.locator(f"{table} th[aria-sort]").all_text_contents() == ["Class"]


def test_a_table_with_two_rows_of_headings(opened):
    page = opened("report.html")
    table = "#rank-sort-mask-rcnn-coco table"
    names = page.locator(f"{table} thead tr:last-child th").all_text_contents()
    place = names.index("published")
    for _ in range(2):
        sort_by(page, table, "published")
    values = column(page, table, place)
    numbers = [float(each) for each in values if each != "—"]
    assert numbers == sorted(numbers) and len(numbers) > 3
    page.locator(f"{table} thead tr.groups th").last.click()  # of several columns: sorts nothing
    page.wait_for_timeout(60)
    assert column(page, table, place) == values
    # The measured value is in one row, all others are missing.
    sort_by(page, table, "demo")
    measured = column(page, table, names.index("demo"))
    assert measured[0] == "5.0" and set(measured[1:]) == {"—"}


def test_a_table_is_sorted_with_the_keyboard(opened):
    page = opened("tables/rank-sort-mask-rcnn-coco.html")
    heads = page.locator("thead tr:last-child th")
    page.locator("input").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == heads.first.text_content()
    for key, direction in (("Enter", "descending"), ("Space", "ascending")):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
        assert heads.first.get_attribute("aria-sort") == direction


def test_the_filter_shows_the_rows_with_all_words(opened):
    page = opened("report.html")
    box = page.get_by_label("Filter the tables of this page")
    every = page.locator("table.sortable tbody > tr").count()
    box.fill("ATSS rs_atss")
    left = page.locator("table.sortable tbody > tr:not([hidden])")
    assert 0 < left.count() < every
    assert all("rs_atss" in text for text in left.all_text_contents())
    assert page.locator("output").text_content() == f"{left.count()} of {every} rows"
    assert page.locator("#rank-sort-one-stage").is_visible()
    assert not page.locator("#rank-sort-yolact").is_visible()
    assert page.locator("#bucketed-atss").is_visible()  # unfolded, since a row of it matches
    box.fill("no such row")
    assert left.count() == 0
    box.fill("")
    assert left.count() == every and page.locator("output").text_content() == ""
    sort_by(page, "#rank-sort-one-stage table", "published")
    assert page.locator("#rank-sort-one-stage").is_visible()


def test_a_filtered_table_stays_filtered_when_it_is_sorted(opened):
    page = opened(f"{OTHER}/run.html")
    page.get_by_label("Filter the tables of this page").fill("class 0001")
    sort_by(page, "#classes-box table", "AP")
    assert column(page, "#classes-box table", 0) == [CLASSES[1]]


def test_every_link_works(opened, results):
    page = opened("report.html")
    for name in PAGES:
        page.goto((results / name).as_uri())
        links = page.locator("a[href]").evaluate_all("links => links.map(link => link.href)")
        assert links
        for link in links:
            if link.startswith("file:"):
                place, _, anchor = link.removeprefix("file://").partition("#")
                assert os.path.isfile(place), link
                assert not anchor or page.locator(f"[id='{anchor}']").count() == 1
            else:
                assert link.startswith("https://github.com/")
    page.goto((results / "report.html").as_uri())
    page.locator("#rank-sort-one-stage td.measured a").first.click()
    assert page.locator("h1").text_content() == f"{ROW} seed 0"
    page.get_by_role("link", name="seed 1").click()
    page.get_by_role("link", name="All results of preset demo").click()
    assert page.url == (results / "report.html").as_uri()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_without_javascript(opened, name):
    page = opened(name, java_script_enabled=False)
    assert page.locator("tbody > tr").first.is_visible()
    assert page.locator("th button").count() == 0 and not page.locator("input").first.is_visible()


def test_the_page_of_many_classes_opens_and_sorts_fast(opened, results):
    size = (results / OTHER / "run.html").stat().st_size
    page = opened(f"{OTHER}/run.html")
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    spent = page.evaluate(
        """() => new Promise(done => {
            const table = document.querySelector("#classes-box table"), begin = performance.now();
            table.addEventListener("sort-end", () => done(performance.now() - begin));
            table.querySelectorAll("th button")[2].click();
        })"""
    )
    figures = f"{size / 1e6:.2f} MB, loaded {loaded:.0f} ms, sorted {spent:.0f} ms"
    print(f"{len(CLASSES)} classes: {figures}")
    assert size < 2_000_000 and loaded < 10_000 and spent < 3_000
    box = page.locator("#classes-box .box")
    assert box.evaluate("each => each.clientHeight") < 700  # it scrolls in its own box


def test_the_pages_follow_the_colors_of_the_system(opened):
    backgrounds = {
        scheme: opened("report.html", color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    }
    assert backgrounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}
