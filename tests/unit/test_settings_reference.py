"""Every key of a run and of a study is described; the schema and the page are current."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from scripts.write_settings import PAGE, page
from sparta_ray.base.config import read_tree, to_tree
from sparta_ray.base.schema import json_schema
from sparta_ray.cli import app
from sparta_ray.run.settings import Run
from sparta_ray.studies.config import StudyConfig

CONF = Path(__file__).parents[2] / "conf"
SCHEMAS = {config: json_schema(config) for config in (Run, StudyConfig)}


@pytest.mark.parametrize("config", SCHEMAS)
def test_every_key_is_described(config):
    schema = SCHEMAS[config]
    sections = {config.__name__: schema, **schema["$defs"]}
    missing = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, node in section["properties"].items()
        if not node.get("description")
    ]
    assert not missing, f"describe these under `Attributes:` of their class: {missing}"


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_every_file(path):
    tree = read_tree(path)
    config = StudyConfig if tree.keys() & {"variants", "sweep"} else Run
    Draft202012Validator(SCHEMAS[config]).validate(tree)


@pytest.mark.parametrize("config", SCHEMAS)
def test_the_schema_is_valid_and_accepts_the_defaults(config):
    Draft202012Validator.check_schema(SCHEMAS[config])
    Draft202012Validator(SCHEMAS[config]).validate(to_tree(config()))


def test_the_defaults_in_the_schema_are_the_configs():
    defaults = {
        key: node["default"] for key, node in SCHEMAS[Run]["properties"].items() if key != "extends"
    }
    assert defaults == to_tree(Run())


def test_the_command_prints_the_schema(capsys):
    app(["schema"])
    assert json.loads(capsys.readouterr().out) == SCHEMAS[Run]
    app(["schema", "--study"])
    assert json.loads(capsys.readouterr().out) == SCHEMAS[StudyConfig]


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        app(["shema"])
    assert end.value.code == 2
    assert "schema" in capsys.readouterr().err


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "run: python -m scripts.write_settings"


def test_the_page_has_every_path_with_its_default():
    text = page()
    assert "| `training.stages[].epochs` | integer ≥ 1 and ≤ 1000000 | `250` |" in text
    assert "| `training.stall_seconds` | number > 0 | `900` | s |" in text
    assert "| `mask.ratio` | [number, number] | `[0.5, 0.9]` |" in text
    assert "| `downstream.mask.ratio` | [number, number] | `[0.7, 0.7]` |" in text
    look_back = (
        "| `downstream.forecast.<name>.look_back` | integer ≥ 1 | `2` | steps of data.step |"
    )
    assert look_back in text


def test_defaults_on_the_page_can_be_copied_into_a_file():
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    shown = {row[0].strip("| `"): row[2].strip("`") for row in rows}
    assert yaml.safe_load(shown["sampling.hard_days"]) == [11, 40]
    assert yaml.safe_load(shown["training.stages"])[0] == {"kind": "pretrain"}
