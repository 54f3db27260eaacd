"""One downstream training: a task, in one setting, on one model's embeddings, with one seed."""

import json
from dataclasses import asdict, dataclass

from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.records import decoding
from sparta_ray.training.stages import ModelKind


@dataclass(frozen=True)
class Trial:
    """What one trial trains.

    Attributes:
        model: Whose embeddings.
        task: Name of the task that is learnt from them.
        setting: Name of the form of the task; empty where the task has one form only.
        seed: Of its weights, batches and masks.
    """

    model: ModelKind
    task: str
    setting: str
    seed: int

    @property
    def name(self) -> str:
        """A readable name, unique in a run."""
        return "-".join(filter(None, [self.model, self.task, self.setting, f"seed{self.seed}"]))

    @property
    def folder(self) -> str:
        """Where its model lies in the run folder."""
        return f"downstream/{self.name}"

    @property
    def weights_file(self) -> str:
        """The file of its weights in the run folder."""
        return f"{self.folder}/weights.safetensors"


def save_trial(folder: RunFolder, trial: Trial, model: nn.Module) -> None:
    """Write a finished trial; its record comes last and makes it count."""
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    folder.write(trial.weights_file, save_safetensors(weights))
    folder.write(f"{trial.folder}/trial.json", json.dumps(asdict(trial), indent=1))


def is_finished(folder: RunFolder, trial: Trial) -> bool:
    """Return whether a trial's finished model lies in the run folder."""
    return folder.exists(f"{trial.folder}/trial.json")


_REMEDY = "delete the trial's folder and run jobs/train_downstream.py again, which trains it anew"


def read_trial(folder: RunFolder, place: str) -> Trial:
    """Return which trial a finished model in a run folder is of.

    Raises:
        ConfigError: Its record is missing or damaged.
    """
    return folder.read_record(f"{place}/trial.json", Trial, _REMEDY)


def load_weights(folder: RunFolder, trial: Trial, model: nn.Module) -> nn.Module:
    """Read a finished trial's weights into its model; return that in eval mode.

    Raises:
        ConfigError: They are missing or damaged, or of a model of another size.
    """
    content = folder.read_bytes(trial.weights_file)
    with decoding(folder.child(trial.weights_file), _REMEDY):
        model.load_state_dict(load_safetensors(content))
    return model.eval()
