import pytest

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.run.settings import Run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=1e6", "model.width: .* less than or equal to 64 .got 1000000"),
        ("model.width=.inf", "model.width: must be a finite number"),
        ("model.embedding=1000000000", "model.embedding: .* equal to 65536"),
        ("sampling.rows_per_batch=1000000000", "sampling.rows_per_batch: .* equal to 65536"),
        ("training.stages.0.lr=.inf", "training.stages.0.lr: must be a finite number"),
        ("training.stages.0.epochs=1000000000000000000000", "epochs: .* at most 64 bits"),
        ("training.stages.0.epochs=10000000000", "epochs: .* equal to 1000000"),
        ("downstream.diffusion.epochs=10000000000", "epochs: .* equal to 1000000"),
        ("seed=99999999999999999999999999", "seed: must be a number of at most 64 bits"),
        ("downstream.seeds=[1, 99999999999999999999]", "downstream.seeds.1: .* at most 64 bits"),
        ("scaling.object_store_gb=.inf", "object_store_gb: must be a finite number"),
        ("scaling.object_store_gb=1e12", "object_store_gb: .* equal to 65536"),
        ("data.memory_mb=.nan", "data.memory_mb: must be a finite number"),
        ("mask.ratio=[.nan, .nan]", "mask.ratio.0: must be a finite number"),
        (f"name={'a' * 101}", "name: use at most 100 characters"),
        ("evaluation.report_leads=[]", "report_leads: .* at least 1 item"),
        ("evaluation.report_leads=[0]", "report_leads.0: .* greater than or equal to 1"),
    ],
)
def test_a_setting_that_no_run_means_is_one_short_error(override, message):
    overrides = ["training.stages=[{kind: pretrain}]", override]
    with pytest.raises(ConfigError, match=message) as error:
        load(Run, None, overrides)
    assert len(str(error.value)) < 300
