"""What pyproject.toml cannot say: what becomes camviz/assets in the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithAssets(build_py):
    """Copies the files that are not Python; camviz/resources.py finds them in both places."""

    def run(self) -> None:
        if not self.editable_mode:
            # build/ may be left from an earlier build, with files that have gone since.
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        for file, target in self._assets().items():
            if not self.editable_mode:
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copied = [str(target) for target in self._assets().values()]
        return [*super().get_outputs(include_bytecode), *copied]

    def _assets(self) -> dict[Path, Path]:
        files = [path for path in sorted(Path("assets").rglob("*")) if path.is_file()]
        package = Path(self.build_lib) / "camviz"
        targets = {path: package / path for path in files}
        beside = {"Spacefile": "Spacefile", "docs/glossary.md": "glossary.md"}
        return targets | {Path(file): package / "assets" / name for file, name in beside.items()}


setup(cmdclass={"build_py": BuildWithAssets})
