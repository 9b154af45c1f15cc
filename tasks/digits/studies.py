"""Questions about the models, to be asked with `-e compare -P task=digits -P study=<name>`."""

from tasks.contract import Range, Search, Study
from tasks.digits.config import DENSE, LINEAR

STUDIES = {
    "models": Study(question="Does a hidden layer help?", variants={"linear": LINEAR, "dense": DENSE}),
}
SEARCH = Search(DENSE, {"learning_rate": Range(1e-4, 0.1, log=True), "batch_size": (16, 32, 64)})
