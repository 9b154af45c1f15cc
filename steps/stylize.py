"""Paint one picture in the style of another, without a model: its pixels are changed until it is right."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifecycle.stylizing import Settings, stylize
from steps import cli
from tasks.contract import get_task


def run(arguments: argparse.Namespace) -> None:
    settings = Settings(
        steps=arguments.steps,
        start=arguments.start,
        content_weight=arguments.content_weight,
        style_weight=arguments.style_weight,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
    )
    stylize(get_task(arguments.task), arguments.content, arguments.style, arguments.size, settings)


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.set_defaults(task="style")
    result.add_argument("--content", required=True, type=Path, help="what is painted, a PNG or JPEG file")
    result.add_argument("--style", required=True, type=Path, help="how it is painted, a PNG or JPEG file")
    result.add_argument("--size", type=cli.whole_number, default=256, help="longer side in pixels")
    result.add_argument("--steps", type=cli.whole_number, default=200, help="how often the pixels are changed")
    result.add_argument("--start", default="content", help="what the picture is at first: content or noise")
    result.add_argument("--content-weight", type=cli.number, default=1.0, help="factor of the content loss")
    result.add_argument("--style-weight", type=cli.number, default=5.0, help="factor of the style loss")
    result.add_argument(
        "--learning-rate",
        type=cli.number,
        default=20.0,
        help="the most that a value, of 255, changes in a step",
    )
    result.add_argument("--seed", type=cli.whole_number, default=1, help="seed of the noise of start=noise")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
