"""Pascal VOC, written by hand."""

from pathlib import Path

import pytest

from perception.formats import voc

PICTURE = "<size><width>100</width><height>40</height><depth>3</depth></size>"


def read(tmp_path: Path, content: str) -> voc.PictureBoxes:
    (tmp_path / "a.xml").write_text(f"<annotation>{content}</annotation>")
    return voc.read(tmp_path / "a.xml", "a")


def thing(box: str, name: str = "car") -> str:
    return f"<object><name>{name}</name>{box}</object>"


def test_the_whole_picture_is_from_one_to_its_width(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>40</ymax></bndbox>"
    found = read(tmp_path, PICTURE + thing(box))
    assert not voc.counts_from_zero([found])
    (row,) = voc.from_one(found).rows
    assert row.box_xyxy == (0, 0, 100, 40)
    assert (row.class_name, row.score, found.size_hw) == ("car", 1.0, (40, 100))


def test_a_box_that_begins_at_0_is_not_counted_from_1(tmp_path: Path) -> None:
    box = "<bndbox><xmin>9</xmin><ymin>0</ymin><xmax>20</xmax><ymax>5</ymax></bndbox>"
    assert voc.counts_from_zero([read(tmp_path, ""), read(tmp_path, thing(box))])
    assert not voc.counts_from_zero([])


def test_a_turned_box_is_read_as_its_bounds(tmp_path: Path) -> None:
    turned = "<robndbox><cx>50</cx><cy>20</cy><w>20</w><h>10</h><angle>{}</angle></robndbox>"
    (flat,) = read(tmp_path, thing(turned.format(0))).rows
    assert flat.box_xyxy == pytest.approx((40, 15, 60, 25))
    (upright,) = read(tmp_path, thing(turned.format(1.5707963267948966))).rows
    assert upright.box_xyxy == pytest.approx((45, 10, 55, 30))
    # 45 degrees: half of (20 + 10) / sqrt 2 to each side
    (leaning,) = read(tmp_path, thing(turned.format(0.7853981633974483))).rows
    assert leaning.box_xyxy == pytest.approx((39.393, 9.393, 60.607, 30.607), abs=1e-3)
    assert read(tmp_path, thing(turned.format("x"))).dropped == (("row.bbox", 1),)


def test_a_polygon_is_read_as_its_bounds_and_parts_of_a_person_are_no_objects(
    tmp_path: Path,
) -> None:
    polygon = "<polygon><x1>5</x1><y1>6</y1><x2>9</x2><y2>2</y2><x3>7</x3><y3>8</y3></polygon>"
    (row,) = read(tmp_path, thing(polygon)).rows
    assert row.box_xyxy == (5, 2, 9, 8)
    head = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    assert read(tmp_path, thing(polygon + head)).rows == (row,)


@pytest.mark.parametrize(
    "sides",
    ["", "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"],
)
def test_an_object_without_a_box_is_counted(tmp_path: Path, sides: str) -> None:
    found = read(tmp_path, thing(f"<bndbox>{sides}</bndbox>") + thing("", name=" "))
    assert found.rows == ()
    assert found.dropped == (("row.bbox", 1), ("row.category", 1))


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_none_is_not_compared(tmp_path: Path, size: str) -> None:
    assert read(tmp_path, size).size_hw is None


def test_a_file_that_is_not_there_is_a_fault_of_its_picture(tmp_path: Path) -> None:
    assert "gone.xml" in voc.read(tmp_path / "gone.xml", "gone").fault
