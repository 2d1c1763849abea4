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

from perception import label, relabel
from perception.cli import run as perception

drive = Path("drives/streets")
if not drive.exists():
    perception(f"synthesize {drive} --frames 4 --scene-frames 1 --seed 1".split())

# %% [markdown]
# ## Label
#
# `label` takes what is labelled, where to, and with what, and resumes what an earlier call left.

# %%
done = label(
    f"kitti:{drive}",
    "runs/label-and-look",
    segmenter="grabcut",
    detector="datasets/pocket/pocket.onnx",
    class_map="road-to-road",
)
print("samples:", done.counts["samples"])
print("statuses:", done.counts["statuses"])
print("reasons:", done.counts["reasons"])

# %% [markdown]
# ## Look
#
# A run is a sequence of samples, whose labels are rows of arrays. Every label that is not accepted
# says why.

# %%
sample = done[0]
print(sample.masks.shape, sample.boxes.shape)
for row in range(min(5, len(sample.names))):
    print(
        sample.names[row], sample.statuses[row], f"{sample.scores[row]:.2f}", sample[0].reasons[row]
    )

# %% [markdown]
# The overlay fills accepted masks; those for review have a yellow edge; rejected ones a thin red
# box.

# %%
sample.save("label-and-look.png")
sample.plot()

# %% [markdown]
# Or all labels as a table.

# %%
done.to_pandas().groupby(["class_name", "status"]).size()

# %% [markdown]
# ## Decide again
#
# A higher threshold, without running a model. The labels of before stay in the run folder.

# %%
stricter = relabel("runs/label-and-look", overrides={"decide": {"judge": {"min_score": 0.6}}})
print("before:", done.counts["statuses"])
print("after: ", stricter.counts["statuses"])
accepted = Counter(name for one in stricter for name in one.accepted.names)
print("accepted:", dict(accepted))

# %% [markdown]
# ## Take it elsewhere
#
# An export is read again and compared before it counts.

# %%
perception("export runs/label-and-look --to coco --out label-and-look.json".split())
