# rankdet: `make demo` and `make test` need nothing but Python 3.11 or 3.12; each sets up what it needs.

PYTHON ?= python3
# Processes of `make test`; each takes a core and up to 4 GB.
WORKERS ?= 2
VENV ?= .venv
# The environment: TORCH=cpu|cuda, OPS=builtin (rankdet.ops, nothing is compiled)|mmcv (compiled). Without
# them an environment stays as it is; a new one is cpu, builtin.
TORCH ?=
OPS ?=
BIN := $(VENV)/bin
# Whose docstrings are checked for complete sections: what people call from their own code.
PUBLIC := losses ops adapters models/steps $(addprefix evaluation/,evaluator.py reading.py metrics.py columns.py \
  judge.py submission.py drop_in.py lvis_drop_in.py mean_average_precision.py statistics.py weighted.py tide.py \
  slices.py large_vocabulary.py calibration.py calibrators.py common_images.py) \
  $(addprefix models/,pools.py losses.py metric.py) $(addprefix training/,run.py predict.py)
# A command that this file starts finds the environment's programs.
export PATH := $(abspath $(BIN)):$(PATH)

# More options of snakemake for `make demo`, such as OPTIONS="--config 'seeds=[0,1,2]'".
OPTIONS ?=
DEMO_FIRST := results/demo/alrp_mmdet_ce_l1_frcnn_r50_500/checkpoint.pth

.PHONY: help env demo demo-time test test-operators test-heavy lint test-adapters test-pages bench-losses bench-evaluation bench-adapters gpu-check record-image lock doctor docs docs-numbers docs-images browser-driver test-docs clean clean-wheel

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

env:  ## build .venv (TORCH=cuda for a GPU, OPS=mmcv for compiled operators); does nothing if it is current
	@$(PYTHON) envs/install.py --torch "$(TORCH)" --ops "$(OPS)" --venv $(VENV)

doctor: env  ## versions, operators, GPU, shared memory, disk
	@rankdet doctor

demo: demo-time env  ## train, evaluate and tabulate six rows on the built-in digits set
	@# One of the two longest trainings starts first; at the end it would run alone.
	@snakemake --profile workflow/profiles/local demo --prioritize $(DEMO_FIRST) $(OPTIONS)
	@rankdet report summary --preset demo --results results/demo

demo-time:
	@echo "make demo: 10 to 15 minutes on two cores: the environment (2 to 3, the first time), six trainings"

test: env lint  ## the test suite, with one complete tiny run of the DAG
	@python -m pytest -m "not heavy" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-operators:  ## the tests of operators and recorded heads, with compiled mmcv in .venv-mmcv
	@$(MAKE) --no-print-directory env VENV=.venv-mmcv OPS=mmcv
	@.venv-mmcv/bin/python -m pytest tests/unit/ops tests/golden -m "not heavy" -n $(WORKERS) --dist loadfile

test-heavy: env  ## what takes too long for `make test`
	@python -m pytest -m heavy -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-adapters: .venv-adapters/.ready  ## the tests of the adapters, with torchvision and transformers in .venv-adapters (6 GB)
	@.venv-adapters/bin/python --version
	@.venv-adapters/bin/pip freeze 2> /dev/null | grep -E "^(accelerate|numpy|torch|torchvision|transformers)=="
	@PYTHONPATH=src .venv-adapters/bin/python -m pytest tests/adapters --no-header

browser-driver: env
	@$(BIN)/python -c "import playwright" 2> /dev/null \
	  || pip install -q --no-deps --require-hashes -r envs/pages.txt 2> $(VENV)/pages.log \
	  || { cat $(VENV)/pages.log; exit 1; }

test-pages: browser-driver  ## the tests of the HTML pages in a browser; needs Chromium (CHROMIUM=path)
	@python -m pytest tests/pages

docs-images: browser-driver  ## screenshots of results/demo for the guides, after `make demo`
	@python docs/screenshots.py results/demo docs/images

.venv-adapters/.ready: envs/adapters.txt
	@echo "environment for the adapters: torch with its CUDA libraries, 6 GB of disk; done once"
	@$(PYTHON) -m venv .venv-adapters
	@.venv-adapters/bin/pip install -q --no-deps --require-hashes -r envs/adapters.txt 2> .venv-adapters/install.log \
	  || { cat .venv-adapters/install.log; exit 1; }
	@touch $@

lint: env  ## ruff, mypy, import contracts, docstrings, snakefmt, snakemake --lint; hadolint and shellcheck for the image
	@ruff check . && ruff format --check .
	@snakefmt --check --compact-diff Snakefile workflow
	@snakemake --lint
	@test -x $(BIN)/vermin || pip install -q --no-deps --require-hashes -r envs/lint.txt 2> $(VENV)/lint.log \
	  || { cat $(VENV)/lint.log; exit 1; }
	@mypy
	@lint-imports --no-logo
	@pydoclint $(addprefix src/rankdet/,$(PUBLIC))
	@hadolint Dockerfile
	@if command -v shellcheck > /dev/null; then shellcheck docker/*.sh; \
	else echo "shellcheck is not installed: docker/*.sh not checked"; fi

bench-losses: env  ## loss benchmark into results/reference/losses
	@OMP_NUM_THREADS=1 python -m benchmarks.losses

bench-adapters: env .venv-adapters/.ready  ## small trainings with the adapters into results/reference/adapters
	@test -e work/adapters/digits/dataset.json || rankdet prepare digits --out work/adapters/digits
	@PYTHONPATH=src .venv-adapters/bin/python -m benchmarks.adapters work/adapters/digits results/reference/adapters

gpu-check: env  ## losses, heads, steps, pools on a GPU into results/reference/gpu (TORCH=cuda)
	@python -m benchmarks.gpu $(GPU_CHECK)

bench-evaluation: env  ## evaluator benchmark into results/reference/evaluation
	@python -m benchmarks.evaluation

record-image: env  ## build and run the CPU image, keep what that took in results/reference/image
	@python -m benchmarks.image

docs: env  ## the documentation site into work/site/html: guides, API, notebooks; links are checked
	@test -x $(BIN)/mkdocs || pip install -q --no-deps --require-hashes -r envs/docs.txt 2> $(VENV)/docs.log \
	  || { cat $(VENV)/docs.log; exit 1; }
	@python docs/site/build.py

docs-numbers: env  ## write the measured numbers of README and guides anew, from results/reference
	@cog -r -I docs README.md docs/*.md

test-docs: docs  ## the tests of site, notebooks, wheel and sdist
	@python -m pytest tests/docs tests/examples tests/packaging -m "not heavy"

slurm-demo: env  ## rows of the demo through a real Slurm on this machine into results/reference/slurm (root)
	@python -m tests.slurm.demo

lock: env  ## write the sha256 of each pinned release into envs, after a version there was changed
	@command -v uv > /dev/null || pip install -q --no-deps --require-hashes -r envs/lock.txt
	@python envs/lock.py

clean:  ## delete what the workflow wrote into results and work; other files stay
	@$(PYTHON) envs/clean.py
	rm -rf .snakemake

clean-wheel:  ## forget the built mmcv wheel, so that `make env` compiles it again
	rm -rf "$${RANKDET_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/rankdet}/wheels" $(VENV)/.rankdet-environment
