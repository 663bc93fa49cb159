# Every target sets itself up; a second call of an unchanged set-up costs nothing.
#   PROFILE      smoke, laptop (default) or paper
#   PYTHON       the interpreter for the environment, 3.11 or newer
#   TORCH_INDEX  an index with CPU-only wheels of torch and torchvision, instead of the CUDA builds

PROFILE ?= laptop
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
UV := .uv/bin/uv
TORCH := $(shell sed -n 's/^\(torch\|torchvision\)==\([0-9.]*\).*/\1==\2/p' requirements.lock)

.PHONY: setup book test bench serve lint format readme lock clean

setup: .venv/ready

book: setup
	$(BIN)/erfbook build --profile $(PROFILE)

# Files are shared out over the cores; a file's tests stay together, for what they build once.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

bench: setup _build/peers/ready
	$(BIN)/python -m benchmarks

# The other tools stay out of the environment: some of them want older versions of what is in it.
_build/peers/ready: benchmarks/peers.txt
	$(UV) pip install --quiet --python .venv --no-deps --target _build/peers -r benchmarks/peers.txt
	touch $@

serve: book
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/actionlint .github/workflows/book.yml

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The README's table of results, from the last build.
readme: book
	$(BIN)/erfbook claims --readme README.md

# The lock holds hashes for every platform and no address of an index.
lock: $(UV)
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --custom-compile-command "make lock" -o requirements.lock

# What the builds and tests made; the environment stays (rm -rf .venv .uv removes it).
clean:
	rm -rf _build book/chapters .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# The mark is made last, so an interrupted set-up is taken up again.
.venv/ready: requirements.lock pyproject.toml $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
ifdef TORCH_INDEX
	$(UV) pip install --python .venv --index-url $(TORCH_INDEX) --no-deps $(TORCH)
	awk '/^[a-z]/ { keep = !/^(torch|torchvision|triton|nvidia-|cuda-)/ } keep' requirements.lock \
	  > .venv/requirements.txt
	$(UV) pip install --python .venv --require-hashes -r .venv/requirements.txt
else
	$(UV) pip install --python .venv --require-hashes -r requirements.lock
endif
	$(UV) pip install --python .venv --no-deps --editable .
	touch $@

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, not {v[0]}.{v[1]}; set PYTHON=...")'
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8
