"""Late fusion beyond the model: stages, finished models, embeddings, estimates and refusals."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.batches.expand import Fields, Views
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.embedder import Embedder
from sparta_ray.models.attention_fusion import AttentionFusionConfig
from sparta_ray.models.graph_fusion import GraphFusionConfig
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.run.checks import check_run
from sparta_ray.run.estimate import step_flop
from sparta_ray.run.settings import Run
from sparta_ray.training.checkpoint import capture, load_state, restore, save_state
from sparta_ray.training.model_card import ModelCard, load_model, save_model
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import (
    ContrastiveConfig,
    DecodeStage,
    JointStage,
    PretrainStage,
    build_model,
)
from sparta_ray.training.state import StageState

VARIABLES = ("2m_temperature", "geopotential@850", "specific_humidity@850")
FUSIONS = [
    AttentionFusionConfig(heads=2),
    GraphFusionConfig(edges=(("geopotential@850", "2m_temperature"),)),
]
EVERY_FUSION = pytest.mark.parametrize("fusion", FUSIONS, ids=lambda fusion: fusion.kind)
VIEWS = ViewConfig(resize=(41, 37), crop=(38, 34), filter=3)
GRID = (64, 32)


def config_of(fusion):
    return ModelConfig(width=0.1, embedding=12, projection=6, fusion=fusion)


@EVERY_FUSION
@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        (PretrainStage(), {"encoder", "projector"}),
        (JointStage(), {"encoder", "projector", "decoder"}),
        (DecodeStage(), {"decoder"}),
    ],
    ids=lambda part: getattr(part, "kind", None),
)
def test_every_stage_trains_its_parts(fusion, stage, trained):
    model = build_model("sparta", VARIABLES, GRID, config_of(fusion))
    module = StageModule(stage, model, ContrastiveConfig()).train()
    views = [torch.randn(5, 3, *VIEWS.crop) for _ in range(4)]
    fields = Fields(*(torch.randn(5, 3, *GRID) for _ in range(3)))
    module(Views(*views, fields), epoch=1, rows=5)["loss"].backward()
    for name, part in model.named_children():
        assert all((p.grad is not None) == (name in trained) for p in part.parameters())
    assert model.encoder.encoders[0].stem.training == (stage.kind != "decode")


@EVERY_FUSION
def test_a_finished_model_embeds_as_it_did(tmp_path, make_store, fusion):
    store = Store(make_store(days=30, grid=GRID))
    card = ModelCard.describe("sparta", config_of(fusion), VIEWS, store)
    model = card.build()
    model.encoder(torch.randn(4, 3, *VIEWS.crop))  # moves the stems' running statistics
    save_model(str(tmp_path), card, model.state_dict())
    read_card, read = load_model(str(tmp_path))
    assert read_card.config.fusion == fusion
    x = store.read_standardised(np.arange(4))
    expected = Embedder(card, model).encode_unmasked(x)
    assert_close(Embedder(read_card, read).encode_unmasked(x), expected, rtol=0, atol=0)
    assert (expected.std(dim=0) > 0).all()


FORMER_NAMES = {
    "layers.0.lin.weight": "values.weight",
    "layers.0.att_src": "source",
    "layers.0.att_dst": "target",
    "layers.0.bias": "bias",
}


def as_before(weights):
    """Return the weights of a graph fusion as they were before its layer was torch_geometric's."""
    former = {}
    for name, weight in weights.items():
        end = name.removeprefix("encoder.fusion.")
        shape = weight[0] if "att_" in end else weight
        former[name.replace(end, FORMER_NAMES.get(end, end))] = shape
    return former


def test_a_finished_graph_model_of_before_is_read(tmp_path, make_store):
    store = Store(make_store(days=30, grid=GRID))
    card = ModelCard.describe("sparta", config_of(FUSIONS[1]), VIEWS, store)
    model = card.build().eval()
    former = as_before(model.state_dict())
    assert former["encoder.fusion.source"].shape == (1, 12)
    save_model(str(tmp_path), card, former)
    tree = json.loads((tmp_path / "model.json").read_text())
    del tree["config"]["encoder"]
    tree["config"]["fusion"] = {"kind": "graph", "edges": tree["config"]["fusion"]["edges"]}
    (tmp_path / "model.json").write_text(json.dumps(tree))
    read_card, read = load_model(str(tmp_path))
    assert read_card.config == card.config
    x = torch.randn(2, 3, *VIEWS.crop)
    assert read.encoder(x).equal(model.encoder(x))


def test_training_of_a_graph_model_goes_on_from_a_checkpoint_of_before(tmp_path):
    def start():
        torch.manual_seed(2)
        model = build_model("sparta", VARIABLES, GRID, config_of(FUSIONS[1]))
        module = StageModule(PretrainStage(), model, ContrastiveConfig()).eval()
        return StageState.start(module, 1e-2, PlateauConfig())

    def step(state, seed):
        x = torch.randn(3, 3, *VIEWS.crop, generator=torch.Generator().manual_seed(seed))
        state.optimiser.zero_grad()
        state.module.model.project(x)[1].sin().sum().backward()
        state.optimiser.step()

    unbroken, second = start(), start()
    step(unbroken, 1)
    saved = capture(unbroken, 0, "abc", "float32")
    memory = copy.deepcopy(saved.optimiser)
    squeezed = 0
    for moments in memory["state"].values():
        for name, value in moments.items():
            if value.ndim == 3:
                moments[name], squeezed = value[0], squeezed + 1
    assert squeezed == 4  # two moments of two weights
    folder = RunFolder(str(tmp_path))
    save_state(folder, replace(saved, model=as_before(saved.model), optimiser=memory))
    restore(second, load_state(folder, "abc"))
    step(unbroken, 2)
    step(second, 2)
    for one, two in zip(unbroken.module.parameters(), second.module.parameters(), strict=True):
        assert one.equal(two)


def flop(*overrides):
    small = "model.width=0.25", "views={resize: [80, 40], crop: [72, 36]}"
    run = load(Run, None, [*small, *overrides])
    return step_flop(run, run.training.stages[0], GRID)


def test_late_fusion_costs_an_encoder_for_each_variable():
    early, late = flop(), flop("model.fusion={kind: graph}")
    assert 4 < late / early < 5  # the first layer alone grows with the variables it sees


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ("{kind: attention, heads: 7}", "heads 7 does not divide model.embedding 1000"),
        ("{kind: graph, edges: [[2m_temperature, snow]]}", "'snow' of .* is not among data.var"),
    ],
)
def test_a_fusion_that_does_not_fit_is_refused_before_anything_starts(fusion, message):
    days = np.datetime64("1959-01-01") + np.arange(23_386)
    with pytest.raises(ConfigError, match=message):
        check_run(load(Run, None, [f"model.fusion={fusion}"]), days, GRID)
