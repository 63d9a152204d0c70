"""Data sets laid out as they are published, in folders of a few pixels."""

import numpy as np
import pytest
from PIL import Image

from camviz.benchmark.cases import box_around, box_mask
from camviz.benchmark.datasets import open_dataset
from camviz.errors import DataError, ImageError

BOXES = """<annotation><object><name>cat</name><difficult>0</difficult><bndbox><xmin>3</xmin>
<ymin>2</ymin><xmax>10</xmax><ymax>8</ymax></bndbox></object><object><name>dog</name>
<difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>
</object><object><name>cat</name><difficult>1</difficult><bndbox><xmin>12</xmin><ymin>1</ymin>
<xmax>20</xmax><ymax>12</ymax></bndbox></object></annotation>"""


def picture(file, size=(20, 12)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size[::-1], 3), 90, np.uint8)).save(file)


def palette(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), "P")
    image.putpalette([0] * 768)
    image.save(file)


@pytest.fixture
def voc(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / f"JPEGImages/{name}.jpg")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / f"Annotations/{name}.xml").write_text(BOXES)
    return tmp_path


def segment(voc, name="a"):
    values = np.zeros((12, 20))
    values[1:8, 2:10] = 8  # cat
    values[0, :] = 255
    palette(voc / f"SegmentationClass/{name}.png", values)
    return values


def test_voc_with_segmentations(voc):
    values = segment(voc)
    segment(voc, "b")
    lists = voc / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("b\na\nmissing\n")
    data = open_dataset(f"voc:{voc}")
    assert data.names == ["b", "a"]
    case = data.case(1)
    assert case.exact and [thing.label for thing in case.things] == ["cat"]
    assert np.array_equal(case.things[0].mask, values == 8)
    assert np.array_equal(case.ignored, values == 255)
    assert case.things[0].boxes.tolist() == [[2, 1, 10, 8], [11, 0, 20, 12]]  # half-open, from 0
    labels = case.labels
    assert (labels[values == 8] == 1).all() and (labels[values == 255] == -1).all()
    assert set(np.unique(labels)) == {-1, 0, 1}


def test_voc_with_boxes_alone_asks_for_nothing_that_is_difficult(voc):
    data = open_dataset(f"voc:{voc}")
    assert data.names == ["a", "b", "c"]
    case = data.case(0)
    assert not case.exact and [thing.label for thing in case.things] == ["cat"]
    assert np.array_equal(case.things[0].mask, box_mask(case.things[0].boxes, 12, 20))


def test_voc_without_an_annotation_has_the_box_of_the_mask(voc):
    values = segment(voc)
    (voc / "Annotations/a.xml").unlink()
    case = open_dataset(f"voc:{voc}").case(0)
    assert case.things[0].boxes.tolist() == [[2, 1, 10, 8]] == box_around(values == 8).tolist()


def test_imagenet_s(tmp_path):
    classes = [f"n{number:08}" for number in range(1, 304)]
    for name in classes:
        (tmp_path / "validation-segmentation" / name).mkdir(parents=True)
    picture(tmp_path / "validation" / classes[0] / "x.JPEG")
    truth = np.zeros((12, 20, 3), np.uint8)
    truth[2:5, 3:9] = (45, 1, 0)  # class 45 + 256
    truth[8:, :] = (1000 % 256, 1000 // 256, 0)
    Image.fromarray(truth).save(tmp_path / "validation-segmentation" / classes[0] / "x.png")
    data = open_dataset(f"imagenet-s:{tmp_path}")
    assert data.names == [f"{classes[0]}/x"]
    case = data.case(0)
    assert [thing.label for thing in case.things] == [classes[300]]
    assert case.things[0].boxes.tolist() == [[3, 2, 9, 5]]
    assert case.things[0].mask.sum() == 18 and case.ignored.sum() == 80


def test_boxes_in_a_csv_file(tmp_path):
    picture(tmp_path / "p/a.png")
    file = tmp_path / "boxes.csv"
    file.write_text("file,class,x0,y0,x1,y1\np/a.png,cat,1,2,5,6\np/a.png,dog,0,0,20,12\n"
                    "p/a.png,cat,10,2,12,4\np/gone.png,cat,0,0,1,1\n")  # fmt: skip
    data = open_dataset(f"boxes:{file}")
    case = data.case(0)
    assert [thing.label for thing in case.things] == ["cat", "dog"]
    assert case.things[0].boxes.tolist() == [[1, 2, 5, 6], [10, 2, 12, 4]]
    assert case.things[0].mask.sum() == 20 and case.things[1].mask.all()
    with pytest.raises(ImageError):
        data.case(1)


def test_scenes_have_every_thing_and_nothing_ignored():
    data = open_dataset("scenes", 40)
    assert len(data.names) == 40 and data.names[3] == "scene 6002:3"
    counts = [len(data.case(index).things) for index in range(24)]
    assert 1 in counts and 2 in counts
    case = data.case(counts.index(2))
    assert case.exact and case.ignored is None
    for number, thing in enumerate(case.things, 1):
        assert np.array_equal(case.labels == number, thing.mask)
        assert np.array_equal(thing.boxes, box_around(thing.mask))


def test_some_of_many_are_chosen_by_the_seed(tmp_path):
    lines = [f"{number}.png,cat,0,0,4,4" for number in range(30)]
    (tmp_path / "b.csv").write_text("\n".join(["file,class,x0,y0,x1,y1", *lines]))
    whole = open_dataset(f"boxes:{tmp_path / 'b.csv'}")
    some = open_dataset(f"boxes:{tmp_path / 'b.csv'}", 5, seed=1)
    assert len(some.names) == 5 and some.names != whole.names[:5]
    places = [whole.names.index(name) for name in some.names]
    assert places == sorted(places)
    assert some.identity == open_dataset(f"boxes:{tmp_path / 'b.csv'}", 5, seed=1).identity
    assert some.identity != open_dataset(f"boxes:{tmp_path / 'b.csv'}", 5, seed=2).identity
    picture(tmp_path / some.names[2], (8, 8))
    assert some.case(2).name == some.names[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coco", "no data 'coco'; give scenes, parts, voc:FOLDER"),
        ("voc:", "no data 'voc:'"),
        ("voc:/nowhere/at/all", "is no folder; VOC is read as it is published"),
        ("imagenet-s:/nowhere", "is no folder; ImageNet-S"),
        ("boxes:/nowhere.csv", "cannot read '/nowhere.csv'"),
    ],
)
def test_what_is_no_data(text, message):
    with pytest.raises(DataError, match=message):
        open_dataset(text)


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_that_is_none(count):
    with pytest.raises(DataError, match=f"from 1, not {count}"):
        open_dataset("scenes", count)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no columns file, class"),
        ("file,class,x0,y0,x1,y1\n", "holds no box"),
        ("file,class,x0,y0,x1,y1\na.png,cat,1,2,x,4\n", "line 2"),
        ("file,class,x0,y0,x1,y1\na.png,cat,1\n", "line 2"),
    ],
)
def test_a_csv_file_that_holds_no_boxes(tmp_path, text, message):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset(f"boxes:{tmp_path / 'b.csv'}")


def test_one_wrong_picture_is_named(voc, tmp_path):
    segment(voc)
    palette(voc / "SegmentationClass/b.png", np.zeros((6, 6)))
    palette(voc / "SegmentationClass/c.png", np.full((12, 20), 77))
    data = open_dataset(f"voc:{voc}")
    assert data.case(0).things
    with pytest.raises(DataError, match=r"'b.png' has 6 x 6 pixels, its picture 20 x 12"):
        data.case(1)
    with pytest.raises(DataError, match="c: 77 is none of VOC's 20 classes"):
        data.case(2)
    (voc / "Annotations/a.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"'a.xml' holds no boxes as VOC writes them"):
        data.case(0)
    outside = tmp_path / "o.csv"
    picture(tmp_path / "a.png")
    outside.write_text("file,class,x0,y0,x1,y1\na.png,cat,1,2,21,4\n")
    with pytest.raises(DataError, match="leaves the picture of 20 x 12 pixels"):
        open_dataset(f"boxes:{outside}").case(0)
