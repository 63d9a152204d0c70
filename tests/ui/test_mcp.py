"""The endpoints as tools for agents: listed and called over loopback, as an agent does."""

import ast
import asyncio
import base64
import importlib.util
from contextlib import asynccontextmanager

import pytest

from camviz.errors import ImageError
from camviz.examples import example
from camviz.ui import api, launch_options
from camviz.ui.hosting import uploads

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="the extra mcp is not installed"
)

RAM = example("a-ram").path


def data_url(path):
    return f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"


@pytest.fixture(scope="module")
def endpoint(noisy):
    return f"{noisy}/gradio_api/mcp/"


@asynccontextmanager
async def session(endpoint):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(endpoint) as (receive, send, *_),
        ClientSession(receive, send) as made,
    ):
        await made.initialize()
        yield made


def call_tool(endpoint, tool, **given):
    """(text of the answer, whether it is an error) of one call."""

    async def talk():
        async with session(endpoint) as agent:
            answer = await agent.call_tool(tool, given)
        (content,) = answer.content
        return content.text, answer.isError

    return asyncio.run(talk())


def call(endpoint, tool, **given):
    """What a tool returns: gradio writes values down as Python does."""
    text, wrong = call_tool(endpoint, tool, **given)
    assert not wrong, text
    return ast.literal_eval(text)


@pytest.fixture(scope="module")
def listed(endpoint):
    async def ask_for_both():
        async with session(endpoint) as agent:
            tools = (await agent.list_tools()).tools
            return tools, (await agent.list_resources()).resources

    return asyncio.run(ask_for_both())


def test_the_public_endpoints_are_tools_and_nothing_else_is(listed):
    tools, resources = listed
    assert {tool.name for tool in tools} == {endpoint.__name__ for endpoint in api.ENDPOINTS}
    assert resources == []


def test_every_tool_and_argument_says_what_it_is(listed):
    for tool in listed[0]:
        assert len(tool.description) > 60, tool.name
        for name, schema in tool.inputSchema["properties"].items():
            assert len(schema.get("description", "")) > 15, (tool.name, name)


def test_explain(endpoint):
    found, file = call(
        endpoint, "explain", image=data_url(RAM), backbone="scenes-resnet", target="sheep"
    )
    assert found["target"]["label"] == "sheep" and "layer4" in found["stages"]
    assert found["predictions"][0]["label"] == "ram"
    assert file["url"].startswith(endpoint.removesuffix("mcp/")) and file["url"].endswith(".zip")


def test_prototypes_and_back(endpoint):
    pictures = [data_url(example(name).path) for name in ("a-ram", "a-ram-far-away")]
    network = {"backbone": "scenes-resnet", "target": "ram"}
    found, bank = call(endpoint, "prototypes", images=pictures, clusters=2, **network)
    assert found["pictures"] == 2
    given = {"image": data_url(RAM), "method": "lpcam", "prototypes": bank["url"], **network}
    found, _ = call(endpoint, "explain", **given)
    assert found["request"]["prototypes"].startswith("bank:")


def test_models(endpoint):
    (found,) = call(endpoint, "models", pattern="scenes-resnet")
    assert found["name"] == "scenes-resnet" and found["weights"] == "bundled"


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        str(RAM),
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.png",
        "http://127.0.0.1:9/gradio_api/file=/etc/passwd",
        f"http://127.0.0.1:9/gradio_api/file={RAM}",
        {"path": str(RAM), **META},
        {"path": "/etc/passwd", **META},
        "data:image/png;base64,no base64 at all",
    ],
)
def test_no_path_and_no_address_is_opened(endpoint, image):
    network = {"backbone": "scenes-resnet", "target": "ram"}
    for tool, given in (
        ("explain", {"image": image}),
        ("prototypes", {"images": [image]}),
        ("explain", {"image": data_url(RAM), "method": "lpcam", "prototypes": image}),
    ):
        text, wrong = call_tool(endpoint, tool, **given, **network)
        assert wrong and "root:" not in text and "Traceback" not in text, text


def test_errors_are_sentences(endpoint):
    text, wrong = call_tool(endpoint, "explain", image=data_url(RAM), backbone="local-dir:/etc")
    assert wrong and "choose one from the list" in text


def test_a_large_data_url_is_refused(monkeypatch):
    monkeypatch.setattr(uploads, "upload_limit", lambda: 1000)
    with pytest.raises(ImageError, match="MB at most"):
        uploads.upload_path(data_url(RAM))


def test_agents_are_served_unless_gradio_is_told_otherwise(monkeypatch):
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    assert launch_options()["mcp_server"] is True
    monkeypatch.setenv("GRADIO_MCP_SERVER", "false")
    assert launch_options()["mcp_server"] is None
