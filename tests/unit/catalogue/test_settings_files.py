"""YAML settings: bounded, and every mistake is one line."""

import itertools

import pytest

from rankdet.catalogue.settings_files import LARGEST_FILE, check_settings, read_settings
from rankdet.errors import InputError

LEVELS = "abcdefghij"
# Ten levels of ten: a few hundred bytes that stand for ten thousand million values.
LIST_BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + below] * 10)}]\n"
    for below, name in itertools.pairwise(LEVELS)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + below] * 10)}]}}\n"
    for below, name in itertools.pairwise(LEVELS)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LIST_BOMB, "by its aliases"),
        (MERGE_BOMB, "by its aliases"),
        ("a: &a [*a]", "alias of itself"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("a: 1\na: {", "line 2"),
        ("- 1", "got a list"),
        ("text", "got a str"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: 2001-99-99", "correct that line"),
        ("? {}\n: 1", "unhashable"),
        ("a\0b: 1", "special characters"),
        ("x" * (LARGEST_FILE + 1), "bytes"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_what_is_no_settings_file_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as refusal:
        read_settings(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_bytes_that_are_no_text_and_no_file(tmp_path):
    path = tmp_path / "settings.yaml"
    with pytest.raises(InputError, match="No such file"):
        read_settings(path)
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="settings in YAML"):
        read_settings(path)


def test_what_is_one_is_read(tmp_path):
    path = tmp_path / "settings.yaml"
    for text, content in (("", {}), ("# none\n", {}), ("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]})):
        path.write_text(text)
        assert read_settings(path) == content


def test_a_setting_is_named_by_its_place(tmp_path):
    schema = tmp_path / "schema.yaml"
    schema.write_text("properties: {a: {properties: {b: {type: integer}}}}\n")
    check_settings({"a": {"b": 1}}, schema, "site.yaml")
    for value, shown in ((1.0, "1.0"), (True, "True"), ("x\ny", "'x"), ([[]] * 3000, r"\[\[")):
        with pytest.raises(InputError, match=rf"site.yaml, a: b as .*{shown}.*'integer'"):
            check_settings({"a": {"b": value}}, schema, "site.yaml")
    endless = []
    endless.append(endless)
    with pytest.raises(InputError, match="alias of itself"):
        check_settings({"a": endless}, schema, "site.yaml")
