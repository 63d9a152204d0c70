"""Actions in quick succession: however fast they come, the page ends with the last of each."""

import random
import re
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import expect

from camviz.examples import examples
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from tests.support.pages import (
    BURSTS,
    MAPS,
    heading,
    link_of,
    open_settings,
    perform,
    wait_for_link,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

SCENE = "&backbone=scenes-resnet&example=a-ram"
MODULE = "layer2.0.conv1"


@dataclass(frozen=True)
class Step:
    """What is done on the page, as quick.js does it, and the parameters of the link that it sets.

    A parameter is None if it goes; CLICKED stands for the label of the class that was clicked.
    """

    act: tuple
    sets: dict = field(default_factory=dict)


CLICKED = object()
STEPS = {
    "class by its bar": Step(("bar",), {"class": CLICKED}),
    "class by menu": Step(("pick", "target", "sailing boat"), {"class": "sailing boat"}),
    "rival by its button": Step(("rival",), {"versus": CLICKED}),
    "rival by menu": Step(("pick", "versus", "church"), {"versus": "church"}),
    "method": Step(("pick", "method", METHODS["hires_cam"].label), {"method": "hires_cam"}),
    "fusion": Step(("pick", "fuse", FUSIONS["max_tanh"].label), {"fuse": "max_tanh"}),
    "fit": Step(("click", "#fit input[value=crop]"), {"fit": "crop"}),
    "tap": Step(("click", "#tap input[value=output]"), {"tap": "output"}),
    "placement": Step(("click", "#placement input[value=true]"), {"placement": "true"}),
    "truncation": Step(("slide", "#truncation input[type=range]", 0.5), {"truncation": "0.5"}),
    "an example": Step(
        ("click", "#examples [data-label=a-zebra]"),
        {"example": "a-zebra", "class": None, "versus": None},
    ),
    "another example": Step(
        ("click", "#examples [data-label=a-windmill]"),
        {"example": "a-windmill", "class": None, "versus": None},
    ),
}
LAYERS = {
    "layer": Step(("click", "#stages label:has(input:checked):nth-of-type(3) input")),
    "module": Step(("pick", "modules", MODULE), {"stages": f"layer1,layer3,layer4,{MODULE}"}),
}
BACKBONE = Step(("pick", "backbone", "scenes-vit"), {"backbone": "scenes-vit", "stages": None})
# Never clicked as a class: the answers to the examples, and what the menus choose.
AVOIDED = ("ram", "zebra", "windmill", "sailing boat", "church")


def use(page, steps, pace):
    """Do steps on a page, one each `pace` milliseconds; returns the parameters of the link then."""
    done = perform(page, [step.act for step in steps], pace, AVOIDED)
    wanted = dict(link_of(page))
    for step, label in zip(steps, done, strict=True):
        wanted |= {key: label if value is CLICKED else value for key, value in step.sets.items()}
    return wanted


def order(seed):
    """Twelve controls and more in some order: the backbone last of the layers, or not at all."""
    shuffled = random.Random(seed)
    steps = [*STEPS.values(), *LAYERS.values()]
    shuffled.shuffle(steps)
    if seed % 2:
        after = max(steps.index(step) for step in LAYERS.values())
        steps.insert(shuffled.randint(after + 1, len(steps)), BACKBONE)
    return steps


def shown(page):
    """What the viewer shows: every map's name and pixels; of a blank in its place what it says."""
    return page.locator(MAPS).evaluate_all(
        """all => all.map(one => one.matches('.vw-missing') ? [one.textContent, null] :
        [one.querySelector('.vw-open').ariaLabel, one.querySelector('canvas').toDataURL()])"""
    )


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(10))
def test_controls_used_within_two_seconds_all_count(open_page, seed):
    page = open_page(query=SCENE)
    wait_until_idle(page)
    open_settings(page)
    steps = order(seed)
    wanted = use(page, steps, 2000 / len(steps))
    wait_for_link(page, **wanted)
    wait_until_idle(page)
    wanted = {key: value for key, value in wanted.items() if value is not None}
    assert link_of(page) == wanted

    chosen = {
        "backbone": re.compile(f"^{wanted['backbone']} ·"),
        "target": wanted.get("class", "top prediction"),
        "versus": wanted.get("versus", "not compared"),
        "method": re.compile("^HiRes-CAM ·"),
        "fuse": re.compile("^Maximum"),
    }
    for menu, value in chosen.items():
        expect(page.locator(f"#{menu} input")).to_have_value(value)
    for option in ("fit", "tap", "placement"):
        expect(page.locator(f"#{option} input:checked")).to_have_value(wanted[option])
    expect(page.locator("#truncation input[type=range]")).to_have_value("0.5")
    expect(page.locator("#automatic input")).not_to_be_checked()
    expect(page.locator("#viewer [data-row=removed]")).to_be_visible()
    ticked = page.locator("#stages input:checked")
    expect(ticked).to_have_count(3 if "stages" in wanted else 4)
    named = page.locator("#modules .token")
    expect(named).to_have_text([MODULE] if "stages" in wanted else [])
    for label in (wanted.get("class"), wanted.get("versus")):
        expect(heading(page)).to_contain_text(label or "")
    assert page.locator(".cv-notice").count() == 0

    maps, title = shown(page), heading(page).inner_text()
    assert len(maps) >= 10
    again = open_page(query="".join(f"&{k}={v}" for k, v in wanted.items() if k != "__theme"))
    wait_until_idle(again)
    assert heading(again).inner_text() == title
    assert shown(again) == maps


def test_the_last_of_two_examples_wins(open_page):
    page = open_page(query=SCENE)
    wait_until_idle(page)
    use(page, [STEPS["an example"], STEPS["another example"]], 400)
    wait_for_link(page, example="a-windmill")
    wait_until_idle(page)
    assert link_of(page)["example"] == "a-windmill"
    expect(heading(page)).to_contain_text("It says windmill")


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(2))
def test_answers_that_arrive_at_once_end_with_the_last(open_page, seed):
    page = open_page(query=SCENE, script=BURSTS)
    wait_until_idle(page)
    buttons = page.locator("#bars .cv-bar")
    labels = buttons.evaluate_all("all => all.map(one => one.dataset.label)")[1:]
    random.Random(seed).shuffle(labels)
    steps = [Step(("click", f'#bars [data-label="{label}"]')) for label in labels]
    use(page, steps, 150)
    wait_for_link(page, **{"class": labels[-1]})
    wait_until_idle(page)
    assert link_of(page)["class"] == labels[-1]
    expect(heading(page)).to_contain_text(f"Where it would see {labels[-1]}")


def test_an_answer_whose_stream_was_closed_comes_all_the_same(open_page):
    """As gradio closes it: the browser has opened it for the event, and the server is asked not."""
    page = open_page(query=SCENE)
    wait_until_idle(page)
    page.evaluate(
        """() => { const fetch = window.fetch
        window.refused = 0
        window.fetch = async (...given) => {
          const stream = String(given[0].url ?? given[0]).includes("/queue/data")
          if (!stream || window.refused++) return fetch(...given)
          return new Response('data: {"msg": "close_stream"}\\n\\n',
            {headers: {"content-type": "text/event-stream"}})
        } }"""
    )
    label = page.locator("#bars .cv-bar").nth(1).get_attribute("data-label")
    page.locator("#bars .cv-bar").nth(1).click()
    wait_for_link(page, **{"class": label})
    assert page.evaluate("window.refused") == 2
    expect(heading(page)).to_contain_text(f"Where it would see {label}")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["examples", "bars"])
def test_the_last_of_ten_clicks_wins(open_page, kind, seed):
    page = open_page(query=SCENE)
    wait_until_idle(page)
    shuffled = random.Random(seed)
    buttons = page.locator("#examples button" if kind == "examples" else "#bars .cv-bar")
    labels = buttons.evaluate_all("all => all.map(one => one.dataset.label)")
    clicks = [label for label in shuffled.choices(labels[1:], k=9) if label != labels[1]]
    steps = [Step(("click", f'#{kind} [data-label="{label}"]')) for label in [*clicks, labels[1]]]
    use(page, steps, 2000 / len(steps))
    key = {"examples": "example", "bars": "class"}[kind]
    wait_for_link(page, **{key: labels[1]})
    wait_until_idle(page)
    assert link_of(page)[key] == labels[1]
    if kind == "bars":
        expect(heading(page)).to_contain_text(f"Where it would see {labels[1]}")


def test_pictures_of_the_gradio_package_open_wherever_it_lies(open_page):
    """The server runs away from the environment, so that gradio would not serve its files."""
    page = open_page()
    photographs = {row.name for row in examples() if row.backbones != "scenes"}
    labels = page.locator("#examples button").evaluate_all("all => all.map(b => b.dataset.label)")
    there = [label for label in labels if label in photographs]
    assert there
    for label in there[1:] + there[:1]:
        page.locator(f"#examples [data-label='{label}']").click()
        wait_for_link(page, example=label)
        expect(page.locator("#picture img")).to_be_visible()
    assert page.locator(".cv-notice").count() == 0
