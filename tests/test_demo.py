"""`make demo` with a stub of `perception`: which detector and segmenter it picks, what it says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUB = """#!/bin/sh
echo "$*" >>commands.log
case "$1 $2" in
  "weights pull") [ -z "$OFFLINE" ] ;;
  "label "*) exit "${LABEL_EXIT:-0}" ;;
  "evaluate "*) echo '{}' ;;
  "show "*) echo "Labels: 3 accepted." ;;
esac
"""


class Demo:
    """A folder with the script and a stub that writes down what it is asked to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        (folder / "bin").mkdir()
        (folder / "demo").mkdir()
        shutil.copy(ROOT / ".ci" / "demo.sh", folder / ".ci")
        (folder / "bin" / "perception").write_text(STUB)
        (folder / "bin" / "perception").chmod(0o755)

    def file(self, name: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).touch()

    def run(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        unset = ("SOURCE", "DETECTOR", "SEGMENTER")
        kept = {key: value for key, value in os.environ.items() if key not in unset}
        return subprocess.run(
            [self.folder / ".ci" / "demo.sh"],
            env=kept | {"BIN": "bin"} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, verb: str) -> str:
        lines = (self.folder / "commands.log").read_text().splitlines()
        return next((line for line in lines if line.startswith(verb)), "")


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def test_the_demo_makes_a_drive_labels_it_measures_and_shows(demo: Demo) -> None:
    demo.file("demo/old")
    done = demo.run()
    assert done.returncode == 0, done.stderr
    assert demo.command("weights") == "weights pull mobile_sam --to .weights"
    assert "--frames 8 --scene-frames 2" in demo.command("synthesize")  # intervals need streets
    label = demo.command("label")
    assert label.startswith("label kitti:demo/drive --boxes label_2 ")
    assert "--segmenter .weights/mobile_sam.pt" in label
    assert demo.command("show") == "show demo/run --out demo/report --truth demo/drive"
    assert (demo.folder / "demo" / "evaluation.json").read_text() == "{}\n"
    assert not (demo.folder / "demo" / "old").exists()
    assert "no detector: the boxes are the drive's own" in done.stdout
    made, after = done.stdout.split("Labels: 3 accepted.")
    assert "grabcut" not in made and "make demo SOURCE=" in after


def test_without_network_and_weights_the_demo_says_that_masks_are_rough(demo: Demo) -> None:
    done = demo.run(OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "--segmenter grabcut" in demo.command("label")
    assert "grabcut, which needs no weights and is rough" in done.stdout


@pytest.mark.parametrize("asked", ["", "grabcut", "mine.pt"])
def test_weights_that_are_there_or_asked_for_are_not_fetched(demo: Demo, asked: str) -> None:
    if not asked:
        demo.file(".weights/mobile_sam.pt")
    assert demo.run(SEGMENTER=asked).returncode == 0
    assert demo.command("weights") == ""
    assert f"--segmenter {asked or '.weights/mobile_sam.pt'}" in demo.command("label")


def test_the_pocket_detector_is_taken_when_it_is_there_and_its_limits_are_said(demo: Demo) -> None:
    demo.file("datasets/pocket/pocket.onnx")
    done = demo.run()
    wanted = "--detector datasets/pocket/pocket.onnx --class-map road-to-road"
    assert wanted in demo.command("label") and "label_2" not in demo.command("label")
    assert "knows synthetic streets only" in done.stdout
    (demo.folder / "commands.log").unlink()
    demo.run(DETECTOR="yolov8n.onnx")
    assert "--detector yolov8n.onnx --segmenter" in demo.command("label")


def test_images_of_ones_own_are_labelled_and_shown_without_figures(demo: Demo) -> None:
    done = demo.run(SOURCE="my photos", DETECTOR="yolov8n.onnx", LABEL_EXIT="1")
    assert done.returncode == 0, done.stderr  # 1: some pictures could not be used
    assert demo.command("synthesize") == demo.command("evaluate") == ""
    assert demo.command("label").startswith("label my photos --detector yolov8n.onnx")
    assert demo.command("show") == "show demo/run --out demo/report"
    assert "evaluation.json" not in done.stdout


def test_images_without_any_detector_are_refused_before_anything_is_lost(demo: Demo) -> None:
    demo.file("demo/old")
    done = demo.run(SOURCE="photos")
    assert done.returncode == 2 and "make demo SOURCE=photos DETECTOR=WEIGHTS" in done.stderr
    assert not (demo.folder / "commands.log").exists()
    assert (demo.folder / "demo" / "old").exists()


@pytest.mark.parametrize("code", ["2", "130"])
def test_a_step_that_fails_ends_the_demo(demo: Demo, code: str) -> None:
    done = demo.run(LABEL_EXIT=code)
    assert done.returncode != 0
    assert demo.command("export") == demo.command("show") == ""


def test_make_hands_its_variables_to_the_script() -> None:
    asked = ["SOURCE=a b", "DETECTOR=d.onnx", "SEGMENTER=grabcut", "BIN=bin"]
    done = subprocess.run(
        ["make", "--dry-run", "demo", *asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = 'BIN=bin SOURCE="a b" DETECTOR="d.onnx" SEGMENTER="grabcut" .ci/demo.sh'
    assert wanted in done.stdout.splitlines()
    assert os.access(ROOT / ".ci" / "demo.sh", os.X_OK)
