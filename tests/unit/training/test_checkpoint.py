import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.checkpoint import SavedState, capture, load_state, restore, save_state
from sparta_ray.training.model_card import ModelCard, has_model, load_model, save_model
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ContrastiveConfig, PretrainStage, build_model
from sparta_ray.training.state import StageState

VIEWS = ViewConfig(resize=(12, 10), crop=(10, 8), filter=3)
CONFIG = ModelConfig(width=0.04, embedding=12, projection=6)


def state_of(seed, steps):
    torch.manual_seed(seed)
    model = build_model("sparta", "abc", (64, 32), CONFIG)
    module = StageModule(PretrainStage(), model, ContrastiveConfig())
    state = StageState.start(module, 1e-2, PlateauConfig(patience=0))
    for _ in range(steps):
        loss = sum(p.square().sum() for p in module.parameters() if p.requires_grad)
        loss.backward()
        state.optimiser.step()
        state.scheduler.step(1.0)
        state.position += 1
    return state


def test_a_checkpoint_restores_everything_exactly(tmp_path):
    state, other = state_of(0, steps=3), state_of(1, steps=0)
    save_state(RunFolder(str(tmp_path)), capture(state, 2, "abc", "float32"))
    saved = load_state(RunFolder(str(tmp_path)), "abc")
    assert (saved.stage, saved.position, saved.fingerprint) == (2, 3, "abc")
    restore(other, saved)
    assert other.position == 3
    assert other.lr == state.lr < 1e-2
    assert other.scheduler.state_dict() == state.scheduler.state_dict()
    for one, two in zip(other.module.parameters(), state.module.parameters(), strict=True):
        assert torch.equal(one, two)
    moments = [s.optimiser.state_dict()["state"] for s in (other, state)]
    assert moments[0].keys() == moments[1].keys()
    for index, moment in moments[0].items():
        for name, value in moment.items():
            assert torch.equal(value, moments[1][index][name])


def test_it_is_read_without_running_code(tmp_path):
    save_state(RunFolder(str(tmp_path)), capture(state_of(0, steps=1), 0, "abc", "float32"))
    tree = torch.load(tmp_path / "state.pt", weights_only=True)
    assert tree.keys() == set(SavedState.__dataclass_fields__)


class Intruder:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (Path(self.trace),)


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path):
    saved = capture(state_of(0, steps=0), 0, "abc", "float32")
    trace = tmp_path / "was-here"
    save_state(RunFolder(str(tmp_path)), replace(saved, scheduler={"a": Intruder(str(trace))}))
    with pytest.raises(ConfigError, match="is damaged") as error:
        load_state(RunFolder(str(tmp_path)), "abc")
    assert isinstance(error.value.__cause__, pickle.UnpicklingError)
    assert not trace.exists()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    save_state(RunFolder(str(tmp_path)), capture(state_of(0, steps=0), 0, "abc", "float32"))
    content = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match=r"is damaged: state\.pt has [\d,]+ bytes"):
        load_state(RunFolder(str(tmp_path)), "abc")


def test_the_best_weights_are_kept_in_it(tmp_path):
    state, other = state_of(0, steps=1), state_of(1, steps=0)
    state.note_best(4, 0.5)
    before = {name: w.clone() for name, w in state.module.model.state_dict().items()}
    with torch.no_grad():
        next(state.module.parameters()).zero_()
    state.note_best(5, 0.75)
    save_state(RunFolder(str(tmp_path)), capture(state, 0, "abc", "float32"))
    restore(other, load_state(RunFolder(str(tmp_path)), "abc"))
    assert (other.best.epoch, other.best.loss) == (4, 0.5)
    for name, weight in before.items():
        assert torch.equal(other.best.weights[name], weight)


def test_another_store_s_checkpoint_is_taken_when_that_is_allowed(tmp_path):
    save_state(RunFolder(str(tmp_path)), capture(state_of(0, steps=0), 0, "abc", "float32"))
    assert load_state(RunFolder(str(tmp_path)), None).fingerprint == "abc"


def test_a_checkpoint_of_other_data_is_refused_with_both_fingerprints(tmp_path):
    save_state(RunFolder(str(tmp_path)), capture(state_of(0, steps=0), 0, "abc", "float32"))
    with pytest.raises(ConfigError, match=r"trained on data abc, not on this store's xyz; choose"):
        load_state(RunFolder(str(tmp_path)), "xyz")


def test_a_checkpoint_of_another_size_does_not_fit(tmp_path):
    save_state(RunFolder(str(tmp_path)), capture(state_of(0, steps=0), 0, "abc", "float32"))
    larger = ModelConfig(width=0.04, embedding=14, projection=6)
    model = build_model("sparta", "abc", (64, 32), larger)
    module = StageModule(PretrainStage(), model, ContrastiveConfig())
    state = StageState.start(module, 1e-2, PlateauConfig())
    with pytest.raises(ConfigError, match=r"(?s)do not fit the model.*size mismatch"):
        restore(state, load_state(RunFolder(str(tmp_path)), "abc"))


@pytest.fixture(scope="module")
def store(make_store):
    return Store(make_store(days=30, grid=(64, 32)))


@pytest.mark.parametrize("kind", ["sparta", "autoencoder"])
@pytest.mark.parametrize("remote", [False, True])
def test_a_model_is_written_and_read_exactly(tmp_path, store, kind, remote):
    folder = f"memory://{tmp_path.name}/{kind}" if remote else str(tmp_path / "models" / kind)
    card = ModelCard.describe(kind, CONFIG, VIEWS, store)
    torch.manual_seed(3)
    model = build_model(kind, "abc", (64, 32), CONFIG)
    model.encoder(torch.randn(2, 3, 20, 12))  # moves the stem's running statistics
    assert not has_model(folder)
    save_model(folder, card, model.state_dict())
    assert has_model(folder)

    read_card, read = load_model(folder)
    assert not read.training
    assert type(read) is type(model)
    assert read.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value)
    for field in ("kind", "config", "views", "variables", "longitude", "latitude", "fingerprint"):
        assert getattr(read_card, field) == getattr(card, field)
    assert read_card.simulated
    assert read_card.grid == (64, 32)
    assert_array_equal(read_card.statistics.mean, store.statistics.mean)
    assert_array_equal(read_card.statistics.std, store.statistics.std)


def test_damaged_weights_are_refused_in_words(tmp_path, store):
    card = ModelCard.describe("sparta", CONFIG, VIEWS, store)
    save_model(str(tmp_path), card, card.build().state_dict())
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"weights of the model at .* are damaged"):
        load_model(str(tmp_path))


def test_weights_trained_in_float64_are_left_in_float32(tmp_path, store):
    card = ModelCard.describe("sparta", CONFIG, VIEWS, store)
    model = card.build().double()
    save_model(str(tmp_path), card, model.state_dict())
    read = load_model(str(tmp_path))[1].state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(read[name], value.float() if value.is_floating_point() else value)


def test_a_model_counts_only_when_its_card_is_there(tmp_path, store):
    card = ModelCard.describe("sparta", CONFIG, VIEWS, store)
    save_model(str(tmp_path), card, card.build().state_dict())
    text = (tmp_path / "model.json").read_text()
    assert np.isfinite(json.loads(text)["statistics"]["mean"]).all()
    (tmp_path / "model.json").unlink()
    with pytest.raises(ConfigError, match=r"no finished model at .*; run jobs/train_sparta\.py"):
        load_model(str(tmp_path))


def test_another_precision_is_refused(tmp_path):
    saved = capture(state_of(0, steps=0), 0, "abc", "bfloat16")
    saved.check_precision("bfloat16")
    with pytest.raises(ConfigError, match=r"was trained in bfloat16, and .* comes to float32"):
        saved.check_precision("float32")
    replace(saved, precision="").check_precision("float32")  # of an earlier version
