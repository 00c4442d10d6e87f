"""Labels by hand: what they replace, both forms of the file, and every mistake in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from gen_models.classifiers.hand_labels import labels_text, read_kept_labels, read_labels, with_hand_labels
from gen_models.images.image_set import ImageSet, join
from gen_models.images.loaders import load_images


def image_set(names: list[str], source: str = "a", **attributes: list[int]) -> ImageSet:
    count = len(names)
    return ImageSet(
        np.zeros((count, 8, 8, 3), np.uint8),
        np.zeros(count, np.int64),
        ("bird",),
        np.zeros(count, np.int64),
        (source,),
        {name: np.array(values, np.int8) for name, values in attributes.items()},
        np.array(names),
    )


def nothing_else() -> ImageSet:
    raise AssertionError("all images are there")


def labelled(images: ImageSet, folder: Path, text: str, source: str = "") -> ImageSet:
    path = folder / "labels.csv"
    path.write_text(text)
    return with_hand_labels(images, read_labels([f"{source}{path}"]), nothing_else)


def test_a_hand_counts_over_a_classifier_whose_yes_is_then_unknown_and_whose_no_stays(tmp_path: Path) -> None:
    images = image_set(["3", "5", "8", "9", "12"], spread=[1, 0, 1, 0, -1], white=[1, 1, 0, 0, -1])
    found = labelled(images, tmp_path, "index,attribute,label\n3,spread,no\n5,spread,yes\n5,side,yes\n8,side,no\n")
    assert found.attributes["spread"].tolist() == [0, 1, -1, 0, -1]
    assert found.attributes["white"].tolist() == [1, 1, 0, 0, -1]  # not labelled by hand: as it was
    assert found.attributes["side"].tolist() == [-1, 1, 0, -1, -1]
    assert images.attributes["spread"].tolist() == [1, 0, 1, 0, -1]


def test_a_column_for_each_attribute_with_gaps(tmp_path: Path) -> None:
    text = "\ufeffcifar10_train_index,spread,white\r\n8,yes,\r\n3,no,yes\r\n\r\n"
    found = labelled(image_set(["3", "8"]), tmp_path, text)
    assert found.attributes["spread"].tolist() == [0, 1]
    assert found.attributes["white"].tolist() == [1, -1]


def test_another_source_keeps_what_its_classifier_says(tmp_path: Path) -> None:
    both = join([image_set(["3", "5"], "a", spread=[1, 1]), image_set(["3", "5"], "b", spread=[1, 1])])
    found = labelled(both, tmp_path, "index,spread\n3,no\n", source="b=")
    assert found.attributes["spread"].tolist() == [1, 1, 0, -1]
    with pytest.raises(UserError, match=r"several sources; say whose .* --labels a=FILE \(sources: a, b\)"):
        labelled(both, tmp_path, "index,spread\n3,no\n")
    with pytest.raises(UserError, match=r"no source 'bb'.*did you mean 'b'\?"):
        labelled(both, tmp_path, "index,spread\n3,no\n", source="bb=")


def test_several_files_are_one_and_a_run_reads_them_again(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("index,spread\n7,yes\n10,no\n")
    (tmp_path / "2.csv").write_text("path,attribute,label\n7,spread,yes\n7,white,no\n")
    labels = read_labels([f"{tmp_path}/1.csv", f"cifar10={tmp_path}/2.csv"])
    text = labels_text(labels)
    assert text.splitlines() == [
        "source,image,attribute,label",
        ",10,spread,no",
        ",7,spread,yes",
        "cifar10,7,spread,yes",
        "cifar10,7,white,no",
    ]
    (tmp_path / "kept.csv").write_text(text)
    assert labels_text(read_kept_labels(tmp_path / "kept.csv")) == text
    (tmp_path / "kept.csv").write_text("index,spread\n7,yes\n")
    with pytest.raises(UserError, match="does not begin with source,image,attribute,label; restore it"):
        read_kept_labels(tmp_path / "kept.csv")


def test_images_of_other_classes_may_be_labelled_but_must_exist(tmp_path: Path) -> None:
    everything = image_set(["3", "5", "test/0"])
    path = tmp_path / "labels.csv"
    path.write_text("index,spread\n3,yes\n5,no\ntest/0,no\n")
    found = with_hand_labels(everything.take(np.array([0])), read_labels([str(path)]), lambda: everything)
    assert found.attributes["spread"].tolist() == [1]
    path.write_text("index,spread\n3,yes\n4,no\n")
    with pytest.raises(UserError, match=r"labels.csv, line 3: there is no image '4' in a, which has 3 to test/0"):
        with_hand_labels(everything.take(np.array([0])), read_labels([str(path)]), lambda: everything)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line is a header such as index,spread"),
        ("index\n3\n", "line 1: the header 'index' has no attribute"),
        ("index,spread\n3,Yes\n", "line 2: 'Yes' is neither yes nor no"),
        ("index,spread\n3,yes\n5,1\n", "line 3: '1' is neither yes nor no"),
        ("index,attribute,label\n3,spread,\n", "line 2: '' is neither yes nor no"),
        ("index,spread\n3,yes,no\n", "line 2: 3 columns, but 2 in the header"),
        ("index,attribute\n3,spread\n", "line 1: after 'attribute' comes one column"),
        ("index,spread\n3,yes\n5,no\n3,no\n", r"line 4: image 3 has spread no, but yes in .*, line 2; keep one"),
        ("index,spraed\n3,yes\n", "line 1: there is no attribute 'spraed'; did you mean 'spread'?"),
        ("index,attribute,label\n3,whites,yes\n", "line 2: there is no attribute 'whites'; did you mean 'white'?"),
        ("index,no-spread\n3,yes\n", "line 1: 'no-spread' cannot be an attribute"),
        ("index,attribute,label\n3,a+b,yes\n", r"line 2: 'a\+b' cannot be an attribute"),
    ],
)
def test_each_mistake_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message.replace("?", r"\?")) as raised:
        read_labels([str(path)])
    assert str(path) in str(raised.value) and "\n" not in str(raised.value) and raised.value.status == 2


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the labels in .*nothing.csv"):
        read_labels([str(tmp_path / "nothing.csv")])
    (tmp_path / "bytes.csv").write_bytes(b"index,spread\n3,\xff\n")
    with pytest.raises(UserError, match=r"cannot read the labels in .*bytes.csv"):
        read_labels([str(tmp_path / "bytes.csv")])


def test_images_are_called_by_their_place_in_the_original_files(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "four.npz",
        images=np.zeros((4, 8, 8, 3), np.uint8),
        labels=np.array([2, 7, 2, 7]),
        split=np.array([0, 0, 0, 1]),
        index=np.array([30, 4, 11, 4]),
    )
    names = load_images([f"npz:{tmp_path}/four.npz"], 8, ["horse", "bird"], "all").known_names
    assert names.tolist() == ["30", "4", "11", "test/4"]
    birds = load_images([f"npz:{tmp_path}/four.npz"], 8, ["bird"])
    assert birds.known_names.tolist() == ["30", "11"]
