"""What both kinds of form have in common: a name, and values that stand in a model's metadata."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self


class UnknownFormError(Exception):
    """Metadata name a form that this code does not know, or lack what it needs; the message says which."""


@dataclass(frozen=True)
class Form:
    """A form with the values that a task gave it."""

    @property
    def name(self) -> str:
        """That of the module."""
        return type(self).__module__.rpartition(".")[2]

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """The form that `metadata` gave, or that of other code."""
        known = {one.name for one in dataclasses.fields(cls)}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in metadata.items()}
        return cls(**{key: value for key, value in values.items() if key in known})

    def metadata(self) -> dict[str, Any]:
        """What `read` makes a form of again; YAML and JSON can hold it."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {"form": self.name, **values}


def read(package: ModuleType, metadata: Mapping[str, Any]) -> Any:
    """The form of that package which metadata describe. Fields of later code are left out, those that earlier code did
    not know have their defaults.

    Raises:
        UnknownFormError: There is no such form, or what it needs is not there.
    """
    name = metadata.get("form")
    if name not in names(package):
        raise UnknownFormError(f"the form {name!r} is not one of {', '.join(names(package))}")
    try:
        return importlib.import_module(f"{package.__name__}.{name}").FORM.of(metadata)
    except (TypeError, ValueError, KeyError) as error:
        raise UnknownFormError(f"the form {name!r} lacks a value: {error}") from None


@functools.cache  # every upload asks
def names(package: ModuleType) -> list[str]:
    """The forms that a package has, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))
