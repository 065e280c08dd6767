"""The walk through an attack, on the page: by clicks, and again by keyboard alone.

A spike of likely attacks that nothing stopped, who sent them, what else that client did, whether it got anything; and
apart from it: why a request was refused, and one request by its id.
"""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.browser import Person

RULE = (
    "SELECT r.RayID, f.Action, f.Description FROM http_requests r JOIN firewall_events f ON r.RayID = f.RayID "
    "WHERE r.EdgeResponseStatus IN (403, 429) AND f.Action = 'block' AND r.RayID = '{}'"
)


def found_the_spike(person: Person) -> tuple[int, int]:
    """Which bars stand out: the first and the last of them."""
    labels = person.page.locator("svg [role=option]").evaluate_all("all => all.map(e => e.ariaLabel)")
    counts = [int(label.rpartition(": ")[2].replace(",", "")) for label in labels]
    high = [at for at, count in enumerate(counts) if count > max(counts) / 2]
    return high[0], high[-1]


def test_the_walk_by_clicks(person: Person) -> None:
    page, told = person.page, person.site.told
    person.click(page.get_by_role("link", name="http_requests", exact=True))
    person.click(page.get_by_role("navigation", name="Time range").get_by_role("link", name="24h"))
    assert person.total() == told.rows

    # Was there a spike of likely attacks that nothing stopped?
    new = page.locator(".condition.new")
    new.get_by_label("Field").select_option("WAFAttackScore")
    new.get_by_label("Operator").select_option(label="<")
    new.get_by_label("Value").fill("20")
    person.click(page.get_by_role("button", name="Search"))
    with person.going():
        page.get_by_label("Stacked by").select_option("nothing")
    new.get_by_label("Field").select_option("SecurityAction")
    with person.going():
        new.get_by_label("Value").press("Enter")
    first, last = found_the_spike(person)
    before = person.total()
    chart = page.locator("svg[data-zoom]")
    box = chart.bounding_box()
    bars = chart.locator("[role=option]").count()
    assert box
    page.mouse.move(box["x"] + box["width"] * (first + 0.5) / bars, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (last + 0.5) / bars, box["y"] + 60, steps=5)
    expect(page.locator("svg [aria-selected=true]")).to_have_count(last - first + 1)
    with person.going():
        page.mouse.up()
    assert before * 0.5 < person.total() < before

    # Who sent them?
    page.locator("#fields").get_by_role("link", name="ClientIP", exact=True).click()
    values = page.locator(".values ol > li")
    expect(values.first).to_contain_text(told.attacker)
    assert int(values.first.locator(".muted").inner_text().replace(",", "")) > person.total() * 0.8
    person.click(page.get_by_role("link", name=f"Only ClientIP {told.attacker}"))
    assert set(person.column("ClientIP")) == {told.attacker}

    # What did that address ask for in all this time?
    person.click(page.get_by_role("navigation", name="Time range").get_by_role("link", name="24h"))
    person.click(page.get_by_label("Take away WAFAttackScore"))
    person.click(page.get_by_label("Take away SecurityAction"))
    asked = " ".join(person.column("ClientRequestURI"))
    assert "UNION" in asked or "etc/passwd" in asked

    # Did it get anything out of the origin?
    person.click(page.get_by_role("link", name="Show column OriginResponseBytes"))
    assert set(person.column("OriginResponseBytes")) == {"0"}
    new.get_by_label("Field").select_option("OriginResponseBytes")
    new.get_by_label("Operator").select_option(label=">")
    new.get_by_label("Value").fill("0")
    person.click(page.get_by_role("button", name="Search"))
    expect(page.get_by_role("heading", name="No record matches")).to_be_visible()

    # Which rule refused a request?
    person.click(page.get_by_role("link", name="SQL", exact=True))
    page.get_by_label("SQL", exact=True).fill(RULE.format(told.blocked))
    page.get_by_label("From").fill("24h")
    person.click(page.get_by_role("button", name="Run"))
    assert person.column("Description") == [told.rule]

    # And that one request, by its Ray ID?
    page.get_by_label("Find by id").fill(told.blocked)
    person.click(page.get_by_role("button", name="Find"))
    expect(page.locator("article h2")).to_have_text(["firewall_events", "http_requests"])
    expect(page.locator("article").first).to_contain_text(told.rule)


def test_the_walk_by_keyboard_alone(person: Person) -> None:
    page, told = person.page, person.site.told
    person.enter(page.get_by_role("link", name="http_requests", exact=True))
    person.enter(page.get_by_role("navigation", name="Time range").get_by_role("link", name="24h"))
    assert person.total() == told.rows

    new = page.locator(".condition.new")
    person.choose(new.get_by_label("Field"), "WAFAttackScore")
    person.choose(new.get_by_label("Operator"), "<")
    person.write(new.get_by_label("Value"), "20")
    with person.going():
        person.press("Enter")

    first, last = found_the_spike(person)
    before = person.total()
    person.tab_to(page.locator("svg[data-zoom]"))
    person.press("Home", *["ArrowRight"] * first, *["Shift+ArrowRight"] * (last - first))
    expect(page.locator("svg [aria-selected=true]")).to_have_count(last - first + 1)
    with person.going():
        person.press("Enter")
    assert before * 0.5 < person.total() < before

    person.tab_to(page.locator("#fields").get_by_role("link", name="ClientIP", exact=True))
    person.press("Enter")
    expect(page.locator(".values ol > li").first).to_contain_text(told.attacker)
    person.enter(page.get_by_role("link", name=f"Only ClientIP {told.attacker}"))
    assert set(person.column("ClientIP")) == {told.attacker}
    person.enter(page.get_by_label("Take away WAFAttackScore"))

    person.enter(page.get_by_role("link", name="Show column OriginResponseBytes"))
    assert set(person.column("OriginResponseBytes")) == {"0"}
    person.choose(new.get_by_label("Field"), "OriginResponseBytes")
    person.choose(new.get_by_label("Operator"), ">")
    person.write(new.get_by_label("Value"), "0")
    with person.going():
        person.press("Enter")
    expect(page.get_by_role("heading", name="No record matches")).to_be_visible()

    person.enter(page.get_by_role("link", name="SQL", exact=True))
    person.tab_to(page.get_by_label("SQL", exact=True))
    page.keyboard.insert_text(RULE.format(told.blocked))
    person.press("Escape")
    person.write(page.get_by_label("From"), "24h")
    with person.going():
        person.press("Enter")
    assert person.column("Description") == [told.rule]

    person.write(page.get_by_label("Find by id"), told.blocked)
    with person.going():
        person.press("Enter")
    expect(page.locator("article h2")).to_have_text(["firewall_events", "http_requests"])
