"""An epoch of the look-back-30 forecaster: every day encoded once, against once for every window.

The published epoch has 2,806 + 935 days and 2,776 + 905 windows of 30 days and a target. Its parts
are timed, in their proportion, for one batch of 64 windows.

Legend: T days, B windows, L past days and the target, D embedding.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Adam

from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.plain import plain_view
from benchmarks.sample import Sample, sample
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.downstream.forecast.lstm import LSTMForecastConfig, LSTMForecaster
from sparta_ray.downstream.forecast.windows import window_starts
from sparta_ray.embedder import Embedder
from sparta_ray.models.sparta import Model, ModelConfig
from sparta_ray.training.model_card import ModelCard

DAYS = (2806, 935)
"""Of the downstream tasks' training and validation."""

RATIO = 0.7


def measure(setting: Setting) -> Iterator[Row]:
    """Compare encoder passes, then the time of a batch with its share of them."""
    config = LSTMForecastConfig()
    length = config.look_back + config.target_days
    windows = sum(len(window_starts(days, config.look_back, 1, 1)) for days in DAYS)
    passes = windows * length / sum(DAYS)
    yield Row("encoder passes of a forecast epoch, look-back 30", "", sum(DAYS), windows * length,
              passes)  # fmt: skip

    s = sample(setting)
    sizes = ModelConfig(width=0.05, embedding=20) if setting.quick else ModelConfig()
    card = ModelCard.describe("sparta", sizes, s.views, s.store)
    model = card.build().eval()
    embedder, batch = Embedder(card, model), 4 if setting.quick else config.batch_size
    days = round(batch * sum(DAYS) / windows)
    train = _training(sizes.embedding, config)
    windows_BL = torch.arange(batch)[:, None] + torch.arange(length)

    def ours() -> None:
        steps = np.arange(days)
        mask = MaskConfig(ratio=(RATIO, RATIO))
        h_TD = embedder.encode_masked(s.fields[:days].numpy(), mask, 0, steps)
        train(h_TD[windows_BL % days])

    def plain() -> None:
        train(torch.stack([_encode_window(s, model, days_L) for days_L in windows_BL]))

    pair = side_by_side(ours, plain, setting.few)
    yield Row(
        f"{batch} of its windows, encoded and trained on", "s", pair.ours, pair.plain, pair.ratio,
        "≥ 25", pair.ratio >= 25,
    )  # fmt: skip
    h_BLD = torch.randn(batch, length, sizes.embedding)
    alone = side_by_side(lambda: train(h_BLD), ours, setting.few)
    yield Row("of which the forecaster itself", "%", 100 / alone.ratio)


@torch.inference_mode()
def _encode_window(s: Sample, model: Model, days_L: Tensor) -> Tensor:
    """Return embeddings of a window's days, each masked for it alone, (L, D)."""
    views = [plain_view(s.fields[day], s.views, None, RATIO) for day in days_L]
    h_LD: Tensor = model.encoder(torch.stack(views))
    return h_LD


def _training(embedding: int, config: LSTMForecastConfig) -> Callable[[Tensor], None]:
    """Return the function that trains a forecaster on a batch of windows, (B, L, D)."""
    model = LSTMForecaster(embedding, config)
    optimiser = Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)

    def train(h_BLD: Tensor) -> None:
        h_BLD = h_BLD.clone()  # out of inference mode
        past_BLD, target_B1D = h_BLD[:, : config.look_back], h_BLD[:, config.look_back :]
        optimiser.zero_grad()
        mse_loss(model(past_BLD, target_B1D), target_B1D).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return train
