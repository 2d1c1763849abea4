# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     name: python3
#     language: python
#     display_name: Python 3
# ---

# %% [markdown]
# # Lift and 3D
#
# Masks become labels of LiDAR points, and 3D boxes. The boxes that prompt are the drive's own here,
# so that the lift alone is seen. Run this in a clone of the repository.

# %%
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from perception import LabelRequest, label, relabel
from perception.cli import run as perception
from perception.core.geometry import points_in_view
from perception.core.types import PointState
from perception.readers.sources import load_sample
from perception.runs.folder import read_plan, read_spec
from perception.visualization.drawing import birds_eye, point_rgb

drive = Path("drives/streets")
if not drive.exists():
    perception(f"synthesize {drive} --frames 4 --scene-frames 1 --seed 1".split())
request = LabelRequest(f"kitti:{drive}", "runs/lift-and-3d", segmenter="grabcut", boxes="label_2")
done = label(request)
print(done.counts["points"])

# %% [markdown]
# ## From above
#
# Labelled points have the colour of their class, background is grey, unknown is dim. Unknown is not
# background: most of a sweep lies outside the picture, and some points lie under a mask that is not
# their object's.

# %%
spec = read_spec(done.folder)
names = {entry.id: entry.name for entry in spec.ontology.classes}
sample = load_sample(read_plan(done.folder, spec).samples[0])
labels = next(iter(done.labels()))
points_lidar = sample.scene.points_lidar
above = Image.fromarray(birds_eye(sample.scene.points_drawn, labels.points, names))
above.save("lift-above.png")
above

# %% [markdown]
# ## In the picture
#
# Points are projected with the calibration of the camera; pixel centres lie at integers.

# %%
image_rgb = sample.pictures[0].image_rgb.copy()
camera = sample.scene.cameras[0]
rows, uv, depth_m = points_in_view(camera, points_lidar, image_rgb.shape[:2])
colours = point_rgb(labels.points)[rows]
for (u, v), colour in zip(np.floor(uv + 0.5).astype(int), colours, strict=True):
    cv2.circle(image_rgb, (int(u), int(v)), 1, [int(value) for value in colour], -1)
projected = Image.fromarray(image_rgb)
projected.save("lift-picture.png")
projected

# %% [markdown]
# ## 3D boxes
#
# Centre and size in metres in the frame of the LiDAR. Sides that it cannot see have the usual size
# of the class; the confidence says how much was measured.

# %%
boxes = labels.cuboids
for row in np.argsort(-boxes.confidences)[:8]:
    x, y, z = boxes.centres_m[row]
    length, width, height = boxes.sizes_lwh_m[row]
    print(
        f"instance {boxes.instance_ids[row]:3}: at ({x:5.1f}, {y:5.1f}, {z:4.1f}), "
        f"{length:.1f} x {width:.1f} x {height:.1f} m, "
        f"yaw {np.degrees(boxes.yaws_rad[row]):4.0f} deg, confidence {boxes.confidences[row]:.2f}"
    )

# %% [markdown]
# ## Other settings, without a model
#
# Without the removal of ground, the road under a car belongs to the car. `evaluate` measures what
# each choice is worth, since the truth of this drive is known to the point.

# %%
with_ground = relabel("runs/lift-and-3d", overrides={"decide": {"lift": {"ground_m": 0.0}}})
kept = next(iter(with_ground.labels())).points.states == PointState.LABELLED
before = labels.points.states == PointState.LABELLED
print("labelled with ground removed:", before.sum(), "- with ground kept:", kept.sum())
