"""The report in a browser: no errors, search and order, dark, narrow and printed."""

import pytest
from browser_helpers import Browser, find_browser
from report_helpers import MARKUP, TEN_LONG_NAMES, make_result, page_of

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="Chromium is not installed, or not on this system"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the addresses of reports of two, of ten and of forty classes."""
    folder = tmp_path_factory.mktemp("pages")
    names = [f"gene_{j}" for j in range(60)]
    names[0] = MARKUP
    ten = make_result(class_names=TEN_LONG_NAMES, warnings=["x" * 300])
    forty = [f"{name} {i}" for name in TEN_LONG_NAMES for i in range(4)]
    texts = {
        "two": page_of(make_result(n_selected=40, names=names), "radius", "curves"),
        "ten": page_of(ten, "radius"),
        "forty": page_of(make_result(class_names=forty, n_test=200)),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in texts}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(find_browser(), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def no_errors(browser, pages):
    browser.errors.clear()
    browser.requests.clear()
    yield
    assert browser.errors == []
    assert set(browser.requests) <= set(pages.values())


def shown(browser):
    """Return the names of the features that are seen, from the top."""
    return browser.evaluate(
        "Array.from(document.querySelectorAll('#features tbody tr'))"
        ".filter(row => row.offsetParent).map(row => row.cells[1].textContent.trim())"
    )


def click_head(browser, column):
    browser.evaluate(
        f"document.querySelectorAll('#features th button')[{column}].click()"
    )


def test_errors_of_a_page_are_noticed(browser, tmp_path):
    """Otherwise the other tests could not fail."""
    page = tmp_path / "page.html"
    page.write_text("<script>missing()</script><img src='http://127.0.0.1:9/x.png'>")
    browser.open(page.as_uri())
    assert any("missing" in str(error) for error in browser.errors)
    assert "http://127.0.0.1:9/x.png" in browser.requests
    browser.errors.clear()
    browser.requests.clear()


def test_search_and_order_of_the_features(browser, pages):
    browser.open(pages["two"])
    first = shown(browser)
    assert len(first) == 25
    assert first[0] == MARKUP
    browser.evaluate("document.getElementById('all').click()")
    assert len(shown(browser)) == 40
    click_head(browser, 0)
    assert shown(browser)[0] == "gene_39"
    click_head(browser, 1)
    assert shown(browser)[1:4] == ["gene_1", "gene_2", "gene_3"]
    click_head(browser, 2)
    assert shown(browser)[0] == MARKUP
    browser.evaluate(
        "search = document.getElementById('search'); search.value = 'GENE_39';"
        "search.dispatchEvent(new Event('input'))"
    )
    found = shown(browser)  # itself, and those that it may stand in for
    assert "gene_39" in found
    assert len(found) == 4
    assert browser.evaluate("document.getElementById('count').textContent") == (
        "4 features"
    )


def test_without_scripts_all_features_are_seen(browser, pages):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pages["two"])
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(shown(browser)) == 40
    assert not browser.evaluate("document.getElementById('tools').offsetParent")


@pytest.mark.parametrize("page", ["two", "ten"])
@pytest.mark.parametrize("width", [400, 1100])
def test_page_is_not_wider_than_the_screen(page, width, browser, pages):
    browser.open(pages[page], width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_mode_changes_page_and_plots(browser, pages):
    ink = {}
    for dark in (False, True):
        browser.open(pages["two"], dark=dark)
        for place in ("body", "figure svg text"):
            brightness = browser.evaluate(
                f"getComputedStyle(document.querySelector('{place}'))"
                f".{'color' if place == 'body' else 'fill'}.match(/\\d+/g).slice(0, 3)"
                ".reduce((sum, part) => sum + Number(part), 0)"
            )
            ink[place, dark] = brightness
        ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(21, 25, 28)" if dark else "rgb(255, 255, 255)")
    for place in ("body", "figure svg text"):
        assert ink[place, False] < 200
        assert ink[place, True] > 600


def test_all_features_are_printed(browser, pages):
    """Whatever is shown or searched for on the screen."""
    browser.open(pages["two"])
    assert len(shown(browser)) == 25
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert len(shown(browser)) == 40
    browser.evaluate(
        "search = document.getElementById('search'); search.value = 'gene_39';"
        "search.dispatchEvent(new Event('input'))"
    )
    assert len(shown(browser)) == 40


@pytest.mark.parametrize("page", ["two", "ten"])
def test_scores_are_seen_on_a_phone(page, browser, pages):
    """The first one, and the halves, without scrolling."""
    browser.open(pages[page], width=400)
    right = browser.evaluate(
        "Math.max(...Array.from(document.querySelectorAll('tr.own .n'))"
        ".slice(0, 2).map(cell => cell.getBoundingClientRect().right))"
    )
    assert 0 < right <= 400
    right = browser.evaluate(
        "document.querySelectorAll('#features tbody tr')[0].cells[3]"
        ".getBoundingClientRect().right"
    )
    assert 0 < right <= 400


def test_print_has_no_controls_and_nothing_to_scroll(browser, pages):
    browser.open(pages["ten"], media="print")
    assert not browser.evaluate("document.getElementById('tools').offsetParent")
    assert browser.evaluate(
        "getComputedStyle(document.querySelector('.scroll')).overflowX"
    ) == ("visible")
    assert len(browser.call("Page.printToPDF")["data"]) > 10_000


@pytest.mark.parametrize("page", ["two", "ten", "forty"])
def test_tables_are_not_cut_off_in_print(page, browser, pages):
    """At the width that the smaller of the usual sheets leave within margins."""
    width = 710
    browser.open(pages[page], width=width, media="print")
    right = browser.evaluate(
        "Math.max(...Array.from(document.querySelectorAll('td, th'))"
        ".map(cell => cell.getBoundingClientRect().right))"
    )
    assert 600 < right <= width


def test_headings_of_ten_long_classes_can_be_told_apart(browser, pages):
    browser.open(pages["ten"])
    heads = browser.evaluate(
        "Array.from(document.querySelectorAll('.matrix thead th.class'))"
        ".map(th => [th.textContent, th.title, th.scrollHeight <= th.clientHeight + 1])"
    )
    assert len(heads) == 20
    assert len({text for text, *_ in heads}) == 10
    assert {title for _, title, _ in heads} == set(TEN_LONG_NAMES)
    assert all(fits for *_, fits in heads)
