"""Stand-ins for packages that a bare machine lacks and that most runs never call.

A machine with PyTorch and NumPy alone can make runs, although modules beside theirs import more:
shapes in signatures (jaxtyping), tables (pandas), fits (scipy), pictures. A stand-in lets those
modules be imported; what is called of it says what to install.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from erfbook.errors import UserError

PACKAGES = ("PIL", "jaxtyping", "matplotlib", "pandas", "scipy", "torchvision")
_PIP_NAMES = {"PIL": "pillow"}


class Absent:
    """Anything of a package that is not installed; it can be named, but not called.

    Args:
        name: dotted.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __getitem__(self, key: object) -> Absent:
        return self

    def __or__(self, other: object) -> Absent:  # as in the types of signatures
        return self

    __ror__ = __or__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        package = self._name.split(".")[0]
        raise UserError(
            f"{self._name} is needed here: pip install {_PIP_NAMES.get(package, package)}"
        )


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no other finder found of :data:`PACKAGES`; it comes last."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in PACKAGES:
            return None
        parent = sys.modules.get(fullname.rpartition(".")[0])
        if parent is not None and not isinstance(parent.__loader__, _Finder):
            return None  # a part that an installed package really does not have
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")


def stand_in() -> None:
    """Let packages that are not installed be imported; those that are stay as they are."""
    is_there = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if not is_there and any(importlib.util.find_spec(name) is None for name in PACKAGES):
        sys.meta_path.append(_Finder())
