"""The help text of a command, read from its source: a list of all commands imports none of them."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path


def help_text(module: str) -> str:
    """The text that Typer shows for the application `app` of this module: the docstring of its callback or, without
    one, of its only command.

    Raises LookupError if the module has neither.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"{module} has no source")
    texts = dict(_texts(ast.parse(Path(spec.origin).read_bytes())))
    for decorator in ("callback", "command"):
        if decorator in texts:
            return texts[decorator]
    raise LookupError(f"{module} has no command")


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The name of the decorator (`app.NAME(...)`) and the docstring of each decorated function."""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            for decorator in function.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="app"), attr=name)):
                        yield name, cleandoc(ast.get_docstring(function) or "")
