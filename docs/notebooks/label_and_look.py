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
# # Label and look
#
# A synthetic drive is labelled with what is shipped: the pocket detector, which knows synthetic
# streets only, and grabcut, which needs no weights and is rough. With weights of your own, put
# their paths in the request. Run this in a clone of the repository.

# %%
from collections import Counter
from pathlib import Path

import cv2
from PIL import Image

from perception import LabelRequest, label, relabel
from perception.cli import run as perception
from perception.core.types import Status
from perception.runs.folder import read_plan, read_spec
from perception.visualization.drawing import overlay

drive = Path("drives/streets")
if not drive.exists():
    perception(f"synthesize {drive} --frames 4 --scene-frames 1 --seed 1".split())

# %% [markdown]
# ## Label
#
# A request says what is labelled, with what, and where to. `label` resumes what an earlier call
# left.

# %%
request = LabelRequest(
    f"kitti:{drive}",
    "runs/label-and-look",
    segmenter="grabcut",
    detector="datasets/pocket/pocket.onnx",
    class_map="road-to-road",
)
done = label(request)
print("samples:", done.counts["samples"])
print("statuses:", done.counts["statuses"])
print("reasons:", done.counts["reasons"])

# %% [markdown]
# ## Look
#
# Labels are frozen rows over numpy arrays. Every label that is not accepted says why.

# %%
names = {entry.id: entry.name for entry in read_spec(done.folder).ontology.classes}
for sample in done.labels():
    for picture in sample.pictures:
        rows = picture.instances
        for row in range(min(5, len(rows))):
            print(
                sample.id,
                names[int(rows.class_ids[row])],
                Status(rows.statuses[row]).name.lower(),
                f"score {rows.scores[row]:.2f}",
                ", ".join(rows.reasons[row]),
            )

# %% [markdown]
# The overlay fills accepted masks; those for review have a yellow edge; rejected ones a thin red
# box.

# %%
plan = read_plan(done.folder, read_spec(done.folder))
labels = next(iter(done.labels()))
root = Path(plan.samples[0].root)
image_bgr = cv2.imread(str(root / plan.samples[0].pictures[0].file_name))
image_rgb = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)
picture = Image.fromarray(overlay(image_rgb, labels.pictures[0], names))
picture.save("label-and-look.png")
picture

# %% [markdown]
# ## Decide again
#
# A higher threshold, without running a model. The labels of before stay in the run folder.

# %%
stricter = relabel("runs/label-and-look", overrides={"decide": {"judge": {"min_score": 0.6}}})
print("before:", done.counts["statuses"])
print("after: ", stricter.counts["statuses"])
accepted = Counter(
    names[int(number)]
    for sample in stricter.labels()
    for picture in sample.pictures
    for number in picture.instances.class_ids[picture.instances.statuses == Status.ACCEPTED]
)
print("accepted:", dict(accepted))

# %% [markdown]
# ## Take it elsewhere
#
# An export is read again and compared before it counts.

# %%
perception("export runs/label-and-look --to coco --out label-and-look.json".split())
