# Everything a machine with git, make and Python 3.11 or newer needs. PYTHON=python3.12 picks another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test lint ui clean

run: $(VENV)/installed  ## train, evaluate and promote on MNIST
	. $(BIN)/activate && mlflow run . --env-manager local --experiment-name mnist

test: $(VENV)/installed  ## the default tests: no network, no container, no browser
	. $(BIN)/activate && mlflow run . -e test --env-manager local

