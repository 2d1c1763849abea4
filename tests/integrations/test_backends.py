"""The engines under SAM against the `segment-anything` package, with random weights."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Float32
from perception.io.files import write_bytes
from perception.models.backends import (
    cache_folder,
    has_bf16,
    mark_used,
    segmenter_resolved,
    trim_cache,
)
from perception.models.capabilities import Capabilities
from perception.models.import_guard import harden
from perception.models.weights import sha256_of

harden()  # before anything below imports ultralytics or OpenVINO

from perception_sam.architecture import load_sam
from perception_sam.backends import Backend, load_backend
from perception_sam.capabilities import SAM, SAM2

pytestmark = pytest.mark.models

BACKENDS = ("torch", "openvino")
TOKENS = np.array([[[100, 120], [400, 380]], [[50, 60], [700, 250]], [[0, 0], [9, 9]]], np.float32)
BOXES = np.array([[2, 3]] * len(TOKENS))  # the kinds of a box's corners


@pytest.fixture(autouse=True)
def with_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERCEPTION_CACHE", raising=False)


@pytest.fixture
def load() -> Callable[..., Backend]:
    def load(path: Path, backend: str, **settings: Any) -> Backend:
        if backend == "openvino":
            pytest.importorskip("openvino")
        # fp32, or a processor with bfloat16 would round what is compared to 1e-4
        config = {"threads": 2, "backend": backend, "precision": "fp32", **settings}
        return load_backend(path, ObserveConfig.model_validate(config))

    return load


def noise(height: int, width: int) -> Float32:
    return np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)


def close(found: Any, expected: Any) -> bool:
    """Tell whether logits agree to 1e-4 of the largest."""
    return bool(np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_boxes_points_and_logits_are_answered_as_by_the_segment_anything_package(
    vit_b: tuple[Any, Path], load: Callable[..., Backend], backend: str
) -> None:
    reference, path = vit_b
    network = load(path, backend)
    embedding = np.random.default_rng(1).normal(size=(1, 256, 64, 64)).astype(np.float32)
    points = torch.from_numpy(TOKENS), torch.tensor([[1, 0]] * 3)
    for prompt, tokens, kinds in (
        ({"boxes": torch.from_numpy(TOKENS.reshape(-1, 4)), "points": None}, TOKENS, BOXES),
        (
            {"boxes": None, "points": points},
            np.concatenate([TOKENS, np.zeros((3, 1, 2), np.float32)], axis=1),
            np.array([[1, 0, -1]] * 3),
        ),
    ):
        earlier = None
        for masks_each in (1, 3):
            fed = None if earlier is None else torch.from_numpy(earlier[:, None])
            with torch.inference_mode():
                sparse, dense = reference.prompt_encoder(**prompt, masks=fed)
                expected, expected_ious = reference.mask_decoder(
                    image_embeddings=torch.from_numpy(embedding),
                    image_pe=reference.prompt_encoder.get_dense_pe(),
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=masks_each == 3,
                )
            given = torch.from_numpy(embedding) if backend == "torch" else embedding
            logits, ious = network.decode(given, tokens, kinds, masks_each, earlier)
            assert close(logits, expected.numpy())
            assert close(ious, expected_ious.numpy())
            earlier = logits[:, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_part_of_the_square_is_encoded_as_by_a_vit_of_that_size_with_tables_that_were_cut(
    vit_b: tuple[Any, Path], load: Callable[..., Backend], backend: str
) -> None:
    import copy

    reference, path = vit_b
    side_cells, pixels = 8, noise(128, 128)
    small = copy.deepcopy(reference.image_encoder)
    small.pos_embed = torch.nn.Parameter(small.pos_embed[:, :side_cells, :side_cells])
    for block in small.blocks:
        if block.window_size == 0:
            for name in ("rel_pos_h", "rel_pos_w"):  # row 63 is the offset 0
                table = getattr(block.attn, name)[63 - side_cells + 1 : 63 + side_cells]
                setattr(block.attn, name, torch.nn.Parameter(table))
    with torch.inference_mode():
        expected = small(torch.from_numpy(pixels)).numpy()
    assert close(np.asarray(load(path, backend).encode(pixels)), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(64, 64), (192, 320), (320, 1024)])
def test_mobile_sam_encodes_a_part_as_the_original_does(
    mobile_sam: Path, load: Callable[..., Backend], shape: tuple[int, int], backend: str
) -> None:
    original = load_sam(mobile_sam, "cpu").image_encoder
    original.set_imgsz(list(shape))
    with torch.inference_mode():
        expected = original(torch.from_numpy(noise(*shape))).numpy()
    assert close(np.asarray(load(mobile_sam, backend).encode(noise(*shape))), expected)


@pytest.mark.parametrize(
    ("rows", "network"),
    [
        (1, "padded encoder 64x1024"),
        (309, "padded encoder 320x1024"),
        (704, "padded encoder 704x1024"),
        (1024, "encoder -1x-1"),
    ],
)
def test_what_padding_alone_decides_is_left_out_and_changes_nothing(
    mobile_sam: Path, load: Callable[..., Backend], rows: int, network: str
) -> None:
    pixels = noise(1024, 1024)
    pixels[:, :, rows:] = 0
    given, backend = pixels.copy(), load(mobile_sam, "openvino")
    original = load_sam(mobile_sam, "cpu").image_encoder
    original.set_imgsz([1024, 1024])
    with torch.inference_mode():
        expected = original(torch.from_numpy(pixels)).numpy()
    assert close(backend.encode(pixels), expected)
    assert list(cast(Any, backend)._networks) == [network]
    np.testing.assert_array_equal(pixels, given)


@pytest.mark.parametrize("shape", [(320, 1024), (1024, 576), (64, 64)])
def test_both_engines_answer_alike_for_a_part_of_the_square(
    mobile_sam: Path, load: Callable[..., Backend], shape: tuple[int, int]
) -> None:
    answers = []
    for name in BACKENDS:
        backend = load(mobile_sam, name)
        answers.append(backend.decode(backend.encode(noise(*shape)), TOKENS, BOXES, 1, None)[0])
    assert answers[0].shape == (3, 1, shape[0] // 4, shape[1] // 4)
    assert close(answers[1], answers[0])


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16")
def test_mixed_encodes_as_bf16_and_decodes_as_fp32(
    mobile_sam: Path, load: Callable[..., Backend]
) -> None:
    exact, mixed, rough = (
        load(mobile_sam, "openvino", precision=precision) for precision in ("fp32", "mixed", "bf16")
    )
    embedding = mixed.encode(noise(128, 128))
    np.testing.assert_array_equal(embedding, rough.encode(noise(128, 128)))
    assert np.abs(embedding - exact.encode(noise(128, 128))).max() > 0
    logits = mixed.decode(embedding, TOKENS, BOXES, 1, None)[0]
    np.testing.assert_array_equal(logits, exact.decode(embedding, TOKENS, BOXES, 1, None)[0])


def test_openvino_gives_the_same_bytes_for_any_threads_and_chunk(
    mobile_sam: Path, load: Callable[..., Backend]
) -> None:
    answers = []
    for threads, chunk in ((1, 1), (2, 3)):
        backend = load(mobile_sam, "openvino", threads=threads)
        embedding = backend.encode(noise(192, 320))  # another test has compiled it
        parts = [
            backend.decode(embedding, TOKENS[i : i + chunk], BOXES[i : i + chunk], 1, None)[0]
            for i in range(0, len(TOKENS), chunk)
        ]
        answers.append(np.concatenate(parts))
    np.testing.assert_array_equal(*answers)


def test_compiled_networks_are_kept_and_a_torn_one_is_made_again(
    mobile_sam: Path,
    load: Callable[..., Backend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trimmed: list[Path] = []
    monkeypatch.setattr("perception.models.backends.trim_cache", trimmed.append)
    first = load(mobile_sam, "openvino").encode(noise(64, 64))
    assert trimmed == [tmp_path / "driving-perception"]
    (kept,) = tmp_path.rglob("*.blob")
    whole = kept.read_bytes()

    def convert(*_: object) -> None:
        raise AssertionError("converted again")

    with monkeypatch.context() as patched:
        patched.setattr("perception_sam.backends.openvino.load_sam", convert)
        np.testing.assert_array_equal(load(mobile_sam, "openvino").encode(noise(64, 64)), first)
    kept.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(load(mobile_sam, "openvino").encode(noise(64, 64)), first)
    assert "made again" in caplog.text
    # names of nodes count up within a process, and are part of the file
    assert len(kept.read_bytes()) == pytest.approx(len(whole), rel=0.01)


def test_lanes_share_a_network_and_networks_are_compiled_one_by_one(
    mobile_sam: Path, load: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", "off")
    backend: Any = load(mobile_sam, "openvino", lanes=2)
    compile_it, compiling, made = backend._compile, threading.Lock(), list[str]()

    def compile_alone(name: str, shape_hw: tuple[int, int], *rest: Any) -> Any:
        assert compiling.acquire(blocking=False)
        made.append(f"{name} {shape_hw}")
        time.sleep(0.05)
        compiling.release()
        return compile_it(name, shape_hw, *rest)

    backend._compile = compile_alone
    images = [noise(64, 64), noise(128, 64)] * 20
    with ThreadPoolExecutor(2) as lanes:
        answers = list(lanes.map(backend.encode, images))
    assert made == ["encoder (-1, -1)"]  # one for all sizes
    for answer, first in zip(answers, answers[:2] * 20, strict=True):
        np.testing.assert_array_equal(answer, first)
    monkeypatch.delenv("PERCEPTION_CACHE")
    alone = load(mobile_sam, "openvino", lanes=1)
    np.testing.assert_array_equal(answers[0], alone.encode(images[0]))


def test_no_garbage_is_collected_while_a_network_is_converted(
    mobile_sam: Path, load: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", "off")
    backend: Any = load(mobile_sam, "openvino")
    seen = list[bool]()

    def watched(step: Callable[..., Any], *given: Any, **named: Any) -> Any:
        seen.append(gc.isenabled())
        return step(*given, **named)

    for module, name in ((torch.jit, "trace"), (backend._openvino, "convert_model")):
        monkeypatch.setattr(module, name, partial(watched, getattr(module, name)))
    backend.encode(noise(64, 64))
    assert seen == [False, False]
    assert gc.isenabled()


# Two in three of such processes hung while the bindings were first used by several threads.
FIRST_USE = """
import os, sys, threading
from pathlib import Path
import numpy as np
from perception.models.import_guard import harden
harden()
from perception.core.config import ObserveConfig
from perception_sam.backends.openvino import OpenVinoBackend
OpenVinoBackend(Path(sys.argv[1]), ObserveConfig(precision="fp32"))
import openvino
together = threading.Barrier(8)
def use():
    together.wait()
    openvino.Type.f32.to_dtype()
threads = [threading.Thread(target=use, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_lanes_that_use_openvino_for_the_first_time_do_not_wait_for_each_other_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_path: Callable[..., str]
) -> None:
    path = tmp_path / "sam.pt"
    path.write_bytes(b"never opened: a network that is kept says that it was")
    kept = tmp_path / "driving-perception" / f"net-{sha256_of(path)[:16]}" / "any.blob"
    kept.parent.mkdir(parents=True)
    kept.touch()
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": python_path()}
    processes = [
        subprocess.Popen([sys.executable, "-c", FIRST_USE, str(path)], env=environment)
        for _ in range(6)
    ]
    try:
        assert [process.wait(60) for process in processes] == [0] * 6
    finally:
        for process in processes:  # one that hangs holds Python's lock: it cannot end itself
            process.kill()
            process.wait()


def test_the_cache_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "driving-perception"
    monkeypatch.setenv("PERCEPTION_CACHE", "off")
    assert cache_folder() is None


@pytest.mark.parametrize(
    ("settings", "installed", "backend"),
    [
        ({}, True, "openvino"),
        ({}, False, "torch"),
        ({"device": "cuda:0"}, True, "torch"),
        ({"backend": "torch"}, True, "torch"),
        ({"backend": "openvino"}, True, "openvino"),
    ],
)
def test_openvino_is_chosen_on_a_cpu_where_it_is_installed(
    settings: dict[str, str], installed: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "perception.models.backends.find_spec", lambda _: object() if installed else None
    )
    config = segmenter_resolved(ObserveConfig.model_validate(settings), SAM)
    assert config.backend == backend
    assert segmenter_resolved(config, SAM) == config, "what is resolved stays"


def test_a_model_is_computed_by_what_its_adapter_has(tmp_path: Path) -> None:
    assert segmenter_resolved(ObserveConfig(), SAM2).backend == "torch"
    assert segmenter_resolved(ObserveConfig(), Capabilities()) == ObserveConfig()
    for can, expected in ((SAM2, "use auto or torch"), (Capabilities(), "it has no choice")):
        with pytest.raises(
            RequestError, match=rf"config\.invalid: --backend openvino: .*{expected}"
        ):
            segmenter_resolved(ObserveConfig(backend="openvino"), can)
    with pytest.raises(RequestError, match=r"precision\.unavailable: .* cannot be chosen"):
        segmenter_resolved(ObserveConfig(precision="bf16"), Capabilities())


def test_a_backend_that_cannot_be_had_is_refused(
    mobile_sam: Path, load: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match="--precision bf16: torch computes this model in fp32"):
        load(mobile_sam, "torch", precision="bf16")
    with pytest.raises(RequestError, match="the device is cuda:0"):
        load(mobile_sam, "openvino", device="cuda:0")
    monkeypatch.setattr("perception.models.backends.find_spec", lambda _: None)
    with pytest.raises(RequestError, match=r"driving-perception\[openvino\]"):
        load(mobile_sam, "openvino")


def test_a_processor_without_bf16_is_told(
    mobile_sam: Path, load: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")

    class OldProcessor:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32"]

    monkeypatch.setattr("perception_sam.backends.openvino._core", OldProcessor)
    for precision in ("bf16", "mixed"):
        with pytest.raises(RequestError, match=f"{precision}: .* no bfloat16 arithmetic; use fp32"):
            load(mobile_sam, "openvino", precision=precision)


def test_openvino_has_nothing_to_report_with() -> None:
    pytest.importorskip("openvino")
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm is sys.modules["openvino.tools.ovc.telemetry_stub"]


@pytest.mark.parametrize(
    ("settings", "processor", "precision"),
    [
        ({"mode": "fast"}, "flags : avx2 avx512_bf16\n", "bf16"),
        ({"mode": "fast"}, "flags\t\t: amx_bf16 avx2\n", "bf16"),
        ({"mode": "fast"}, "flags : avx2 avx512f\n", "fp32"),
        ({"mode": "fast"}, "", "fp32"),
        ({"mode": "exact"}, "flags : avx512_bf16\n", "fp32"),
        ({"mode": "detail"}, "flags : avx512_bf16\n", "mixed"),
        ({"mode": "detail"}, "flags : avx2 avx512f\n", "fp32"),
        ({"mode": "fast", "backend": "torch"}, "flags : avx512_bf16\n", "fp32"),
        ({"mode": "fast", "precision": "fp32"}, "flags : avx512_bf16\n", "fp32"),
        ({"mode": "exact", "precision": "bf16"}, "flags : avx2\n", "bf16"),  # the backend refuses
    ],
)
def test_each_mode_takes_the_bf16_that_it_can_afford_by_itself(
    settings: dict[str, str], processor: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.models.backends.find_spec", lambda _: object())
    monkeypatch.setattr(Path, "read_text", lambda _: processor)
    assert segmenter_resolved(ObserveConfig.model_validate(settings), SAM).precision == precision


def keep(cache: Path, name: str, age_s: int, size: int = 10) -> Path:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_the_cache_loses_what_was_used_longest_ago(tmp_path: Path) -> None:
    old = keep(tmp_path, "sam-a/old.blob", 300)
    used = keep(tmp_path, "sam-a/used.blob", 400)
    new = keep(tmp_path, "sam-b/new.blob", 100)
    left = keep(tmp_path, "sam-b/.tmp-left-by-a-kill", 5000)
    written = keep(tmp_path, "sam-b/.tmp-still-written", 500)
    other = keep(tmp_path, "somebody.txt", 900)
    mark_used(used)
    trim_cache(tmp_path, 50)
    assert old.exists() and left.exists()  # it all fits
    trim_cache(tmp_path, 25)
    assert used.exists() and new.exists() and other.exists() and written.exists()
    assert not old.exists() and not left.exists()
    trim_cache(tmp_path, 5)
    assert used.exists() and not new.exists()  # the last one stays, however large
    trim_cache(tmp_path / "nowhere", 5)
    mark_used(tmp_path / "nowhere")


def test_workers_may_trim_write_and_read_at_the_same_time(tmp_path: Path) -> None:
    def work(worker: int) -> int:
        for turn in range(40):
            path = tmp_path / f"sam-{turn % 2}" / f"{worker}-{turn}.blob"
            write_bytes(path, bytes(10))
            mark_used(path)
            trim_cache(tmp_path, 55)
        return worker

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    trim_cache(tmp_path, 55)
    assert len(list(tmp_path.glob("*/*"))) == 5
