# Every target but `clean` brings what it needs: .venv from constraints.txt, and for windows the
# system libraries of Qt and, without a display, a virtual one.  A second run starts in seconds.

PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: pictures animation site help demo test fuzz lint bench environment system clean mutate lottery test-ray test-vllm test-matrix weights bilateral glomeruli

help:
	@echo "make demo               open napari on sample tissue; without a display, run the whole loop into build/demo/"
	@echo "make test [ARGS=...]    run the tests side by side; ARGS go to pytest"
	@echo "make fuzz [N=10000]     make up N files and command lines, and requests of the server's OpenAPI document"
	@echo "make mutate [ARGS=...]  put faults into the pure functions, and list those that no test notices"
	@echo "make lottery [ARGS=...] run the quick tests often, in other orders and under load, and compare"
	@echo "make test-ray           run deploy/ on a Ray cluster of this machine"
	@echo "make weights DATA=dir   train the bundled checkpoints from nothing, into build/weights/"
	@echo "make bilateral DATA=dir  train answerers, and score them row by row, into build/bilateral/"
	@echo "make glomeruli DATA=dir  train answerers to find glomeruli, each third of the tiles left out once"
	@echo "make test-vllm          compare the engine of vLLM, on the CPU, with our own decoder"
	@echo "make test-matrix [CELLS=...] [SHORT=1]  run the tests of the window with other versions of napari and Qt"
	@echo "make lint               style, types, import contracts"
	@echo "make pictures [ARGS=...]  make the pictures of the documentation from the real window"
	@echo "make animation          film the window while points appear, for README.md"
	@echo "make site               build the site of the documents into build/site/; a broken link is an error"
	@echo "make bench [ONLY=name]  run the benchmarks into build/bench/"
	@echo "make clean              remove what the targets made (build/matrix too), except .venv, .venv-vllm and .venv-mutate"

environment:
	@scripts/environment.sh

system:
	@scripts/system.sh

demo: system environment
	scripts/with_display.sh $(PYTHON) -m napari_nunext.demo --out build/demo

test: system environment
	scripts/with_display.sh $(PYTHON) -m pytest -n logical --maxprocesses 4 $(ARGS)

fuzz: environment
	$(PYTHON) -m benchmarks.fuzz --inputs $(or $(N),10000) --seed $(or $(SEED),1)
	NUNEXT_FUZZ_EXAMPLES=$(or $(REQUESTS),300) $(PYTHON) -m pytest tests/serving/test_fuzz.py -o timeout=3600

mutate: environment
	scripts/mutate.sh $(ARGS)

lottery: system environment
	scripts/with_display.sh $(PYTHON) scripts/lottery.py $(ARGS)

test-ray: environment
	scripts/ray.sh $(ARGS)

weights: environment
	DATA="$(DATA)" scripts/weights.sh

bilateral: environment
	$(PYTHON) -m scripts.bilateral --data "$(DATA)" $(ARGS)

glomeruli: environment
	$(PYTHON) -m scripts.glomeruli --data "$(DATA)" $(ARGS)

pictures: system environment
	scripts/with_display.sh $(PYTHON) -m scripts.pictures $(ARGS)

animation: system environment
	scripts/with_display.sh $(PYTHON) -m scripts.animation

site: environment
	scripts/site.sh $(ARGS)

test-vllm: environment
	scripts/vllm.sh $(ARGS)

test-matrix: system environment
	CELLS="$(CELLS)" SHORT="$(SHORT)" scripts/matrix.sh $(ARGS)

lint: environment
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

bench: system environment
	scripts/with_display.sh $(PYTHON) -m benchmarks $(ONLY)

clean:
	rm -rf build dist .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +
