"""YAML files of settings: read within bounds, checked by a schema, refused in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rankdet.errors import InputError

LARGEST_FILE = 2**20  # bytes; those that are committed have a few thousand
DEEPEST = 100  # levels
MOST_VALUES = 100_000  # with every alias written out


def read_settings(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file; an empty file is an empty one.

    Raises:
        InputError: if the file is no mapping in YAML, or too large with its aliases written out.
    """
    import yaml

    expected = f"settings in YAML in {path}"
    try:
        data = path.read_bytes()
        if len(data) > LARGEST_FILE:
            raise InputError(expected, f"{len(data)} bytes", "split or shorten the file")
        try:
            content = _content(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader), path)
        except yaml.YAMLError:
            content = _content(data, yaml.SafeLoader, path)  # says better what is wrong
    except OSError as error:
        raise InputError(expected, str(error.strerror), "check the path") from None
    except RecursionError:
        raise InputError(expected, "values nested too deep", "write it flat") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or error
        raise InputError(expected, f"{where}{problem}", "correct that line") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(expected, f"a {type(content).__name__}", "write `name: value` lines")
    return content


def _content(data: bytes, kind: Any, path: Path) -> Any:
    """Return what a file holds. The loader in C is ten times as fast, and has no limit of depth."""
    import yaml

    _check_depth(yaml.parse(data, Loader=kind))
    # Composed first: to construct a nest of merge keys can take all memory.
    loader = kind(data)
    try:
        node = loader.get_single_node()
        _check_size(node, path)
        return loader.construct_document(node) if node is not None else {}
    finally:
        loader.dispose()


def _check_depth(events: Iterable[Any]) -> None:
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > DEEPEST:
            raise RecursionError


def check_settings(content: Mapping[str, Any], schema: Path | str, what: str) -> None:
    """Check settings that were read by a JSON schema in YAML.

    Args:
        content: the settings.
        schema: path of the schema.
        what: the file that the user edits, for the message.

    Raises:
        InputError: naming the place of the first mistake.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from jsonschema.validators import extend

    _check_size(content, what)
    # 1.0 is no count: it would reach a command as the text "1.0".
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    validator = extend(Draft202012Validator, type_checker=types)(read_settings(Path(schema)))
    error = best_match(validator.iter_errors(content))
    if error is not None:
        place = ": ".join(map(str, error.absolute_path))
        where = f"{what}, {place}" if place else what
        raise InputError(f"{where} as its schema says", error.message, "correct that setting")


def _check_size(root: Any, what: object) -> None:
    """Refuse a tree of nodes or of values that its aliases make huge, or endless."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(value: Any) -> int:
        if id(value) in open_:
            raise InputError(f"{what} without an alias of itself", "one", "remove that alias")
        if id(value) not in sizes:
            open_.add(id(value))
            sizes[id(value)] = 1 + sum(map(size, _parts(value)))
            open_.discard(id(value))
        return sizes[id(value)]

    if size(root) > MOST_VALUES:
        raise InputError(
            f"{what} with at most {MOST_VALUES} values", "more, by its aliases", "write fewer"
        )


def _parts(value: Any) -> Iterator[Any]:
    value = getattr(value, "value", value)  # of a YAML node: its content
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
