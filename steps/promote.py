"""Put the best evaluated candidate into service, if it is fit for that (rehearsal, gate, alias), or into the shadow."""

from __future__ import annotations

import argparse

from lifecycle.challenging import challenge
from lifecycle.promotion import promote
from registry import ledger, shadow
from steps import cli, next_steps
from tasks.contract import Task, UserError, get_task, how_to_run

ENOUGH = "1000"  # shadowed requests, that the next command asks for


def run(arguments: argparse.Namespace) -> None:
    task = get_task(arguments.task)
    if arguments.shadowed < 0:
        raise UserError(f"shadowed must be a number of requests, at least 0, received {arguments.shadowed}.")
    if arguments.to == shadow.ALIAS:
        _challenge(task, arguments)
    elif promote(task, arguments.model_uri, arguments.shadowed):
        next_steps.show(*next_steps.to_serve(task))
    else:
        _show_what_else(task)


def _challenge(task: Task, arguments: argparse.Namespace) -> None:
    if arguments.shadowed:
        raise UserError(f"shadowed is asked of what is to be the champion: give it with to={ledger.ALIAS}.")
    if not challenge(task, arguments.model_uri):
        _show_what_else(task)
        return
    uri = f"models:/{task.name}@{shadow.ALIAS}"
    next_steps.show(
        ("have it answer all requests, too", how_to_run("serve", task=task.name, port="5002", shadow="1")),
        ("promote it later", how_to_run("promote", task=task.name, model_uri=uri, shadowed=ENOUGH)),
    )


def _show_what_else(task: Task) -> None:
    next_steps.show(
        ("train another", how_to_run("train", task=task.name)),
        ("name the candidate", how_to_run("promote", task=task.name, model_uri="<run id>")),
    )


def parser() -> cli.Parser:
    result = cli.parser(__doc__)
    result.add_argument("--model-uri", default="best", help="the candidate, or best (on the validation split)")
    aliases = [ledger.ALIAS, shadow.ALIAS]
    result.add_argument("--to", choices=aliases, default=ledger.ALIAS, help="the alias that it is to have")
    words = "requests that it must have answered in the champion's shadow"
    result.add_argument("--shadowed", type=cli.whole_number, default=0, help=words)
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
