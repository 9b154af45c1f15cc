from __future__ import annotations

import pytest
from mlflow import MlflowClient

from steps import cli, compare


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "modells"], "error: Unknown study of digits: 'modells'. Did you mean 'models'?"),
        (["--repeats", "0"], "error: repeats must be at least 1, received 0."),
        (["--jobs", "-1"], "error: jobs must be at least 0, received -1."),
        (["--force", "perhaps"], "error: --force: expected true or false, received 'perhaps'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(compare.parser(), compare.run, ["--task", "digits", *arguments])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(message)
