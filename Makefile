# The verbs that people and CI share. Everything runs inside .venv; `make BIN=DIR check` uses another.
BIN ?= .venv/bin

.PHONY: setup demo docs pocket test check quick faults mutants bench benchmarks-page lock oracles chromium

setup:  ## make .venv; does nothing when it is up to date
	.ci/setup.sh

test: setup oracles chromium  ## from a fresh clone to every check
	$(MAKE) check

# Tools that judge ours in tests. Their pins clash with ours, so they come without what they ask;
# what follows datumaro, moto and their like here is what they import.
ORACLES := panopticapi-lite semantic-kitti-api cityscapesscripts pyquaternion datumaro \
  orjson json-stream json-stream-rs-tokenizer imagesize lxml shapely tqdm nuscenes-devkit cachetools \
  moto boto3 botocore s3transfer jmespath responses py-partiql-parser xmltodict cryptography cffi \
  pycparser flask-cors
lock: setup  ## write the versions that are installed into .ci/constraints.txt, which set-up follows
	{ head -1 .ci/constraints.txt; $(BIN)/python -m pip freeze --exclude-editable \
	  | grep -viE '^(torch|torchvision|nvidia-|cuda-|triton|pip|setuptools)'; } >.ci/constraints.new
	mv .ci/constraints.new .ci/constraints.txt

oracles: setup $(ORACLES:%=.oracles/%)  ## without them their tests skip
.oracles/%:
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $*

chromium:  ## the browser that the tests of the review pages drive; without it they skip
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	  || echo "no chromium: the tests of the review pages skip (apt-get install chromium)"

check:  ## the gate
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal

quick: setup  ## style and the tests that need no weights, cluster, browser or second tool
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal -m quick

docs: setup  ## build the pages into site/, then open site/index.html; the search wants a server
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=.:integrations $(BIN)/mkdocs build --strict --quiet

faults: setup  ## inject 43 known faults; one line says what became of each
	$(BIN)/python tests/faults.py $(ROWS)

mutants: setup  ## change the code in 300 places, one at a time; the last line says how many changes the tests notice
	$(BIN)/python tests/mutants.py $(MUTANTS)

# A synthetic drive, or SOURCE=images of your own; DETECTOR= and SEGMENTER= take weights.
demo: setup  ## then open demo/report/index.html
	BIN=$(BIN) SOURCE="$(SOURCE)" DETECTOR="$(DETECTOR)" SEGMENTER="$(SEGMENTER)" .ci/demo.sh

# The detector that is shipped in datasets/pocket: trained on synthetic streets and nothing else.
pocket: setup  ## train it again, about an hour and a half on two free cores; ends with its figures on streets it has not seen
	rm -rf pocket
	$(BIN)/perception synthesize pocket/train --frames 1000 --seed 5000 --scene-frames 4 --stride 10 --workers 2
	$(BIN)/perception synthesize pocket/val --frames 60 --seed 8000 --scene-frames 4 --stride 10 --workers 2
	$(BIN)/perception synthesize pocket/test --frames 60 --seed 9000 --scene-frames 4 --stride 10 --workers 2
	$(BIN)/perception export pocket/train --to yolo --out pocket/train-yolo
	$(BIN)/perception export pocket/val --to yolo --out pocket/val-yolo
	$(BIN)/perception train pocket/train-yolo --val pocket/val-yolo --out pocket/weights \
	  --model yolo11n.yaml --epochs 16 --image-px 1248 --batch 4
	$(BIN)/perception label kitti:pocket/test --detector pocket/weights/best.onnx \
	  --segmenter boxes --class-map road-to-road --floor 0.01 --out pocket/run
	$(BIN)/perception evaluate pocket/run --truth pocket/test

# The figures of BENCHMARKS.md. DATA holds kitti_object/, cityscapes/ and weights/.
DATA ?= ../shared/data
bench: setup  ## measure on real data; RECORD=benchmarks.jsonl keeps the figures
	$(BIN)/perception bench masks $(DATA)/cityscapes --segmenter $(DATA)/weights/mobile_sam.pt $(RECORD:%=--record %)
	$(BIN)/perception bench points $(DATA)/kitti_object --segmenter $(DATA)/weights/mobile_sam.pt $(RECORD:%=--record %)
	$(BIN)/perception bench memory --segmenter $(DATA)/weights/mobile_sam.pt $(RECORD:%=--record %)
	-$(BIN)/perception label kitti:$(DATA)/kitti_object --boxes label_2 \
	  --segmenter $(DATA)/weights/mobile_sam.pt --out runs/kitti-boxes
	$(BIN)/perception bench evidence runs/kitti-boxes $(RECORD:%=--record %)
	$(BIN)/perception bench synthetic --segmenter $(DATA)/weights/mobile_sam.pt $(RECORD:%=--record %)

benchmarks-page: setup  ## make BENCHMARKS.md and README's figures from benchmarks.jsonl
	$(BIN)/python -m perception.benchmarks.harness.page
