"""Labels added to files of either form: what is written, what stays, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from gen_models.classifiers.hand_labels import read_labels
from gen_models.labelling.label_file import LabelFile

WIDE = "index,spread,side\n7,yes,\n10,no,yes\n"
LONG = "index,attribute,label\n7,spread,yes\n10,spread,no\n10,side,yes\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WIDE, "index,spread,side\n7,yes,\n10,no,no\n8,,yes\n"),
        (LONG, "index,attribute,label\n7,spread,yes\n10,spread,no\n8,side,yes\n10,side,no\n"),
    ],
)
def test_labels_are_added_changed_and_removed_in_the_files_own_form(before: str, after: str, path: Path) -> None:
    path.write_text(before)
    file = LabelFile(path, "side")
    file.put({"7": 0, "8": 1, "9": 0})
    assert {(one.image, one.value) for one in read_labels([str(path)]) if one.attribute == "side"} == {
        ("7", 0), ("8", 1), ("9", 0), ("10", 1),
    }  # fmt: skip
    file.put({"7": None, "9": None, "10": 0})
    assert path.read_text() == after


def test_a_new_file_and_a_new_attribute(path: Path) -> None:
    LabelFile(path, "raised").put({"train/bird/0012.jpg": 1, "a, b.png": 0})
    assert path.read_text() == 'image,raised\ntrain/bird/0012.jpg,yes\n"a, b.png",no\n'
    file = LabelFile(path, "sitting")
    assert file.attributes == ["raised"] and file.labels == []
    file.put({"a, b.png": 1})
    assert path.read_text() == 'image,raised,sitting\ntrain/bird/0012.jpg,yes,\n"a, b.png",no,yes\n'


def test_what_others_write_meanwhile_stays_and_is_not_contradicted(path: Path) -> None:
    path.write_text(WIDE)
    mine, other = LabelFile(path, "spread"), LabelFile(path, "spread")
    other.put({"8": 1, "9": 0})
    mine.put({"8": 1, "11": 0})
    before = path.read_text()
    assert before == "index,spread,side\n7,yes,\n10,no,yes\n8,yes,\n9,no,\n11,no,\n"
    for wrong in ({"12": 1, "9": 1}, {"12": 1, "9": None}):
        with pytest.raises(UserError, match=r"says no for spread of image 9; answer the same") as raised:
            mine.put(wrong)
        assert str(path) in str(raised.value) and path.read_text() == before
    path.write_text("index,spread\n7,yes\n")
    mine.put({"8": 0})  # a label that has gone contradicts nothing
    assert path.read_text() == "index,spread\n7,yes\n8,no\n"


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to("elsewhere/real.csv")
    LabelFile(path, "spread").put({"3": 1})
    assert path.is_symlink() and (tmp_path / "elsewhere" / "real.csv").read_text() == "image,spread\n3,yes\n"


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("no-spread", "--attribute: 'no-spread' cannot be an attribute: use letters"),
        ("a+b", r"--attribute: 'a\+b' cannot be an attribute"),
        ("spraed", r"--attribute: there is no attribute 'spraed'; did you mean 'spread'\?"),
        ("siide", r"--attribute: there is no attribute 'siide'; did you mean 'side'\?"),  # of the file
    ],
)
def test_attributes_that_cannot_be_asked_for(attribute: str, message: str, path: Path) -> None:
    path.write_text(WIDE)
    with pytest.raises(UserError, match=message):
        LabelFile(path, attribute)


@pytest.mark.parametrize("text", ["", "index\n", "index,spread\n3,yes\n3,no\n", "index,spread\n3,Yes\n"])
def test_a_file_that_cannot_be_gone_on_with_is_left_as_it_is(text: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=r"labels\.csv"):
        LabelFile(path, "spread")
    assert path.read_text() == text
