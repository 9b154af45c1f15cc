"""The step that paints, with a small loss network."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from sklearn.datasets import load_sample_image

from steps import own
from tasks.contract import UserError
from tasks.style import stylize
from tests.conftest import Step, available

pytestmark = pytest.mark.usefixtures("small_network", "store")


@pytest.fixture
def files(china: np.ndarray, flower: np.ndarray, tmp_path: Path) -> tuple[str, str]:
    paths = (tmp_path / "china.jpg", tmp_path / "flower.png")
    for path, picture in zip(paths, (china, flower), strict=True):
        Image.fromarray(picture).save(path)
    return str(paths[0]), str(paths[1])


def run(content: str, style: str, *options: str) -> None:
    own.run(own.parser().read(["style.stylize", "--content", content, "--style", style, *options]))


def only_run(store: MlflowClient) -> Run:
    experiment = store.get_experiment_by_name("style")
    assert experiment is not None
    (found,) = store.search_runs([experiment.experiment_id])
    return found


@pytest.mark.slow
def test_a_run_has_the_picture_and_how_it_came_about(
    files: tuple[str, str], store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*files, "--size", "64", "--steps", "20")
    found = only_run(store)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "china in the style of flower"
    assert found.data.params["config.style_weight"] == "5.0"
    curve = [metric.value for metric in store.get_metric_history(found.info.run_id, "style_loss")]
    assert len(curve) == 21
    assert curve[-1] < 0.5 * curve[0]
    names = [Path(artifact.path).name for artifact in store.list_artifacts(found.info.run_id, "images")]
    assert len({name.split("+")[2] for name in names if name.endswith(".png")}) == 11  # steps 0, 2, … 20
    picture = mlflow.artifacts.load_image(f"runs:/{found.info.run_id}/stylized.png")
    assert picture.size == (64, 48)
    assert "figures/triptych.png" in {a.path for a in store.list_artifacts(found.info.run_id, "figures")}
    assert "step 21/21: loss 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "16"], "size must be from 32 to 2048, received 16"),
        (["--steps", "0"], "steps must be at least 1, received 0"),
        (["--style-weight", "-1"], "style_weight must be a finite number of at least 0, received -1"),
        (["--learning-rate", "0"], "learning_rate must be a finite number above 0, received 0"),
        (["--start", "nose"], "start must be one of content, noise, received 'nose'"),
        (["--colour", "3"], "Unknown parameter: '--colour'.*--content"),
    ],
)
def test_settings_out_of_range_are_refused(files: tuple[str, str], options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(*files, *options)


def test_a_picture_that_cannot_be_read_is_named(files: tuple[str, str], tmp_path: Path) -> None:
    content, style = files
    with pytest.raises(UserError, match=r"Cannot read .*nowhere\.jpg: No such file or directory"):
        run(content, str(tmp_path / "nowhere.jpg"))
    with pytest.raises(UserError, match=r"Cannot read .*: Is a directory"):
        run(content, str(tmp_path))
    Path(tmp_path / "cut.jpg").write_bytes(Path(content).read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"cut\.jpg: The file is cut off"):
        run(content, str(tmp_path / "cut.jpg"))
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg: This is not a PNG or JPEG picture that can be read"):
        run(str(tmp_path / "text.jpg"), style)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    run(str(tmp_path / "dot.png"), style, "--size", "64", "--steps", "1")
    Image.new("RGB", (4000, 10)).save(tmp_path / "line.png")
    with pytest.raises(UserError, match=r"line\.png would be 256×1 pixels; the shorter side must have 32"):
        run(str(tmp_path / "line.png"), style)


@pytest.mark.parametrize("mode", ["L", "CMYK", "MPO", "RGBA", "P", "I;16"])
def test_pictures_of_every_kind_are_read_in_colour(mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{ {'CMYK': 'jpg', 'MPO': 'mpo'}.get(mode, 'png') }"
    grey = Image.new("L", (64, 32), 128)
    if mode == "MPO":
        grey.convert("RGB").save(path, save_all=True, append_images=[grey.convert("RGB")])
    else:
        (Image.new("I;16", (64, 32), 128 * 257) if mode == "I;16" else grey.convert(mode)).save(path)
    pixels = stylize.read(path, 64)
    assert pixels.shape == (32, 64, 3)
    np.testing.assert_allclose(pixels, 128, atol=2)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")  # which is meant
def test_a_loss_that_is_no_number_ends_the_run(files: tuple[str, str], store: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"The loss of step \d+ is (nan|inf)\. Try a lower learning_rate"):
        run(*files, "--size", "64", "--steps", "20", "--style-weight", "1e300")
    assert only_run(store).info.status == "FAILED"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected a step first: style.stylize."),
        (["digits.stylize"], "digits has no step 'stylize'. Expected e.g. task=style."),
        (["style.paint"], "style has no step 'paint'."),
        (["styles.stylize"], "Unknown task: 'styles'. Did you mean 'style'?"),
        (["style.stylize", "--content", "a.png"], "the following arguments are required: --style"),
        (["style.stylize", "--steps", "few"], "--steps: expected a whole number, received 'few'"),
    ],
)
def test_a_step_that_nobody_has_or_that_lacks_something_is_told(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        own.parser().read(words)
    assert message in str(error.value)


def test_its_help_has_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in ((["--help"], "style.stylize"), (["style.stylize", "--help"], "--learning-rate")):
        with pytest.raises(SystemExit):
            own.parser().read(words)
        assert expected in capsys.readouterr().out


@pytest.mark.slow
def test_it_takes_the_real_loss_network(store: MlflowClient, step: Step, tmp_path: Path) -> None:
    available("style")
    content, style = (Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower"))
    content.resize((96, 64)).save(tmp_path / "content.jpg", quality=95)
    style.save(tmp_path / "style.jpg")
    files = ("--content", str(tmp_path / "content.jpg"), "--style", str(tmp_path / "style.jpg"))
    result = step("own", "style.stylize", *files, "--size", "96", "--steps", "30")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    curve = [metric.value for metric in store.get_metric_history(only_run(store).info.run_id, "loss")]
    assert np.argmin(curve) > 20
    assert curve[-1] < 0.6 * curve[0]
