import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT, differences, from_tree, load, read_tree, to_tree, to_yaml
from sparta_ray.base.errors import ConfigError
from sparta_ray.run.settings import Run


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Section:
    share: float = Field(default=0.5, gt=0, lt=1)
    count: int = 3
    sizes: tuple[int, int] = (64, 32)
    note: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Example:
    name: str
    section: Section = Field(default_factory=Section)


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_file_is_merged_over_the_one_it_extends(write):
    write("base.yaml", "name: base\nsection: {share: 0.25, count: 7}\n")
    path = write("child.yaml", "extends: base.yaml\nsection: {count: 8}\n")
    config = load(Example, path)
    assert config == Example(name="base", section=Section(share=0.25, count=8))


def test_only_one_level_of_extends_is_allowed(write):
    write("a.yaml", "name: a\n")
    write("b.yaml", "extends: a.yaml\n")
    path = write("c.yaml", "extends: b.yaml\n")
    with pytest.raises(ConfigError, match=r"b\.yaml extends a\.yaml: only one level"):
        load(Example, path)


def test_lists_are_replaced_and_not_merged(write):
    write("base.yaml", "section: {sizes: [10, 20]}\nname: base\n")
    path = write("child.yaml", "extends: base.yaml\nsection: {sizes: [30, 40]}\n")
    assert load(Example, path).section.sizes == (30, 40)


def test_another_kind_replaces_the_whole_section(write):
    write("base.yaml", "data:\n  source: {kind: netcdf, paths: 'a*.nc', simulated: true}\n")
    path = write("child.yaml", "extends: base.yaml\ndata:\n  source: {kind: zarr, url: b.zarr}\n")
    assert read_tree(path)["data"]["source"] == {"kind": "zarr", "url": "b.zarr"}
    source = load(Run, path).data.source
    assert (source.kind, source.url, source.simulated) == ("zarr", "b.zarr", False)


def test_the_same_kind_is_merged(write):
    write("base.yaml", "data:\n  source: {kind: netcdf, paths: 'a*.nc', simulated: true}\n")
    path = write("child.yaml", "extends: base.yaml\ndata:\n  source: {kind: netcdf, paths: b.nc}\n")
    source = load(Run, path).data.source
    assert (source.paths, source.simulated) == ("b.nc", True)


def test_overrides_reach_nested_keys_and_list_entries(write):
    path = write("run.yaml", "training:\n  stages:\n  - {kind: pretrain}\n  - {kind: joint}\n")
    run = load(Run, path, ["training.stages.1.epochs=3", "model.width=0.5", "name=other"])
    assert [stage.epochs for stage in run.training.stages] == [100, 3]
    assert run.model.width == 0.5
    assert run.name == "other"


def test_an_override_leaves_its_siblings_alone(write):
    path = write("run.yaml", "name: a\nsection: {share: 0.25, count: 7}\n")
    config = load(Example, path, ["section.count=9"])
    assert config.section == Section(share=0.25, count=9)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("section.count", r"write it as path\.to\.key=value"),
        ("=3", r"write it as path\.to\.key=value"),
        ("section..count=3", r"write it as path\.to\.key=value"),
        ("section.sizes.2=1", r"'2' is no index of a list of 2 entries"),
        ("section.sizes.x=1", r"'x' is no index of a list of 2 entries"),
        ("name.first=1", r"'a' has no key 'first'"),
        ("section.count=[1", r"is not valid YAML"),
    ],
)
def test_an_unfit_override_is_an_error_that_repeats_it(write, override, message):
    path = write("run.yaml", "name: a\nsection: {sizes: [1, 2]}\n")
    with pytest.raises(ConfigError, match=message) as error:
        load(Example, path, [override])
    assert override in str(error.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("2E-1", 0.2), ("+5.e-1", 0.5), ("1_0e-2", 0.1), ("0.5", 0.5)],
)
def test_scientific_notation_is_a_number(write, text, number):
    path = write("run.yaml", f"name: a\nsection: {{share: {text}}}\n")
    assert load(Example, path).section.share == number
    assert load(Example, None, ["name=a", f"section.share={text}"]).section.share == number


def test_a_word_that_begins_like_a_number_stays_a_word(write):
    path = write("run.yaml", "name: 1e-4b\n")
    assert load(Example, path).name == "1e-4b"


def test_a_calendar_day_is_text(write):
    path = write("run.yaml", "data: {first_day: 1979-01-02}\n")
    assert load(Run, path).data.first_day == "1979-01-02"
    assert read_tree(path)["data"]["first_day"] == "1979-01-02"


def test_only_true_and_false_are_booleans(write):
    path = write("run.yaml", "mask: {on: grid}\nflags: [yes, no, off, true, False]\n")
    assert read_tree(path) == {
        "mask": {"on": "grid"}, "flags": ["yes", "no", "off", True, False]
    }  # fmt: skip


def test_an_unknown_key_is_named_with_the_nearest_known_one(write):
    path = write("run.yaml", "training: {plateau: {patiance: 3}}\n")
    with pytest.raises(ConfigError, match=r"run\.yaml:\n  training\.plateau\.patiance: ") as error:
        load(Run, path)
    assert "unknown key; did you mean patience" in str(error.value)


def test_an_unknown_key_unlike_any_other_is_told_those_of_its_section():
    with pytest.raises(ConfigError, match=r"  zzzzzz: unknown key; known here: name, section$"):
        load(Example, None, ["name=a", "zzzzzz=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mask.patience=3", "known here: on, ratio, shape$"),  # not the one of training.plateau
        (
            "data.source={kind: zarr, url: b, paths: a}",
            "known here: .*, url$",
        ),  # not that of netcdf
        ("training.stages=[{kind: joint, alpha_dekay: 1}]", r"did you mean alpha_decay\?$"),
        (
            "training.stages=[{kind: decode, alpha_decay: 1}]",
            "known here: accumulate, epochs, kind, lr$",
        ),
        ("downstream.forecast={mine: {lookback: 3}}", r"did you mean look_back\?$"),
    ],
)
def test_suggestions_are_keys_of_the_same_section(override, message):
    with pytest.raises(ConfigError, match=rf"unknown key; {message}"):
        load(Run, None, [override])


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("section.count='12'", "section.count"),
        ("section.count=many", "section.count"),
        ("section.count=1.5", "section.count"),
        ("section.count=true", "section.count"),
        ("section.share='0.5'", "section.share"),
        ("section.sizes=[1, 2, 3]", "section.sizes"),
        ("name=12", "name"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(override, path):
    with pytest.raises(ConfigError, match=rf"^defaults with --set:\n  {path}.*: .*"):
        load(Example, None, ["name=a", override])


def test_the_value_that_does_not_fit_is_shown():
    with pytest.raises(ConfigError, match=r"section\.count: .*\(got 'many'\)"):
        load(Example, None, ["name=a", "section.count=many"])


@pytest.mark.parametrize("value", ["0", "1", "-0.5"])
def test_out_of_range(value):
    with pytest.raises(ConfigError, match=rf"section\.share: Input should be .* than .*{value}"):
        load(Example, None, ["name=a", f"section.share={value}"])


def test_every_mistake_is_listed_at_once():
    with pytest.raises(ConfigError) as error:
        load(Example, None, ["section.share=2", "section.count=many"])
    assert len(str(error.value).splitlines()) == 4
    assert "name: required, but absent" in str(error.value)


def test_unreadable_files(write, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read config .*missing\.yaml: No such file"):
        load(Example, tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot read config"):
        load(Example, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError, match=r"binary\.yaml: it is not text"):
        load(Example, tmp_path / "binary.yaml")
    with pytest.raises(ConfigError, match=r"(?s)broken\.yaml is not valid YAML: .*line 2"):
        load(Example, write("broken.yaml", "name: a\nsection: [1"))
    with pytest.raises(ConfigError, match="must hold a mapping, not list"):
        load(Example, write("list.yaml", "- name\n"))
    with pytest.raises(ConfigError, match="`extends` must name a file, not 5"):
        load(Example, write("number.yaml", "extends: 5\n"))


def test_an_empty_file_means_all_defaults(write):
    assert load(Run, write("empty.yaml", "")) == Run()


def test_yaml_cannot_construct_objects(write):
    path = write("evil.yaml", "name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load(Example, path)


def test_a_run_survives_its_tree_and_its_yaml(write):
    assert from_tree(Run, to_tree(Run()), "tree") == Run()
    assert load(Run, write("resolved.yaml", to_yaml(Run()))) == Run()
    other = load(Run, None, ["data.source={kind: zarr, url: gs://a}", "downstream.diffusion=null"])
    assert from_tree(Run, to_tree(other), "tree") == other
    assert other != Run()


def test_differences_ignore_whole_paths_and_no_beginnings_of_names():
    old = {"keep": 1, "keep_checkpoints": 1, "data": {"store": "a", "days": [1, 2]}}
    new = {"keep": 2, "keep_checkpoints": 2, "data": {"store": "b", "days": [1, 3]}}
    assert differences(old, new, ("keep", "data")) == ["keep_checkpoints: 1 -> 2"]
    assert differences(old, new, ("data.store",)) == [
        "data.days.1: 2 -> 3", "keep: 1 -> 2", "keep_checkpoints: 1 -> 2"
    ]  # fmt: skip


def test_differences_name_path_old_and_new():
    old = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": {}}
    new = {"a": 1, "b": {"c": [1, 3, 4], "d": "x"}, "f": None}
    assert differences(old, new) == [
        "b.c.1: 2 -> 3",
        "b.c.2: '(absent)' -> 4",
        "e: {} -> '(absent)'",
        "f: '(absent)' -> None",
    ]
    assert differences(old, old) == []


def test_a_missing_key_is_named_as_a_user_writes_it():
    with pytest.raises(ConfigError, match=r"or give --set data\.source\.paths=…"):
        load(Run, None, ["data.source={kind: netcdf}"])
