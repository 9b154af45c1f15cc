"""What people read, taken apart: its blocks, commands, links and names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOR_READERS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "tasks/*/README.md")
SHELLS = ("sh", "powershell")
PLACEHOLDER = "…"  # also what <something> becomes
Command = tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and in which language."""

    language: str
    text: str

    @property
    def scripts(self) -> list[str]:
        """The Python in it: all of it, or what a shell hands to `python -`."""
        return [self.text] if self.language == "python" else [body for _, body in self._heredocs]

    @property
    def commands(self) -> Iterator[Command]:
        """The words of each command of a shell."""
        text = self.text
        for whole, _ in self._heredocs:
            text = text.replace(whole, "")
        for line in text.replace("\\\n", " ").splitlines():
            yield from split(line, posix=self.language == "sh")

    @property
    def _heredocs(self) -> list[tuple[str, str]]:
        found = re.finditer(r"<<'(\w+)'[^\n]*\n(.*?\n)\1\n", self.text, re.DOTALL)
        return [(match[0].partition("\n")[2], match[2]) for match in found] if self.language in SHELLS else []


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        return [Block(match[1], match[2]) for match in re.finditer(r"^```(\w*)\n(.*?)^```", self.text, FLAGS)]

    @cached_property
    def prose(self) -> str:
        """Everything outside the blocks."""
        return re.sub(r"^```.*?^```", "", self.text, flags=FLAGS)

    @cached_property
    def spans(self) -> list[str]:
        """Code within sentences, each in one line."""
        return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", self.prose)]

    @cached_property
    def commands(self) -> list[Command]:
        """Those in blocks, and those in sentences that begin like one."""
        in_blocks = [command for block in self.blocks if block.language in SHELLS for command in block.commands]
        in_sentences = [span for span in self.spans if span.startswith(("mlflow ", "python ", "make "))]
        return in_blocks + [command for span in in_sentences for command in split(span)]

    @cached_property
    def links(self) -> list[str]:
        """Targets of links and images on this side of the network."""
        targets = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in targets if "://" not in target]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link to a heading ends in, as GitHub makes it."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @cached_property
    def files(self) -> dict[str, str]:
        """Files that the reader is to write: a line with the name of each in code and a colon, then its text."""
        return dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```", self.text, FLAGS))

    def rows(self, heading: str) -> dict[str, str]:
        """The rows of the table whose head begins so: the first cell and the rest."""
        _, _, after = self.text.partition(f"\n| {heading} |")
        table = after.split("\n\n")[0].splitlines()[2:]
        return dict(re.match(r"\| (.*?) \|(.*)\|$", row).groups() for row in table)  # type: ignore[union-attr, misc]


FLAGS = re.MULTILINE | re.DOTALL


def documents() -> list[Document]:
    return [Document(path) for pattern in FOR_READERS for path in sorted(ROOT.glob(pattern))]


def split(line: str, posix: bool = True) -> Iterator[Command]:
    """The commands of a line, without comments and redirections."""
    line = re.sub(r"<\w[\w ]*>", PLACEHOLDER, line)
    words = shlex.split(line, comments=True) if posix else line.split()
    command: list[str] = []
    for word in [*words, ";"]:
        if word in ("|", "&&", ";"):
            if command:
                yield tuple(command)
            command = []
        else:
            command.append(word)
