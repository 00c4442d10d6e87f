"""Tests of the sources of images: files made here in the original layouts, the real data where it is, and bad input.

Credits: the layouts as A. Krizhevsky and A. Coates describe them beside their data.
"""

from __future__ import annotations

import io
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from gen_models.images.image_set import ImageSet, join, resized, square_rgb
from gen_models.images.loaders import load_images

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
BATCHES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """Two images a file: a horse (7) whose pixel (row 1, column 3) is (10, 20, 30), and a bird (2) all red."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    horse = bytearray(3072)
    for plane, value in enumerate((10, 20, 30)):
        horse[plane * 1024 + 1 * 32 + 3] = value
    bird = bytes([255] * 1024 + [0] * 2048)
    for name in BATCHES:
        (folder / name).write_bytes(b"\x07" + bytes(horse) + b"\x02" + bird)
    return tmp_path


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    """A bird (2 in the file) whose pixel (row 5, column 90) is (10, 20, 30), and a horse (7) all green."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    bird = bytearray(3 * 96 * 96)
    for plane, value in enumerate((10, 20, 30)):
        bird[plane * 9216 + 90 * 96 + 5] = value  # column by column
    horse = bytes(9216) + bytes([255] * 9216) + bytes(9216)
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(bytes(bird) + horse)
        (folder / f"{part}_y.bin").write_bytes(b"\x02\x07")
    (folder / "unlabeled_X.bin").write_bytes(horse * 3)
    return tmp_path


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download goes to a port of this machine at which nobody listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use, also after this test


def test_cifar10s_records(cifar10: Path) -> None:
    images = load_images(["cifar10"], 32, ["Horse", "BIRD"], downloads=cifar10)
    assert images.class_names == ("horse", "bird")
    assert images.source_names == ("cifar10",)
    assert images.classes.tolist() == [0, 1] * 5
    assert images.images[0, 1, 3].tolist() == [10, 20, 30]
    assert images.images[0].sum() == 60
    assert (images.images[1] == [255, 0, 0]).all()
    assert len(load_images(["cifar10"], 32, ["bird"], "test", downloads=cifar10)) == 1
    assert len(load_images(["cifar10"], 32, None, "all", downloads=cifar10)) == 12


def test_stl10s_columns(stl10: Path) -> None:
    images = load_images(["stl10"], 96, ["bird", "horse"], "all", stl10, unlabeled=True)
    assert images.classes.tolist() == [0, 1, 0, 1, -1, -1, -1]
    assert images.images[0, 5, 90].tolist() == [10, 20, 30]
    assert images.images[0].sum() == 60
    assert (images.images[4] == [0, 255, 0]).all()
    assert load_images(["stl10"], 32, ["horse"], "test", stl10, unlabeled=True).images.shape == (1, 32, 32, 3)


def test_an_archive_that_is_not_the_original_is_not_unpacked(
    stl10: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("downloads")
    with tarfile.open(elsewhere / "stl10_binary.tar.gz", "w:gz") as archive:
        archive.add(stl10 / "stl10_binary", "stl10_binary")
    no_network(monkeypatch)
    with pytest.raises(UserError, match="cannot download"):  # not the checksum of the original
        load_images(["stl10"], 32, downloads=elsewhere)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("cifar10", r"put data_batch_1\.bin, .*data_batch_5\.bin into .*cifar-10-batches-bin, or cifar-10-binary"),
        ("stl10", r"put train_X\.bin, train_y\.bin into .*stl10_binary, or stl10_binary\.tar\.gz into "),
    ],
)
def test_without_a_network_it_says_which_files_go_where(
    spec: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_network(monkeypatch)
    with pytest.raises(UserError, match=says) as error:
        load_images([spec], 32, downloads=tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_cut_short(cifar10: Path, stl10: Path) -> None:
    cut = cifar10 / "cifar-10-batches-bin" / "data_batch_3.bin"
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"data_batch_3\.bin is damaged"):
        load_images(["cifar10"], 32, downloads=cifar10)
    (stl10 / "stl10_binary" / "train_y.bin").write_bytes(b"\x02")
    with pytest.raises(UserError, match=r"train_y\.bin does not fit"):
        load_images(["stl10"], 32, downloads=stl10)


def pictures(folder: Path) -> Path:
    """Half-transparent red, 16-bit grey, a palette with a clear colour, a wide picture; one bird for the test."""
    (folder / "train" / "Horse").mkdir(parents=True)
    (folder / "test" / "bird").mkdir(parents=True)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(folder / "train" / "Horse" / "1-clear.png")
    Image.fromarray(np.full((8, 8), 257 * 100, np.uint16)).save(folder / "train" / "Horse" / "2-grey16.png")
    Image.new("L", (3, 3), 50).save(folder / "train" / "Horse" / "3-grey.png")
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (0, 0, 200)
    Image.fromarray(wide).save(folder / "train" / "Horse" / "4-wide.PNG")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(folder / "test" / "bird" / "1.png")
    (folder / "train" / "Horse" / "notes.txt").write_text("not a picture")
    return folder


def zipped(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a folder around it"])
def test_pictures_of_every_kind(form: str, tmp_path: Path) -> None:
    path = pictures(tmp_path / "my set")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if form != "folder":
        path = zipped(path, tmp_path / "my set.zip", "" if form == "zip" else "set/")
    images = load_images([f"folder:{path}"], 4)
    assert images.class_names == ("bird", "horse")
    assert images.source_names == ("my-set",)
    assert images.classes.tolist() == [1, 1, 1, 1]
    assert [image[2, 2].tolist() for image in images.images] == [[255] * 3, [100] * 3, [50] * 3, [0, 0, 200]]
    assert (images.images[3] == [0, 0, 200]).all()  # only the middle square
    assert load_images([f"folder:{path}"], 4, split="all").classes.tolist() == [0, 1, 1, 1, 1]
    assert {file: file.read_bytes() for file in before} == before


def test_pictures_without_a_class(tmp_path: Path) -> None:
    for name in ("horse/1.png", "unlabeled/1.png", "2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert load_images([f"folder:{tmp_path}"], 4).classes.tolist() == [0]
    images = load_images([f"folder:{tmp_path}"], 4, unlabeled=True)
    assert sorted(images.classes.tolist()) == [-1, -1, 0]


def test_corrupt_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "set") / "train" / "Horse"
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)).save(file, "JPEG")
    (folder / "5-cut.jpg").write_bytes(file.getvalue()[:-200])
    (folder / "6-none.png").write_bytes(b"nothing")
    (folder / "7-empty.bmp").write_bytes(b"")
    with pytest.raises(UserError, match=r"train/Horse/5-cut\.jpg cannot be read .*--skip-bad"):
        load_images([f"folder:{tmp_path / 'set'}"], 4)
    assert len(load_images([f"folder:{tmp_path / 'set'}"], 4, skip_bad=True)) == 4
    warning = capsys.readouterr().err
    assert warning.count("left out 3 of 7 pictures") == 1 and warning.count("\n") == 1
    assert "5-cut.jpg" in warning


def test_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.array([7, 2, 0, 7]), split=np.array([0, 0, 0, 1], np.uint8))
    images = load_images([f"npz:{tmp_path / 'a.npz'}"], 32, ["bird", "horse"])
    assert images.classes.tolist() == [1, 0]
    np.testing.assert_array_equal(images.images, pixels[:2])
    assert load_images([f"npz:{tmp_path / 'a.npz'}"], 32).class_names == ("airplane", "bird", "horse")
    np.savez(tmp_path / "b.npz", images=pixels[..., 0], labels=np.array([0, 1, 1, -1]), class_names=["Cat", "Emu"])
    images = load_images([f"npz:{tmp_path / 'b.npz'}"], 32, ["emu"], unlabeled=True)
    assert images.classes.tolist() == [0, 0, -1]
    assert (images.images == pixels[1:, ..., :1]).all()


def test_several_sources(cifar10: Path, stl10: Path) -> None:
    images = load_images(["stl10", "cifar10", "sprites:5"], 48, ["horse", "bird"], downloads=cifar10)
    assert images.images.shape == (2 + 10 + 5, 48, 48, 3)
    assert images.source_names == ("stl10", "cifar10", "sprites")
    assert images.sources.tolist() == [0] * 2 + [1] * 10 + [2] * 5
    assert images.classes[:4].tolist() == [1, 0, 0, 1]
    assert set(images.attributes) == {"white", "spread"}
    assert (images.attributes["white"][:12] == -1).all()
    assert (images.attributes["white"][12:] != -1).all()


@pytest.mark.parametrize(
    ("specs", "classes", "says"),
    [
        ([], None, "no images named"),
        (["cifar"], None, r"unknown images 'cifar'.*did you mean 'cifar10'"),
        (["folder:"], None, "lacks a path"),
        (["folder:EMPTY"], None, "holds no pictures"),
        (["folder:NONE"], None, "there is no "),
        (["folder:FLAT"], None, "no class folders"),
        (["folder:SET"], ["hrose"], r"no images of the class 'hrose' \(there are: bird, horse\); did you mean 'horse'"),
        (["folder:SET"], ["bird"], "has no train images of bird"),
        (["folder:SET", "sprites:4"], ["horse", "horse"], "named twice"),
        (["folder:SET", "folder:SET"], None, "same name"),
        (["folder:TEXT"], None, "neither a folder nor an intact zip"),
        (["npz:TEXT"], None, "cannot read"),
        (["npz:NONE"], None, "cannot read"),
        (["npz:WRONG"], None, "needs 'images' as uint8"),
        (["npz:LABELS"], None, "needs 'labels' as 2 integers"),
        (["npz:NAMES"], None, "labels from 0 to 10, but 10 class names"),
        (["npz:OBJECTS"], None, "cannot read"),
        (["sprites:many"], None, "sprites:COUNT"),
        (["sprites:0"], None, "sprites:COUNT"),
        (["sprites:100000000000"], None, "a count from 1 to 1,000,000"),
    ],
)
def test_bad_input(specs: list[str], classes: list[str] | None, says: str, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FLAT").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "FLAT" / "1.png")
    pictures(tmp_path / "SET")
    (tmp_path / "TEXT").write_text("some text")
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    for name, arrays in {
        "WRONG": {"images": pixels.astype(np.float32), "labels": np.zeros(2, int)},
        "LABELS": {"images": pixels, "labels": np.zeros(3, int)},
        "NAMES": {"images": pixels, "labels": np.array([0, 10])},
        "OBJECTS": {"images": pixels, "labels": np.array([{}, {}], object)},
    }.items():
        with (tmp_path / name).open("wb") as file:
            np.savez(file, allow_pickle=True, **arrays)
    specs = [spec.replace(":", f":{tmp_path}/") if spec.startswith(("folder:", "npz:")) and spec[-1] != ":" else spec
             for spec in specs]  # fmt: skip
    with pytest.raises(UserError, match=says) as error:
        load_images(specs, 4, classes)
    assert "\n" not in str(error.value)


def test_squares() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(2, 32, 32, 3), dtype=np.uint8)
    assert resized(pixels, 32) is pixels
    np.testing.assert_array_equal(square_rgb(Image.fromarray(pixels[0]), 32), pixels[0])
    # Anti-aliased: a fine checkerboard becomes even grey.
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = resized(board[None], 8)
    assert small.shape == (1, 8, 8, 3)
    assert abs(small.astype(int) - 127).max() < 8


def test_sets_are_taken_apart_and_joined() -> None:
    def one(name: str, classes: tuple[str, ...], labels: list[int]) -> ImageSet:
        count = len(labels)
        return ImageSet(
            np.full((count, 2, 2, 3), count, np.uint8), np.array(labels), classes, np.zeros(count, np.int64), (name,)
        )

    both = join([one("a", ("bird", "horse"), [0, 1]), one("b", ("horse", "cat"), [0, 1, -1])])
    assert both.class_names == ("bird", "horse", "cat")
    assert both.classes.tolist() == [0, 1, 1, 2, -1]
    horses = both.only(["HORSE"])
    assert horses.classes.tolist() == [0, 0, -1]
    assert horses.sources.tolist() == [0, 1, 1]
    assert both.of_class("Cat").tolist() == [False, False, False, True, False]


def test_the_real_files() -> None:
    if not DATA.is_dir():
        pytest.skip(f"the real data is not at {DATA}")
    specs = [f"npz:{DATA / 'cifar10_4class.npz'}", f"folder:{DATA / 'stl10_4class.zip'}"]
    images = load_images(specs, 32, ["horse", "bird"], "test")
    assert np.bincount(images.sources).tolist() == [2000, 1600]
    assert np.bincount(images.classes).tolist() == [1800, 1800]
    assert images.source_names == ("cifar10_4class", "stl10_4class")


def test_folders_of_ffhq_and_lsun_are_one_class_whatever_folders_they_have(tmp_path: Path) -> None:
    for place in ("00000/00001.png", "01000/01001.png", "00002.png"):
        path = tmp_path / "church_outdoor" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 10, 3), 90, np.uint8)).save(path)
    for spec, name in (("ffhq", "face"), ("lsun", "church_outdoor")):
        images = load_images((f"{spec}:{tmp_path}/church_outdoor",), 8)
        assert images.class_names == (name,) and images.classes.tolist() == [0, 0, 0] and images.size == 8
    with pytest.raises(UserError, match="has no test images"):
        load_images((f"lsun:{tmp_path}/church_outdoor",), 8, split="test")
    with pytest.raises(UserError, match="'ffhq:' lacks a path: ffhq:PATH"):
        load_images(("ffhq:",), 8)
