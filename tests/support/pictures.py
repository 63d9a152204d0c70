"""Folders of pictures."""

from PIL import Image

from camviz import draw_scenes


def write_photos(folder, count, seed):
    """So many drawn scenes, "0.png" and on, and "broken.png", which is no picture."""
    for number, scene in enumerate(draw_scenes(count, seed=seed)):
        Image.fromarray(scene.image).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder
