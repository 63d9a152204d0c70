"""The house rules of design.md section 1, read off the imports.

Who may know whom is a table; everything else is a search through the syntax trees. Nothing is
imported here but by the last tests, in processes of their own.
"""

import ast
import copy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CAMVIZ = ROOT / "camviz"

# Which modules of camviz a module may import, by dotted name without "camviz.": the longest row
# that is a prefix of its name counts, and a name in a row stands for everything below it. From the
# bottom to the top. Modules under one row may import each other, as long as there is no cycle.
BASE = "errors defaults environment turns resources version files completeness images fit"
BELOW_UI = f"{BASE} methods maps network prototypes teaching engine scenes examples space bulk"
BELOW_SERVICE = (
    f"{BELOW_UI} ui.costs ui.layers ui.choices ui.compute ui.html ui.links ui.sentences ui.state"
)
MAY_IMPORT = {
    "errors": "",
    "defaults": "",
    "environment": "errors",
    "turns": "environment",
    "terminal": "environment",
    "resources": "",
    "version": "resources",
    "logs": "",
    "files": "errors",
    "rgb": "errors",
    "completeness": "",
    "multichannel": "errors rgb",
    "images": "completeness errors files multichannel rgb",
    "fit": "errors images",
    "methods": "",
    "maps": "errors defaults",
    "network.packaged": "",
    "network": f"{BASE} methods maps network.packaged",
    "prototypes": f"{BASE} methods maps network",
    "teaching": f"{BASE} network",
    "engine": f"{BASE} methods maps network prototypes teaching",
    "scenes": "images",
    "examples": f"{BASE} scenes",
    "preprocessing": "network",
    "bulk": f"{BASE} rgb terminal methods maps network prototypes engine scenes preprocessing",
    "benchmark": f"{BASE} preprocessing methods maps network prototypes engine scenes bulk",
    "space": "errors resources network.packaged",
    # Inside of the page: state < service < actions < tabs < events < page.
    "ui.gradio_compat": "",
    "ui.hosting": "",
    "ui.hosting.presence": "",
    "ui.hosting.rates": "errors",
    "ui.hosting.storage": "errors",
    "ui.hosting.limits": "environment ui.hosting.presence ui.hosting.rates ui.hosting.storage",
    "ui.hosting.pool": "",
    "ui.order": "",
    "ui.help": "",
    "ui.theme": "",
    "ui.hosting.policy": "",
    "ui.given": "errors",
    "ui.sentences": "errors environment resources",
    "ui.html": f"{BELOW_UI} ui.sentences",
    "ui.hidden": "ui.html",
    "ui.file_link": "files ui.html",
    "ui.layers": BELOW_UI,
    "ui.hosting.uploads": f"{BELOW_UI} ui.gradio_compat",
    "ui.hosting.entrance": "errors environment ui.sentences",
    "ui.signature": f"{BELOW_UI} ui.given",
    "ui.thumbnails": f"{BELOW_UI} ui.html",
    "ui.state": f"{BELOW_UI} ui.order",
    "ui.hosting.records": f"{BELOW_UI} ui.sentences ui.state",
    "ui.hosting.caller": "environment ui.gradio_compat ui.hosting.limits ui.state",
    "ui.hosting.guard": "errors ui.gradio_compat ui.hosting.limits ui.hosting.uploads",
    "ui.hosting.housekeeping": (
        "environment ui.hosting.caller ui.gradio_compat ui.hosting.limits ui.hosting.records "
        "ui.state"
    ),
    "ui.on_request": f"{BELOW_UI} ui.state",
    "ui.tiles": f"{BELOW_UI} ui.html",
    "ui.starters": "",
    "ui.choices": f"{BELOW_UI} ui.starters",
    "ui.compute": BELOW_UI,
    "ui.costs": BELOW_UI,
    "ui.viewer": f"{BELOW_UI} ui.hidden ui.html ui.layers ui.state",
    "ui.links": f"{BELOW_UI} ui.given ui.choices ui.hosting.entrance ui.state ui.viewer",
    "ui.collection": f"{BELOW_UI} ui.html ui.viewer",
    "ui.service": BELOW_SERVICE,
    "ui.features": f"{BELOW_UI} ui.compute ui.layers ui.viewer",
    "ui.comparison": f"{BELOW_UI} ui.html ui.viewer",
    "ui.contrast": f"{BELOW_SERVICE} ui.service ui.tiles ui.viewer ui.comparison",
    "ui.sanity_plot": f"{BELOW_UI} ui.html ui.viewer",
    "ui.learn": "",
    "ui.learn.teaching": f"{BELOW_SERVICE} ui.service ui.viewer",
    "ui.learn.taught_prototypes": f"{BELOW_SERVICE} ui.service ui.viewer ui.learn.teaching",
    "ui.learn.bias_lesson": f"{BELOW_UI} ui.compute ui.state",
    "ui.covering": f"{BELOW_SERVICE} ui.service",
    "ui.learn.stories": f"{BELOW_UI} ui.compute ui.html ui.layers ui.viewer",
    "ui.learn.live": f"{BELOW_SERVICE} ui.service ui.given ui.hosting.limits ui.viewer",
    "ui.learn.guessing": f"{BELOW_SERVICE} ui.service",
    "ui.learn.playing": f"{BELOW_SERVICE} ui.service ui.given ui.learn.guessing",
    "ui.learn.pairs": f"{BELOW_SERVICE} ui.service ui.learn.guessing",
    "ui.verdict": f"{BELOW_UI} ui.layers ui.choices ui.html ui.links",
    "ui.strip": f"{BELOW_SERVICE} ui.service",
    "ui.frame": f"{BELOW_SERVICE} ui.service ui.strip",
    "ui.actions": f"{BELOW_SERVICE} ui.service",
    "ui.learn.map_limits": f"{BELOW_SERVICE} ui.service ui.actions ui.covering ui.learn.pairs",
    "ui.tabs.base": f"{BELOW_UI} ui.state",
    "ui.tabs": (
        f"{BELOW_SERVICE} ui.service ui.features ui.actions ui.comparison ui.contrast ui.covering "
        "ui.strip ui.tiles ui.verdict ui.viewer ui.hosting.uploads ui.gradio_compat ui.thumbnails "
        "ui.tabs.base ui.sanity_plot ui.on_request ui.hosting.pool ui.collection ui.given "
        "ui.file_link ui.hidden ui.learn"
    ),
    "ui.notices": f"{BELOW_SERVICE} ui.frame ui.hosting.records ui.tabs.base",
    "ui.answer": f"{BELOW_SERVICE} ui.service ui.strip ui.frame ui.tabs.base",
    "ui.values": f"{BELOW_UI} ui.given ui.state ui.gradio_compat ui.hosting.uploads",
    "ui.events": (
        f"{BELOW_SERVICE} ui.answer ui.given ui.notices ui.gradio_compat ui.values ui.order "
        "ui.tabs.base ui.hidden ui.hosting"
    ),
    "ui.sidebar": (
        f"{BELOW_SERVICE} ui.actions ui.frame ui.events ui.gradio_compat ui.hidden ui.thumbnails"
    ),
    "ui.downloads": (
        f"{BELOW_SERVICE} ui.service ui.covering ui.features ui.hosting.policy ui.strip ui.verdict "
        "ui.viewer ui.hosting.limits ui.collection ui.learn.stories ui.sanity_plot"
    ),
    "ui.api": (f"{BELOW_SERVICE} ui.service ui.given ui.signature ui.downloads ui.hosting"),
    "ui.server": f"{BELOW_SERVICE} logs ui.gradio_compat ui.hosting.policy ui.hosting.records",
    "ui": f"{BELOW_UI} logs ui",
    "notebook": "engine ui",
    "arguments": "",
    "cli_benchmark": f"arguments {BASE} terminal methods network engine scenes benchmark bulk",
    "cli_export": "arguments errors defaults files bulk ui",
    "cli_maps": "arguments errors files terminal engine network bulk",
    "cli_space": "errors resources space",
    "cli_teach": "files terminal engine",
    "cli": (
        f"arguments cli_benchmark cli_export cli_maps cli_space cli_teach terminal {BASE} methods "
        "maps network prototypes teaching engine scenes examples space bulk ui"
    ),
    "__main__": "cli",
}
# What a module may import besides camviz and the standard library.
MAY_REQUIRE = {
    "errors": "",
    "defaults": "",
    "environment": "",
    "turns": "",
    "resources": "",
    "version": "",
    "logs": "",
    "methods": "torch",
    "maps": "numpy torch cv2 scipy PIL matplotlib",
    "maps.fusion": "torch",
    "maps.boxes": "numpy cv2",
    "maps.curves": "numpy cv2",
    "maps.ranks": "numpy",
    "maps.localization": "numpy cv2 scipy",
    "network.packaged": "torch",
    "network.layouts": "torch",
    "network.taps": "torch",
    "network.stages": "torch",
    "network.discovery": "torch",
    "network.survey": "torch",
    "network.modules": "torch",
    "network.target": "torch",
    "network.timing": "torch",
    "network.graph_memory": "torch",
    "network.trace": "torch",
    "network.generator": "torch",
    "network.footprint": "torch",
    "network.head": "torch",
    "network.placement": "torch",
    "network.torchvision_ops": "torch",
    "network.classifier": "numpy",
    "network.lengths": "torch",
    "network.taught": "torch",
    "prototypes": "numpy torch PIL safetensors",
    "teaching": "torch safetensors",
    "engine.option": "",
    "engine.options": "",
    "engine.cache": "",
    "engine.lookups": "",
    "engine.memory": "",
    "engine.ahead": "",
    "engine.plan": "",
    "engine.notes": "",
    "engine.traces": "torch",
    "engine.export": "numpy PIL cv2",
    "rgb": "numpy PIL",
    "multichannel": "numpy tifffile",
    "images": "numpy PIL cv2",
    "fit": "numpy torch PIL",
    "space": "yaml packaging huggingface_hub",
    "cli": "torch",
    "cli_benchmark": "torch",
    "cli_maps": "",
    "cli_export": "",
    "cli_teach": "",
    "terminal": "torch",
    "__main__": "",
}
# Packages that only these modules may import.
ONLY = {
    "gradio": ("ui", "app"),
    "spaces": ("ui", "app"),
    "timm": ("network",),
    "matplotlib": ("maps.render", "benchmark.plots"),
    "huggingface_hub": ("network", "space"),
    "ray": ("bulk.on_ray",),
    "prometheus_client": ("ui.hosting.records", "ui.server"),
}
HOOKS = (
    "network.taps", "network.head", "network.tail", "network.batch_norm", "network.attention",
    "network.relevance", "network.giving_way",
)  # fmt: skip
AUTOGRAD = (
    "network.taps",
    "network.trace",
    "network.footprint",
    "network.head",
    "network.discovery",
    "network.placement",
    "network.attention",
    "network.relevance",
)
# Plain values in, plain values out: what a visitor sees can be tested without gradio.
WITHOUT_GRADIO = (
    "ui.state", "ui.layers", "ui.choices", "ui.links", "ui.html", "ui.thumbnails", "ui.service",
    "ui.strip", "ui.features", "ui.comparison", "ui.contrast", "ui.covering", "ui.tiles",
    "ui.verdict", "ui.frame", "ui.actions", "ui.answer", "ui.notices", "ui.sanity_plot",
    "ui.on_request", "ui.hosting.policy", "ui.hosting.records", "ui.hosting.presence",
    "ui.hosting.rates", "ui.hosting.storage", "ui.hosting.pool", "ui.collection",
    "ui.learn.stories", "ui.learn.teaching", "ui.learn.taught_prototypes", "ui.learn.bias_lesson",
    "ui.learn.guessing", "ui.learn.pairs", "ui.learn.playing", "ui.learn.live",
    "ui.learn.map_limits", "ui.file_link", "ui.tabs.teach_actions", "ui.tabs.base",
    "ui.tabs.prototype_actions", "ui.tabs.prototype_cards", "ui.tabs.similarity",
)  # fmt: skip
# Given tensors or a score function, never a network.
PURE = ("methods", "maps")
# What may import camviz inside of functions: the shell waits for nothing that it does not need.
LATE = (
    "cli", "cli_benchmark", "cli_export", "cli_maps", "cli_space", "cli_teach", "terminal",
    "engine.options", "app", "__init__",
)  # fmt: skip


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def files():
    """(dotted name without "camviz.", path) of every module of camviz, and app.py."""
    found = []
    for path in sorted(CAMVIZ.rglob("*.py")):
        parts = path.relative_to(CAMVIZ).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found.append((name, path))
    found.append(("app", ROOT / "app.py"))
    return found


def below(name, prefix):
    """Whether a dotted name is the prefix itself or stands below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def row_of(table, name):
    """The longest key of a table that the name stands below; None if there is none."""
    return max((key for key in table if below(name, key)), key=len, default=None)


def package_of(path):
    """The dotted name that a relative import in this file starts from."""
    return ".".join(path.relative_to(ROOT).parent.parts)


def imports(tree, package=""):
    """(dotted name, node) of everything that is imported, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                stem = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*stem, base] if base else stem)
            for alias in node.names:
                yield f"{base}.{alias.name}", node


def runtime(tree):
    """The tree without what stands under `if TYPE_CHECKING:`, which no module imports."""

    class Cut(ast.NodeTransformer):
        def visit_If(self, node):
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Cut().visit(copy.deepcopy(tree))


def modules():
    """dotted name -> path, of camviz alone."""
    found = {}
    for name, path in files():
        if name != "app":
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def resolve(name, known):
    """The camviz module that a dotted name comes from: the longest prefix that is one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in known:
            return ".".join(parts[:end])
    return None


def in_every_module(check):
    """A test that checks all modules one by one, and names each that is wrong."""

    def test():
        wrong = []
        for module, path in files():
            try:
                check(module, path)
            except AssertionError as error:
                wrong.append(f"{path.relative_to(ROOT)}: {error}")
        assert not wrong, "\n".join(wrong)

    test.__doc__ = check.__doc__
    return test


def test_every_module_is_in_the_table_and_every_row_has_modules():
    names = {name for name, _ in files()} - {"__init__", "app"}
    for name in names:
        assert row_of(MAY_IMPORT, name), f"{name} needs a row"
    order = list(MAY_IMPORT)
    for row, allowed in MAY_IMPORT.items():
        assert any(below(name, row) for name in names), f"there is no {row}"
        for other in allowed.split():
            assert other in MAY_IMPORT, f"{row} may import {other}, which has no row"
            assert order.index(other) <= order.index(row), f"{row} stands above {other}"
    for table in (MAY_REQUIRE, *ONLY.values(), WITHOUT_GRADIO, HOOKS, AUTOGRAD, PURE, LATE):
        for row in table:
            assert any(below(name, row) for name, _ in files()), f"there is no {row}"


@in_every_module
def test_modules_import_only_what_their_row_allows(module, path):
    known = modules()
    if module == "__init__":
        return  # the table of contents
    row = row_of(MAY_IMPORT, module)
    for name, node in imports(tree_of(path), package_of(path)):
        if name.split(".")[0] != "camviz":
            continue
        origin = resolve(name, known).removeprefix("camviz.")
        where = f"{path.name}:{node.lineno}: {module} may not import {origin}"
        if module == "app":
            assert below(origin, "ui") or below(origin, "environment"), where
        elif row_of(MAY_IMPORT, origin) != row:
            assert any(below(origin, allowed) for allowed in MAY_IMPORT[row].split()), where


@in_every_module
def test_modules_require_only_what_their_row_allows(module, path):
    row = row_of(MAY_REQUIRE, module)
    if row is None:
        return
    allowed = set(MAY_REQUIRE[row].split()) | {"camviz"} | sys.stdlib_module_names
    for name, node in imports(tree_of(path), package_of(path)):
        assert name.split(".")[0] in allowed, f"{path.name}:{node.lineno} imports {name}"


@in_every_module
def test_some_packages_are_imported_in_one_place(module, path):
    for name, node in imports(tree_of(path), package_of(path)):
        top = name.split(".")[0]
        homes = ONLY.get(top, (module,))
        where = f"{path.name}:{node.lineno}: {top} in {module}"
        assert any(below(module, home) for home in homes), where
        assert top not in ("tests", "conftest", "training", "benchmarks"), where
        assert not top.startswith("test_"), where


@pytest.mark.parametrize("module", WITHOUT_GRADIO)
def test_what_a_visitor_sees_is_made_without_gradio(module):
    path = dict(files())[module]
    assert not {name for name, _ in imports(tree_of(path)) if name.split(".")[0] == "gradio"}


def test_no_tab_imports_another_one():
    tabs = {path.stem for name, path in files() if below(name, "ui.tabs")}
    tabs = {stem for stem in tabs if "def wire(" in (CAMVIZ / f"ui/tabs/{stem}.py").read_text()}
    tabs -= {"base"}
    assert {"compare", "prototypes"} <= tabs
    for name, path in files():
        for imported, _ in imports(tree_of(path), package_of(path)):
            tail = imported.removeprefix("camviz.ui.tabs.")
            if imported != tail and tail.split(".")[0] in tabs:
                assert name == "ui.tabs.table", f"{name} imports the tab {tail}"


@in_every_module
def test_there_is_no_pyplot(module, path):
    for name, _ in imports(tree_of(path)):
        assert "pyplot" not in name
    attributes = {n.attr for n in ast.walk(tree_of(path)) if isinstance(n, ast.Attribute)}
    assert not attributes & {"pyplot", "rcParams"}


def words(tree):
    """Every name, attribute and imported name, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield from ((part, node.lineno) for part in alias.name.split("."))


@in_every_module
def test_hooks_and_autograd_stay_where_they_are_kept(module, path):
    for word, line in words(tree_of(path)):
        if word.startswith("register_") and word.endswith(("_hook", "hook_")):
            assert row_of(HOOKS, module), f"{path.name}:{line}: {word}"
        if word in {"autograd", "backward", "enable_grad", "vjp", "jvp", "retain_grad"}:
            assert row_of(AUTOGRAD, module), f"{path.name}:{line}: {word}"


@in_every_module
def test_pure_rooms_see_no_network(module, path):
    """methods, maps and the measures are given tensors or a score_fn, never a model."""
    if row_of(PURE, module):
        found = {word for word, _ in words(tree_of(path))}
        assert not found & {"Module", "Backbone", "load_backbone", "create_model"}


# What may only happen when somebody asks for it.
EFFECTS = {
    "set_num_threads",
    "set_num_interop_threads",
    "manual_seed",
    "seed",
    "set_grad_enabled",
    "set_default_dtype",
    "set_default_device",
    "create_model",
    "load_backbone",
    "hf_hub_download",
    "snapshot_download",
    "mkdir",
    "basicConfig",
    "simplefilter",
    "filterwarnings",
    "launch",
}


def calls_at_import(node):
    """Names of functions called while a module is being imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "__main__" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Call):
            function = child.func
            name = function.attr if isinstance(function, ast.Attribute) else None
            yield name or getattr(function, "id", ""), child.lineno
        yield from calls_at_import(child)


@in_every_module
def test_importing_has_no_effects(module, path):
    for name, line in calls_at_import(tree_of(path)):
        assert name not in EFFECTS, f"{path.name}:{line} calls {name} on being imported"


@in_every_module
def test_imports_stand_at_the_top(module, path):
    """Those of camviz in functions would hide a cycle; the shell alone may put them off."""
    if module in LATE:
        return
    for function in ast.walk(tree_of(path)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for name, node in imports(function, package_of(path)):
                assert name.split(".")[0] != "camviz", f"{path.name}:{node.lineno}: {name}"


def test_there_is_no_cycle():
    known = modules()
    edges = {}
    for name, path in known.items():
        if name == "camviz":
            continue  # a table of contents that is read when something is looked up
        origins = {
            resolve(imported, known)
            for imported, _ in imports(runtime(tree_of(path)), package_of(path))
            if imported.split(".")[0] == "camviz"
        }
        edges[name] = origins - {"camviz", name}
    done, path = set(), []

    def walk(name):
        assert name not in path, f"a cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            path.append(name)
            for other in sorted(edges[name]):
                # a module brings its package in with it, unless it is part of that package
                walk(other)
            path.pop()
            done.add(name)

    for name in edges:
        walk(name)
    assert done == set(edges)


# --- the reader of imports itself ---


def test_the_reader_understands_every_way_to_import():
    tree = ast.parse(
        "import a.b\n"
        "from camviz import maps\n"
        "from camviz.maps import fuse\n"
        "from . import gradient\n"
        "from ..maps import x\n"
        "def f():\n    import gradio as g\n"
    )
    assert [name for name, _ in imports(tree, "camviz.methods")] == [
        "a.b",
        "camviz.maps",
        "camviz.maps.fuse",
        "camviz.methods.gradient",
        "camviz.maps.x",
        "gradio",
    ]
    known = {"camviz": 1, "camviz.maps": 2, "camviz.methods": 3, "camviz.methods.gradient": 4}
    assert resolve("camviz.maps.fuse", known) == "camviz.maps"
    assert resolve("camviz.methods.gradient", known) == "camviz.methods.gradient"
    assert resolve("camviz.Engine", known) == "camviz"
    assert resolve("torch", known) is None


def test_the_reader_leaves_out_what_only_types_need():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nimport b\n"
    )
    assert [name for name, _ in imports(runtime(tree))] == ["typing.TYPE_CHECKING", "b"]
    assert "a" in [name for name, _ in imports(tree)]


def test_the_reader_finds_effects():
    tree = ast.parse(
        "torch.manual_seed(0)\n"
        "x = [Path('a').mkdir()]\n"
        "class A:\n    y = seed(1)\n    def f(self): launch()\n"
        "if __name__ == '__main__':\n    launch()\n"
        "def g(): create_model()\n"
    )
    found = [name for name, _ in calls_at_import(tree)]
    assert found == ["manual_seed", "mkdir", "Path", "seed"]


# --- in a process of its own ---


def loaded_after(script):
    """Which of the heavy packages a script has loaded."""
    heavy = {"torch", "gradio", "timm", "cv2", "numpy", "matplotlib.pyplot"}
    tail = f"\nimport sys\nprint('loaded:', *({heavy!r} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script + tail],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].removeprefix("loaded:").split())


def command(*arguments):
    return (
        "import runpy, sys\n"
        f"sys.argv = {['camviz', *arguments]!r}\n"
        "try:\n    runpy.run_module('camviz', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
    )


@pytest.mark.skipif(not (CAMVIZ / "cli.py").exists(), reason="there is no command line yet")
@pytest.mark.parametrize("arguments", [["--help"], ["explain", "--help"]])
def test_help_waits_for_neither_torch_nor_gradio(arguments):
    assert loaded_after(command(*arguments)) == set()


def test_importing_camviz_loads_no_gradio_and_no_pyplot():
    script = "import camviz\nfor name in camviz.__all__: getattr(camviz, name)"
    loaded = loaded_after(script)
    assert "torch" in loaded and not loaded & {"gradio", "matplotlib.pyplot"}
