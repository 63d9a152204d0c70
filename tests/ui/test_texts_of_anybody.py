"""Properties of what reads texts of anybody: links, options, arguments, HTML. Always the same
examples, so that a failure is one everywhere.
"""

import html as standard
import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from camviz.engine.option import option_table
from camviz.engine.options import MAX_GAMMA, Options
from camviz.errors import CamvizError, RequestError, quote, shorten
from camviz.maps.cover import COVERS
from camviz.ui import actions, html, links
from camviz.ui.given import read_names, read_number, read_plain, read_switch, read_text, read_whole
from camviz.ui.signature import option_value
from camviz.ui.state import AUTO, DEFAULT, BackboneChoice, Covering, Session
from camviz.ui.values import selection

pytestmark = pytest.mark.usefixtures("fresh")

bounded = settings(
    derandomize=True,
    deadline=None,
    max_examples=80,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
plain = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=30)
anything = some.recursive(
    plain,
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
# A name as links hold it: no comma, which stands between names, and nothing at its ends.
name = some.text(min_size=1, max_size=60).map(str.strip).filter(lambda t: t and "," not in t)
TABLE = option_table(Options)
PAGE = links.page_options()
PLAIN = [n for n, row in TABLE.items() if row.values is not None]


@given(
    target=name,
    versus=name.filter(lambda text: text != "-"),
    gamma=some.floats(0.001, MAX_GAMMA).map(lambda value: float(f"{value:g}")),
    truncation=some.just(AUTO) | some.floats(0, 0.98).map(lambda value: float(f"{value:g}")),
    stages=some.none() | some.lists(name, min_size=1, max_size=5, unique=True).map(tuple),
    cover=some.builds(
        Covering,
        kind=some.sampled_from(sorted(COVERS)),
        hottest=some.integers(1, 99),
        others=some.booleans(),
    ),
    chosen=some.fixed_dictionaries(
        {
            key: some.sampled_from(sorted(row.values))
            for key, row in PAGE.items()
            if row.values is not None and key != "method"
        }
    ),
)
@bounded
def test_a_link_is_read_as_it_was_written(target, versus, gamma, truncation, stages, cover, chosen):
    controls = replace(
        DEFAULT, backbone=BackboneChoice("scenes-resnet"), target=target, versus=versus,
        gamma=gamma, truncation=truncation, cover=cover,
    ).with_options(stages=stages, **chosen)  # fmt: skip
    read, problems = links.read(links.write(controls, links.NO_PICTURE))
    assert problems == []
    assert (read.target, read.versus) == (target, versus)
    assert read.gamma in (gamma, None) and read.truncation in (truncation, None)
    assert DEFAULT.with_options(**read.options).options == controls.options
    assert read.cover == cover


KEYS = [
    *PAGE, "backbone", "weights", "example", "class", "versus", "gamma", "truncation", "cover",
    "covered", "hottest", "others", "without", "cut", "tab", "opacity", "__theme",
]  # fmt: skip
value = some.text(max_size=40) | some.sampled_from(
    ["nan", "inf", "-1", "1e400", "%00%zz", "../../etc/passwd", "local-dir:/etc", "x" * 5000,
     "9999x9999.AAAA", "a,b,,c", "[[[[", "<script>", "\u202e"]
)  # fmt: skip


@given(query=some.dictionaries(some.sampled_from(KEYS) | some.text(max_size=20), value, max_size=8))
@bounded
def test_any_link_opens_a_page_and_says_what_is_wrong(query):
    session = Session()
    actions.open_link(session, query, None)
    assert session.opened and session.controls.backbone.name
    assert all(len(problem) < 700 for problem in session.problems)
    hash(session.controls)


def test_a_link_with_a_thousand_keys_is_read_to_its_bounds():
    query = {f"key{number}": "x" * 1000 for number in range(1000)}
    read, problems = links.read(query)
    assert read == links.Link() and len(problems) == links.MOST_PROBLEMS + 1
    assert problems[-1] == f"and {links.MOST_KEYS - links.MOST_PROBLEMS} more parts of it"
    assert links.read({links.CUT: "1"})[1] == ["this link was too long, so nothing of it is set"]


@pytest.mark.parametrize("key", PLAIN)
def test_every_choice_of_an_option_is_parsed_as_it_was_written(key):
    row = TABLE[key]
    for each in row.values:
        assert row.parse(row.write(each)) == each == row.normalize(each)


@given(number=some.floats(allow_nan=False, allow_infinity=False))
@bounded
def test_a_number_of_an_option_is_parsed_as_it_was_written(number):
    row = TABLE["truncation"]
    assert math.isclose(row.parse(row.write(number)), number, rel_tol=1e-5, abs_tol=1e-300)


@given(names=some.lists(name, min_size=1, max_size=6).map(tuple))
@bounded
def test_names_of_an_option_are_parsed_as_they_were_written(names):
    row = TABLE["stages"]
    assert row.parse(row.write(names)) == names


@given(key=some.sampled_from(sorted(TABLE)), sent=anything)
@bounded
def test_an_option_takes_anything_and_says_what_is_wrong(key, sent):
    for make in (lambda: Options(**{key: sent}), lambda: option_value(TABLE[key], sent)):
        try:
            hash(make())
        except CamvizError as error:
            named = any(word[:6] in str(error) for word in (key, TABLE[key].label))
            assert named and len(str(error)) < 1600, error


@given(sent=anything)
@bounded
def test_readers_return_their_kind_or_a_sentence_that_names_the_argument(sent):
    readers = {
        str: lambda v: read_text("it", v), float: lambda v: read_number("it", v, -9, 9),
        int: lambda v: read_whole("it", v, 0, 9), bool: lambda v: read_switch("it", v),
        tuple: lambda v: read_names("it", v),
    }  # fmt: skip
    for kind, reader in readers.items():
        try:
            found = reader(sent)
        except RequestError as error:
            assert "it " in f"{error} " and len(str(error)) < 500
        else:
            assert type(found) is kind
            assert kind is not float or -9 <= found <= 9
            assert kind is not int or 0 <= found <= 9


@given(sent=anything)
@bounded
def test_a_click_is_plain_or_refused(sent):
    for data in (sent, {"value": sent}, {"value": "x", "index": sent}):
        try:
            found = selection(data)
        except RequestError:
            continue
        assert isinstance(found.index, int) and isinstance(found.selected, bool)
        assert read_plain("it", found.value) == found.value


@given(text=some.text())
@bounded
def test_texts_are_cut_to_their_bounds(text):
    long = text * 200
    assert len(shorten(long)) <= 1500 and len(quote(long)) <= 90
    assert shorten(text[:1000]) == text[:1000]


class Texts(HTMLParser):
    """The tags and the texts of some HTML."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, sorted(name for name, _ in attributes)))

    def handle_data(self, data):
        self.text += data


HARMFUL = some.text(max_size=40) | some.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'", "</style>", "{{ 7*7 }}",
     "&lt;", "javascript:alert(1)", "<!--", "]]>", "\x00"]
)  # fmt: skip


@given(text=HARMFUL, action=HARMFUL, label=HARMFUL)
@bounded
def test_html_shows_texts_as_texts(text, action, label):
    for make in (
        lambda *t: html.notice(t[0], {t[1]: t[2]}),
        lambda *t: html.message(t[0]),
        lambda *t: html.progress(t[2], 0.5),
    ):
        found, harmless = Texts(make(text, action, label)), Texts(make("a", "b", "c"))
        assert found.tags == harmless.tags
    shown = standard.unescape(str(html.message(text)))
    assert text in shown
