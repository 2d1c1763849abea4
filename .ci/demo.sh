#!/usr/bin/env bash
# `make demo`: a synthetic drive or SOURCE, labelled, measured where there is truth, and shown in
# demo/report/. Needs .venv (or BIN) and, but for fetching MobileSAM once, no network.
#   SOURCE     images of your own, or LAYOUT:ROOT; "" for a synthetic drive
#   DETECTOR   YOLO weights; "" for the pocket detector, or a synthetic drive's own boxes
#   SEGMENTER  a SAM checkpoint, or grabcut; "" for MobileSAM if it can be had, else grabcut
set -euo pipefail
cd "$(dirname "$0")/.."
perception="${BIN:-.venv/bin}/perception"
source=${SOURCE:-} detector=${DETECTOR:-} segmenter=${SEGMENTER:-}
pocket=datasets/pocket/pocket.onnx
mobile_sam=.weights/mobile_sam.pt
say() { printf '\n== %s\n' "$*"; }

if [ -z "$detector" ] && [ -f "$pocket" ]; then
  say "detector: the pocket detector, which knows synthetic streets only"
  boxes=(--detector "$pocket" --class-map road-to-road)
elif [ -n "$detector" ]; then
  say "detector: $detector"
  boxes=(--detector "$detector")
elif [ -z "$source" ]; then
  say "no detector: the boxes are the drive's own, so finding objects is not put to the test"
  boxes=(--boxes label_2)
else
  echo "There is no detector for $source: make demo SOURCE=$source DETECTOR=WEIGHTS" >&2
  exit 2
fi

if [ -z "$segmenter" ]; then
  segmenter=$mobile_sam
  if [ ! -f "$mobile_sam" ]; then
    say "MobileSAM: fetching about 40 MB, Apache-2.0, into .weights/"
    if ! "$perception" weights pull mobile_sam --to .weights; then
      say "MobileSAM could not be had: masks come from grabcut, which needs no weights and is rough"
      segmenter=grabcut
    fi
  fi
fi
say "segmenter: $segmenter"

rm -rf demo && mkdir demo
truth=()
if [ -z "$source" ]; then
  say "a synthetic drive: 8 frames of 4 streets, camera and LiDAR, with exact truth"
  "$perception" synthesize demo/drive --frames 8 --scene-frames 2 --seed 1 --workers 2
  source=kitti:demo/drive truth=(--truth demo/drive)
fi

say "labels"
# 1: some samples could not be used, and the run says which
"$perception" label "$source" "${boxes[@]}" --segmenter "$segmenter" --out demo/run || [ $? = 1 ]
"$perception" export demo/run --to coco --out demo/labels.json
if [ ${#truth[@]} -gt 0 ]; then
  "$perception" evaluate demo/run "${truth[@]}" --json >demo/evaluation.json
fi

say "what was made, and how good it is"
"$perception" show demo/run --out demo/report ${truth[@]+"${truth[@]}"}
cat <<END

Done in $SECONDS s. Beside the page: demo/labels.json (COCO)$(
  [ ${#truth[@]} -eq 0 ] || echo ", demo/evaluation.json (all figures)"), demo/run (everything).
Next, your own images:
  make demo SOURCE=PICTURES DETECTOR=YOLO_WEIGHTS
  $perception label PICTURES --out runs/mine --detector YOLO_WEIGHTS --segmenter $segmenter
END
