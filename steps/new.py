"""Write the folder of a new task about your own data: a table, or pictures in folders, one a class. Without data it is
the smallest task that there can be, to begin with. The files are yours to change."""

from __future__ import annotations

import argparse
from pathlib import Path

from steps import cli, next_steps
from tasks.contract import UserError, how_to_run
from tasks.new import new_pictures, new_smallest, new_table

KINDS = ("", "classification", "regression")


def run(arguments: argparse.Namespace) -> None:
    about_a_table = (arguments.target, arguments.group, arguments.time, arguments.kind)
    is_table = arguments.data and not Path(arguments.data).expanduser().is_dir()
    if any(about_a_table) and not is_table:
        raise UserError("target, group, time and kind are of a table: say which file, data=<file>.")
    if is_table:
        written = new_table(arguments.name, arguments.data, *about_a_table)
    elif not arguments.data:
        written = new_smallest(arguments.name)
    else:
        written = new_pictures(arguments.name, arguments.data)
    print("\n".join(f"wrote {file}" for file in written.files))
    print("\n".join(f"- {remark}" for remark in written.remarks))
    next_steps.show(
        ("read it, change it", written.files[0]),
        ("train, evaluate and promote", how_to_run("main", task=arguments.name)),
    )


def parser() -> cli.Parser:
    result = cli.Parser(description=__doc__, allow_abbrev=False, formatter_class=cli.Formatter)
    result.add_argument("--name", required=True, help="of the task: small letters, digits and underscores")
    result.add_argument("--data", default="", help="a .csv or .parquet file, or a folder with a folder a class")
    result.add_argument("--target", default="", help="the column to be told from the others")
    result.add_argument("--group", default="", help="a column whose equal values, e.g. of a patient, stay together")
    result.add_argument("--time", default="", help="a column to split by: the latest rows are tested with")
    result.add_argument("--kind", default="", choices=KINDS, help="classification or regression; empty: as it looks")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
