"""Write the folder of a new task about your own data: a table, CSV or Parquet. The files are yours to change."""

from __future__ import annotations

import argparse

from steps import cli, next_steps
from tasks.contract import how_to_run
from tasks.new import new_table

KINDS = ("", "classification", "regression")


def run(arguments: argparse.Namespace) -> None:
    named = arguments.name, arguments.data, arguments.target
    written = new_table(*named, arguments.group, arguments.time, arguments.kind)
    print("\n".join(f"wrote {file}" for file in written.files))
    print("\n".join(f"- {remark}" for remark in written.remarks))
    next_steps.show(
        ("read it, change it", written.files[0]),
        ("train, evaluate and promote", how_to_run("main", task=arguments.name)),
    )


def parser() -> cli.Parser:
    result = cli.Parser(description=__doc__, allow_abbrev=False, formatter_class=cli.Formatter)
    result.add_argument("--name", required=True, help="of the task: small letters, digits and underscores")
    result.add_argument("--data", required=True, help="a .csv or .parquet file")
    result.add_argument("--target", default="", help="the column to be told from the others")
    result.add_argument("--group", default="", help="a column whose equal values, e.g. of a patient, stay together")
    result.add_argument("--time", default="", help="a column to split by: the latest rows are tested with")
    result.add_argument("--kind", default="", choices=KINDS, help="classification or regression; empty: as it looks")
    return result


if __name__ == "__main__":
    cli.main(parser(), run)
