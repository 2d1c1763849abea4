"""`perception synthesize`: draw scenes, render them, write them."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from perception.core.errors import RequestError
from perception.core.progress import Progress
from perception.core.version import __version__
from perception.io.files import discard_made, write_bytes
from perception.synthetic import write, write_nuscenes
from perception.synthetic.constants import VERSION, constants_sha256
from perception.synthetic.drive import TICK_NS, Frame, Renderer
from perception.synthetic.rays import Caster
from perception.synthetic.read import DRIVE_FILES, DRIVE_LICENCE
from perception.synthetic.rig import CAMERA_HEIGHT_M, LIDAR_M, RIGS, Rig
from perception.synthetic.world import make_world
from perception.synthetic.write import FrameTruth, prepare, statistics

SCENE_FRAMES = 20
MAX_CHUNK = 20  # frames that a process takes at once: progress is seen between them
LAYOUTS = {1: write, 6: write_nuscenes}  # by the number of cameras, as `RIGS`


def synthesize(
    out: Path,
    frames: int,
    seed: int,
    caster: Caster,
    progress: Progress,
    *,
    scene_frames: int = SCENE_FRAMES,
    stride: int = 1,
    workers: int = 1,
    cameras: int = 1,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a drive; the same arguments write the same bytes.

    Args:
        out: A folder that does not exist or is empty.
        frames: How many in all.
        seed: Of everything, 0 or greater.
        caster: Casts the rays.
        progress: Called with frames done and in all.
        scene_frames: Frames per scene; each scene is another street, in another light.
        stride: Tenths of a second from one frame of a scene to the next.
        workers: Processes; the caster crosses to them by pickle. Bytes do not depend on it.
        cameras: 1, in KITTI's layout, or 6 round the car, in nuScenes'. The street, the traffic and
            the sweeps are the same.
        overwrite: Discard a drive that is there.

    Returns:
        The card.

    Raises:
        RequestError: `output.exists`; `option.invalid` for numbers out of range.
    """
    if frames < 1 or seed < 0 or min(scene_frames, stride, workers) < 1 or frames > 999_999:
        raise RequestError(
            "option.invalid",
            f"frames {frames}, seed {seed}, scene_frames {scene_frames}, stride {stride}, "
            f"workers {workers}: expected "
            "1 to 999999 frames, a seed of 0 or more, and 1 or more of the others",
        )
    if cameras not in RIGS:
        raise RequestError("option.invalid", f"cameras {cameras}: expected 1 or 6")
    if overwrite:
        discard_made(out, DRIVE_FILES[:1])  # exports have cards too
    prepare(out)
    duration_s = (scene_frames * stride + 1) * TICK_NS / 1e9
    jobs = [
        _Job(out, f"{frame:06d}", seed, frame // scene_frames, frame % scene_frames * stride)
        for frame in range(frames)
    ]
    truths: list[FrameTruth] = []
    if workers == 1:
        _prepare_worker(caster, duration_s, cameras)
        for truth in _work(jobs):
            truths.append(truth)
            progress(len(truths), frames)
    else:
        # whole scenes if there are enough of them: a worker prepares a scene once
        chunk = scene_frames if frames >= workers * scene_frames else -(-frames // workers)
        chunk = min(chunk, MAX_CHUNK)
        with ProcessPoolExecutor(
            workers, get_context("spawn"), _prepare_worker, (caster, duration_s, cameras)
        ) as pool:
            chunks = [jobs[first : first + chunk] for first in range(0, frames, chunk)]
            for some in pool.map(_work_off, chunks):
                truths += some
                progress(len(truths), frames)
    LAYOUTS[cameras].write_truth(out, truths)
    card = _card(frames, seed, scene_frames, stride, cameras, truths)
    write_bytes(out / "card.json", (json.dumps(card, indent=2) + "\n").encode())
    return card


@dataclass(frozen=True)
class _Job:
    """A frame to render and write."""

    out: Path
    name: str
    seed: int
    scene: int
    number: int


@dataclass
class _Worker:
    """What a process keeps between frames."""

    caster: Caster
    duration_s: float
    cameras: int
    rig: Rig
    scene: tuple[int, int] = (-1, -1)
    renderer: Renderer | None = None


_WORKER: list[_Worker] = []


def _prepare_worker(caster: Caster, duration_s: float, cameras: int) -> None:
    _WORKER[:] = [_Worker(caster, duration_s, cameras, RIGS[cameras]())]


def _work(jobs: Sequence[_Job]) -> Iterator[FrameTruth]:
    """Render frames and write each while the next is rendered: a disk makes one wait."""
    write_frame = LAYOUTS[_WORKER[0].cameras].write_frame
    pending: Future[FrameTruth] | None = None
    with ThreadPoolExecutor(1) as writer:
        for job in jobs:
            frame = _render(job)
            if pending is not None:
                yield pending.result()
            pending = writer.submit(write_frame, job.out, job.name, frame)
        if pending is not None:
            yield pending.result()


def _work_off(jobs: Sequence[_Job]) -> list[FrameTruth]:
    return list(_work(jobs))


def _render(job: _Job) -> Frame:
    worker = _WORKER[0]
    if worker.renderer is None or worker.scene != (job.seed, job.scene):
        world = make_world(job.seed, job.scene, worker.duration_s)
        worker.renderer = Renderer(world, worker.rig, worker.caster)
        worker.scene = (job.seed, job.scene)
    return worker.renderer(job.number)


def _card(
    frames: int,
    seed: int,
    scene_frames: int,
    stride: int,
    cameras: int,
    truths: list[FrameTruth],
) -> dict[str, Any]:
    layout = "KITTI object" if cameras == 1 else "nuScenes"
    ring = {"cameras": [camera.name for camera in RIGS[cameras]().cameras]}
    return {
        "what": f"synthetic drive: {layout} layout with exact truth",
        "licence": DRIVE_LICENCE,
        "seed": seed,
        "frames": frames,
        "scene_frames": scene_frames,
        "scenes": [f"{first:06d}" for first in range(0, frames, scene_frames)],
        "stride_s": stride * TICK_NS / 1e9,
        "code_version": __version__,
        "generator_version": VERSION,
        "constants_sha256": constants_sha256(cameras),
        **(ring if cameras > 1 else {}),
        "statistics": statistics(truths),
        "lidar_over_camera_m": round(LIDAR_M[2] - CAMERA_HEIGHT_M, 3),
        "limits": "A plain world of flat faces: figures on it carry over to real streets in their "
        "order, not in their size. Points with label 0 are no road users; nothing is unlabelled.",
    }
