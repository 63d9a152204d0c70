"""axe-core, which finds what WCAG does not allow, on a page of the tests."""

from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RUN = """async tags => (await axe.run(document, {runOnly: tags, resultTypes: ["violations"]}))
    .violations.flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) =>
        `${id}: ${html.slice(0, 200)} ${failureSummary}`))"""


def violations(page):
    """What axe-core finds on a page as it is now; skips the test where npm has not installed it."""
    if not FILE.is_file():
        pytest.skip("axe-core is not installed; npm ci does it")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(FILE.read_text(encoding="utf-8"))
    return page.evaluate(RUN, list(RULES))
