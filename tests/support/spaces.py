"""Our own Spacefile's folder, and small ones."""

from camviz.space import files, spacefile

ROOT = spacefile.ROOT


def read_and_render(folder):
    """The Space of a folder, its README written anew."""
    space = spacefile.read(folder)
    (folder / "README.md").write_text(files.render("# A Space\n", space))
    return space
