"""Endpoints whose parameters come from the table of options."""

import asyncio
from dataclasses import dataclass

import gradio as gr
import pytest
from gradio.utils import get_function_description

from camviz.engine.option import option, option_table
from camviz.engine.options import Options
from camviz.errors import RequestError
from camviz.ui.api import explain, explain_endpoint
from camviz.ui.signature import option_value


def test_an_option_of_the_table_is_a_parameter():
    """One field of `Options` with page=True is all that a new option needs."""

    @dataclass(frozen=True, kw_only=True)
    class More(Options):
        sharpness: int = option(3, "how sharp maps are", kind=int, page=True)
        flavour: str = option(
            "sweet", "what maps taste of", choices={"sweet": "S", "sour": "T"}, page=True
        )
        inner: str = option("x", "no business of the page")

    async def described_by_gradio():  # gradio makes a loop of its own where it finds none
        with gr.Blocks() as page:
            gr.api(explain_endpoint(More))
            gr.api(explain)
        return page.get_api_info()["named_endpoints"]

    info = asyncio.run(described_by_gradio())
    more, usual = (
        {row["parameter_name"]: row for row in info[name]["parameters"]}
        for name in ("/explain", "/explain_1")
    )
    assert len(usual) == 19
    assert set(more) - set(usual) == {"sharpness", "flavour"}
    order = list(more)
    assert order[order.index("placement") + 1 : order.index("threshold")] == [
        "gamma",
        "truncation_mode",
        "views",
        "refine",
        "sharpness",
        "flavour",
    ]
    assert more["sharpness"]["parameter_default"] == 3
    assert more["sharpness"]["python_type"]["type"] == "int"
    described = get_function_description(explain_endpoint(More))[1]
    assert described["flavour"] == "What maps taste of: sweet or sour."
    assert described["sharpness"] == "How sharp maps are."
    assert all(len(text) > 15 for text in described.values())


def test_values_of_options_as_programs_send_them():
    rows = option_table(Options)
    assert option_value(rows["stages"], []) is None
    assert option_value(rows["stages"], ["a"]) == ("a",)
    assert option_value(rows["versus"], "") is None
    assert option_value(rows["versus"], "ram") == "ram"
    assert option_value(rows["truncation"], "0.5") == 0.5
    assert option_value(rows["truncation"], "auto") == "auto"
    assert option_value(rows["method"], "") == ""  # which `Options` refuses
    with pytest.raises(RequestError, match="truncation is a number, not 'much'"):
        option_value(rows["truncation"], "much")
