"""The page in a real browser: chromium of the machine, driven by Playwright."""

import re
import shutil

import pytest

from pipelines import explore
from pipelines.explore_page.limits import Rate
from pipelines.explore_page.server import make_app
from tests.pipelines.explored import SCRIPT, doubled, serving

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no chromium is installed"),
]
ITEMS = "#recommendations > li"
# Relative luminance and contrast as WCAG 2 defines them, for each visible text.
CONTRASTS = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((n) => n.nodeType === 3)
      .map((n) => n.textContent.trim()).join("");
    if (!text || !node.offsetParent || node.closest(".skip, option")) continue;
    const [a, b] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, text.slice(0, 40)]);
  }
  return found;
}"""
# What a check like Lighthouse's complains of.
FAULTS = """() => {
  const faults = [];
  const name = (node) => node.getAttribute("aria-label")
    || (node.labels && node.labels.length && node.labels[0].textContent.trim())
    || node.textContent.trim();
  for (const node of document.querySelectorAll("input, select, button, [role=img]")) {
    if (!name(node)) faults.push(`no name: ${node.outerHTML.slice(0, 80)}`);
  }
  for (const node of document.querySelectorAll("img:not([alt])")) {
    faults.push(`no alt: ${node.src}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size < ids.length) faults.push("an id twice");
  for (const node of document.querySelectorAll("[aria-controls], [aria-labelledby]")) {
    for (const id of [node.getAttribute("aria-controls"),
                      node.getAttribute("aria-labelledby")]) {
      if (id && !document.getElementById(id)) faults.push(`no element ${id}`);
    }
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (!document.documentElement.lang) faults.push("no lang");
  if (!document.querySelector("main")) faults.push("no main");
  return faults;
}"""


@pytest.fixture(scope="module")
def addresses(explored_export):
    films = explore.load_exports(explore.Config(model=explored_export))
    free = {"rate": Rate(10**6, burst=10**6)}
    old = doubled(embeddings=None, titles=[""] * 40)
    with (
        serving(make_app(films, **free)) as one,
        serving(make_app([*films, doubled("others")], **free)) as two,
        serving(make_app([old], **free)) as early,
    ):
        yield {"one": one, "two": two, "early": early}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, addresses):
    """Opens a page; at the end there must be no error in its console."""
    pages, problems = [], []

    def open_page(which="one", *, width=1400, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        pages.append(page)
        page.on("console", lambda line: problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(addresses[which])
        page.wait_for_selector(ITEMS)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert [text for text in problems if "429" not in text] == []


def titles(page):
    return page.locator(f"{ITEMS} .title").all_text_contents()


def pick(page, field, text):
    page.fill(field, text)
    page.wait_for_selector(f"{field}[aria-expanded=true]")
    page.keyboard.press("Enter")


def after(page, action):
    """Does something, and waits until the recommendations have followed."""
    with page.expect_response(re.compile(":predict")):
        action()
    page.wait_for_selector("#answers[aria-busy=false]")


def test_a_session_is_clicked_through(opened):
    page = opened()
    heading = page.locator("#answers-title")
    assert heading.text_content() == "Popular now, for a visitor"
    popular = titles(page)
    after(page, lambda: pick(page, "#item", "Film 7"))
    assert heading.text_content() == "Recommendations for this history"
    clicked = titles(page)
    assert clicked != popular
    assert "Film 7" not in clicked
    page.wait_for_selector(f"{ITEMS} .why")
    assert (
        "Because of Film 7 100%" in page.locator(f"{ITEMS} .why").first.text_content()
    )
    assert "by trend" in page.locator(f"{ITEMS} .trend-text").first.text_content()
    after(page, page.get_by_label(f"Exclude {clicked[0]}", exact=True).first.click)
    assert titles(page)[0] == clicked[1]
    after(page, lambda: page.select_option("#filter-kind", "q"))
    about = page.locator(f"{ITEMS} .about").all_text_contents()
    assert all(text.startswith("q") for text in about)
    call = page.locator("#calls pre").first.text_content()
    assert '"history": ["i7"]' in call
    assert '"filter_kind": ["q"]' in call
    assert call.startswith("curl -X POST 'http://127.0.0.1:")
    after(page, page.get_by_label("Remove the filter kind q").click)
    after(page, lambda: pick(page, "#user", "u3"))
    assert heading.text_content() == "Recommendations for user u3"
    assert page.locator("#history li").count() == 6
    after(page, page.locator("#history button").first.click)
    assert "You changed the known past" in page.locator("#history-note").text_content()
    after(page, lambda: page.check("#dated"))
    assert re.search(
        r'"time": 15\d{8}', page.locator("#calls pre").first.text_content()
    )
    page.locator(f"{ITEMS} button", has_text="Similar").first.click()
    page.wait_for_selector("#similar:not([hidden])")
    assert page.locator("#similar-items > li").count() == 10
    after(page, page.locator("#reset").click)
    assert titles(page) == popular


def test_a_title_is_text_and_never_a_script(opened):
    page = opened()
    after(page, lambda: pick(page, "#item", "script"))
    assert page.locator("#history .title").first.text_content() == SCRIPT
    after(page, lambda: page.uncheck("#seen"))
    page.wait_for_selector(f"{ITEMS} .why")
    assert SCRIPT in titles(page)
    assert page.locator("main script").count() == 0


def test_two_exports_are_compared(opened):
    page = opened("two")
    assert "items are in both lists" in page.locator("#compared").text_content()
    marked = page.locator("#others .mark").count()
    assert marked == page.locator("#others > li").count() > 0


def test_an_early_export_shows_what_it_can(opened):
    page = opened("early")
    assert "without titles" in page.locator("#facts").text_content()
    assert "no signature “history”" in page.locator("#history-note").text_content()
    assert not page.locator("#map-card").is_visible()
    assert page.locator(f"{ITEMS} button", has_text="Similar").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1400])
def test_text_is_readable_and_nothing_scrolls_sideways(opened, width, scheme):
    page = opened("two", width=width, scheme=scheme)
    after(page, lambda: pick(page, "#user", "u3"))
    page.wait_for_selector(f"{ITEMS} .why")
    page.locator("#calls summary").first.click()
    page.locator(f"{ITEMS} button", has_text="Similar").first.click()
    page.wait_for_selector("#similar:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    poor = [found for found in page.evaluate(CONTRASTS) if found[0] < 4.5]
    assert poor == []
    assert page.evaluate(FAULTS) == []


def test_the_keyboard_alone_is_enough(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Skip to")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "item":
            break
    assert "user" in reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == (
        "solid"
    )
    page.keyboard.type("film 1")
    page.wait_for_selector("#item[aria-expanded=true]")
    page.keyboard.press("ArrowDown")
    active = page.get_attribute("#item", "aria-activedescendant")
    title = page.locator(f"#{active}").evaluate("node => node.firstChild.textContent")
    after(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#history .title").first.text_content() == title
    page.keyboard.type("film")
    page.wait_for_selector("#item[aria-expanded=true]")
    page.keyboard.press("Escape")
    assert page.get_attribute("#item", "aria-expanded") == "false"
    page.locator(f"{ITEMS} button").first.focus()
    after(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#history li").count() == 2
    assert page.evaluate("document.activeElement !== document.body")


def test_a_server_that_has_gone_is_a_line(opened):
    page = opened("early")
    page.route(
        "**/*:predict",
        lambda route: route.fulfill(
            status=429, json={"error": "Too many requests for this server."}
        ),
    )
    page.fill("#k", "3")
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Too many requests" in page.locator("#problem").text_content()
