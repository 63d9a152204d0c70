"""axe-core, which finds what WCAG does not allow, on a page of the tests."""

from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RUN = """async ([tags, part]) =>
    (await axe.run(part ?? document, {runOnly: tags, resultTypes: ["violations"]}))
    .violations.flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) =>
        `${id}: ${html.slice(0, 200)} ${failureSummary}`))"""
# Resolves once nothing has moved for ten frames: targets are measured where they come to rest.
STILL = """() => new Promise(resolve => {
    let before = "", same = 0;
    const look = () => {
        const boxes = [...document.querySelectorAll("#page :is(button, input, canvas)")];
        const now = boxes.map(box => Object.values(box.getBoundingClientRect().toJSON())).join();
        same = now === before ? same + 1 : 0;
        before = now;
        same >= 10 ? resolve(true) : requestAnimationFrame(look);
    };
    look();
})"""


def violations(page, part=None):
    """What axe-core finds on a page at rest; skips the test where npm has not installed it.

    part: the selector of what is checked; None: the whole page.
    """
    if not FILE.is_file():
        pytest.skip("axe-core is not installed; npm ci does it")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(FILE.read_text(encoding="utf-8"))
    page.evaluate(STILL)
    return page.evaluate(RUN, [list(RULES), part])
