"""A function of a module that is imported when the function is first called."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Deferred:
    """`target`: `module:function`. The definition of a worker names what imports a client library in this way, because
    a command reads the definitions of all workers and connects to few of their stores.
    """

    target: str

    def resolve(self) -> Any:
        """Imports the module and returns the function. Raises what the import raises."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)

    def __call__(self, settings: Any) -> Any:
        return self.resolve()(settings)
