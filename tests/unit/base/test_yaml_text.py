import resource
import sys
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.yaml_text import YamlError, load_yaml
from sparta_ray.run.settings import Run

GROWING = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
"""Nine times as many values with every line: 2 x 9^11 in all."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e-4", {"a": 1e-4}),
        ("a: on\nb: no\nc: true", {"a": "on", "b": "no", "c": True}),
        ("a: 1979-01-31", {"a": "1979-01-31"}),
        ("base: &b {x: 1}\nover: *b", {"base": {"x": 1}, "over": {"x": 1}}),
        ("", None),
        ("1: 2", {1: 2}),
    ],
)
def test_what_is_read(text, value):
    assert load_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a {x: *a}", "an alias contains itself, line 1"),
        ("a: &a [*a]", "an alias contains itself"),
        (GROWING, "more than 20,000 values, counting an alias each time"),
        ("? [a, b]\n: 1", "a key must be a word, not a list or mapping, line 1"),
        ("x: 1\n? {a: 1}\n: 1", "a key must be a word, not a list or mapping, line 2"),
        ("a: " + "[" * 5000 + "]" * 5000, "more than 40 levels deep, line 1"),
        ("a: " + "{b: " * 5000 + "1" + "}" * 5000, "more than 40 levels deep"),
        ("seed: 1\nseed: 2", "the key 'seed' appears 2 times in one mapping, line 1"),
        ("seed: !!python/object/apply:os.getpid []", "could not determine a constructor"),
        ("a: 'open", "found unexpected end of stream"),
        ("x" * 2_000_000, "2,000,000 characters, more than 1,048,576"),
        ("a: b: c", "mapping values are not allowed here"),
        ("a: \x07", "special characters are not allowed"),
        ("a: " + "9" * 5000, "integer string conversion"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(YamlError, match=message):
        load_yaml(text)


def test_a_growing_alias_takes_neither_time_nor_memory(tmp_path):
    path = tmp_path / "grows.yaml"
    path.write_text(GROWING)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ConfigError, match=r"grows\.yaml is not valid YAML: it has more than"):
        load(Run, path)
    assert time.process_time() - began < 5
    kilobytes = 1 if sys.platform != "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / kilobytes
    assert grown < 100_000


WORDS = st.text(alphabet="abcxyz _-:#'\"[]{}&*!|>%@,?")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
TREES = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(WORDS, parts, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_what_was_written_is_read_back(tree):
    assert load_yaml(yaml.safe_dump(tree)) == tree


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"#%@, \n\t01e.~", max_size=60))
def test_any_text_is_read_or_refused_in_words(text):
    with suppress(YamlError):  # and no other error
        load_yaml(text)


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"#%@, \n\t01e.~", max_size=40))
def test_any_override_is_taken_or_one_error(text):
    with suppress(ConfigError):
        load(Run, None, [f"name={text}"])
