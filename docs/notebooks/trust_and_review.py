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
# # Trust and review
#
# How likely is a label right? A fit on checked labels says so, and draws a line between accepted
# and review. Here the truth of a synthetic drive checks them; on your data people do. Run this in a
# clone of the repository.

# %%
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from perception import LabelRequest, label, read_labels
from perception.cli import run as perception
from perception.core.types import Status
from perception.runs.folder import read_spec

drive = Path("drives/streets")
if not drive.exists():
    perception(f"synthesize {drive} --frames 4 --scene-frames 1 --seed 1".split())
request = LabelRequest(
    f"kitti:{drive}",
    "runs/trust-and-review",
    segmenter="grabcut",
    detector="datasets/pocket/pocket.onnx",
    class_map="road-to-road",
)
done = label(request)
print(done.counts["statuses"])

# %% [markdown]
# ## An order without a fit
#
# Nobody checked a label yet, so there is no chance, but an order: labels that most signals speak
# against come first.

# %%
perception("trust order runs/trust-and-review --first 5".split())

# %% [markdown]
# ## A fit
#
# A label is right if its class is and its mask has IoU 0.5 with the object's; 0.75 is the default,
# and is lowered here since grabcut is rough. Judging a fit on the labels that it was made from says
# little: fit on one run and use it on another.

# %%
perception(
    "trust fit runs/trust-and-review --truth drives/streets --iou 0.5 "
    "--target-precision 0.8 --out trust.json".split()
)
perception("relabel runs/trust-and-review --trust trust.json".split())

# %%
trusts = np.concatenate(
    [
        picture.instances.trusts
        for sample in read_labels("runs/trust-and-review")
        for picture in sample.pictures
    ]
)
known = trusts[np.isfinite(trusts)]
counts, edges = np.histogram(known, bins=10, range=(0, 1))
figure = Image.new("RGB", (420, 220), "white")
draw = ImageDraw.Draw(figure)
for place, count in enumerate(counts):
    top = 190 - 160 * count / max(counts.max(), 1)
    draw.rectangle([20 + 38 * place, top, 50 + 38 * place, 190], fill=(84, 110, 122))
    draw.text((20 + 38 * place, 195), f"{edges[place]:.1f}", fill="black")
draw.text((20, 5), f"chance of being right, {len(known)} labels", fill="black")
figure.save("trust.png")
figure

# %% [markdown]
# ## Review
#
# `show --review` writes a page on which a person decides, and which makes `decisions.json`. Here
# the file is written by hand: the least likely label is rejected.

# %%
perception("show runs/trust-and-review --out review --review".split())
least = min(
    (float(rows.trusts[row]), sample.id, int(rows.instance_ids[row]))
    for sample in read_labels("runs/trust-and-review")
    for rows in [picture.instances for picture in sample.pictures]
    for row in range(len(rows))
    if np.isfinite(rows.trusts[row]) and rows.statuses[row] != Status.REJECTED
)
spec = read_spec(Path("runs/trust-and-review"))
decisions = {
    "run": spec.evidence_fingerprint(),
    "label_set": spec.label_set(),
    "decisions": [{"sample": least[1], "instance": least[2], "decision": "reject"}],
}
Path("decisions.json").write_text(json.dumps(decisions))
perception("corrections apply runs/trust-and-review decisions.json".split())

# %%
by_people = sum(
    int(picture.instances.by_human.sum())
    for sample in read_labels("runs/trust-and-review")
    for picture in sample.pictures
)
print("labels decided by people:", by_people)
