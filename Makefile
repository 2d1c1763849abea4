# The verbs that people and CI share. Everything runs inside .venv; `make BIN=DIR check` uses another.
BIN ?= .venv/bin

.PHONY: setup demo test check bench

setup:  ## make .venv; does nothing when it is up to date
	.ci/setup.sh

test: setup  ## from a fresh clone to every check
	$(MAKE) check

check:  ## the gate
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q

# A photograph that the ultralytics package ships, boxes given. SEGMENTER=FILE takes SAM weights.
SEGMENTER ?= grabcut
demo: setup  ## label one image, export COCO; open demo/run/preview/bus.jpg
	$(BIN)/perception label \
	  "$$($(BIN)/python -c 'import importlib.util as i; print(*i.find_spec("ultralytics").submodule_search_locations)')/assets/bus.jpg" \
	  --boxes datasets/demo/boxes.json --segmenter $(SEGMENTER) --out demo/run --overwrite
	$(BIN)/perception export demo/run --to coco --out demo/bus.json

# The figures of the README. DATA holds kitti_object/, cityscapes/ and weights/.
DATA ?= ../shared/data
bench: setup  ## measure on real data
	$(BIN)/perception bench masks $(DATA)/cityscapes --segmenter $(DATA)/weights/mobile_sam.pt
	$(BIN)/perception bench points $(DATA)/kitti_object --segmenter $(DATA)/weights/mobile_sam.pt
	$(BIN)/perception bench memory --segmenter $(DATA)/weights/mobile_sam.pt
	$(BIN)/perception bench evidence $(DATA)/kitti_object --segmenter $(DATA)/weights/mobile_sam.pt
