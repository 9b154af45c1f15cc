# What a machine with git, make and Python 3.11 to 3.13 needs. PYTHON=python3.12 picks another interpreter.
PYTHON ?= python3
VENV ?= .venv
ACTIVATE = . $(VENV)/bin/activate

.PHONY: run test lint ui clean

run: $(VENV)/installed  ## train, evaluate and promote on MNIST
	$(ACTIVATE) && mlflow run . --env-manager local --experiment-name mnist
	@echo 'To run these commands, activate the environment: . $(VENV)/bin/activate'

test: $(VENV)/installed  ## the tests that need no network, container or browser
	$(ACTIVATE) && python -m pytest

lint: $(VENV)/installed-dev
	$(ACTIVATE) && ruff check . && ruff format --check . && mypy . && mypy --platform win32 steps lifecycle registry serving served monitoring studies pages forms contract tasks

ui: $(VENV)/installed
	$(ACTIVATE) && mlflow ui

clean:  ## removes the environment, keeps runs and models
	rm -rf $(VENV)

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and \
	"Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no other yet); say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
