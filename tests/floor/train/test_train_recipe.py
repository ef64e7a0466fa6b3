import inspect
import subprocess
import sys

import pytest
import torch

from auricle.core.errors import ConfigError
from auricle.train import fit
from auricle.train.recipe import Recipe


def test_a_recipe_has_every_setting_of_the_loop_that_is_a_users():
    arguments = inspect.signature(fit).parameters
    mechanics = {"model", "step", "epoch_batches", "folder", "seed", "evaluate", "monitor", "mode", "meta", "progress"}
    assert set(Recipe().loop()) == set(arguments) - mechanics - {"unused_weights"}
    for name, value in Recipe().loop().items():
        default = arguments[name].default
        assert default is inspect.Parameter.empty or value == default, name


def test_controls_train_for_other_steps():
    short = Recipe(max_steps=500, eval_every=100).loop(60)
    assert (short["max_steps"], short["eval_every"]) == (60, 60)
    assert Recipe(max_steps=500, eval_every=100).loop()["eval_every"] == 100


@pytest.mark.parametrize(
    "changes", [{"accumulate": 2}, {"mixed_precision": "bf16"}, {"clip_norm": None}, {"patience": 1}]
)
def test_a_recipe_trains_with_each_ability(tmp_path, changes):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def batches(epoch):
        yield from torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(epoch))

    def step(model, batch):
        return {"loss": (model(batch) - batch.sum(1, keepdim=True)).square().mean()}

    def evaluate(model, step):
        return {"dev_loss": float(step)}  # never better: patience 1 stops at the second evaluation

    recipe = Recipe(max_steps=6, eval_every=2, save_every=3, lr=1e-2, **changes)
    result = fit(model, step, batches, folder=tmp_path, seed=0, evaluate=evaluate, progress=False, **recipe.loop())
    assert result.step == (4 if recipe.patience else 6)


def test_a_wrong_setting_is_named():
    from auricle.core.config import override

    with pytest.raises(ConfigError, match="accumulate"):
        override(Recipe(), ["accumulate=0"])


def test_a_recipe_can_be_read_without_torch():
    code = "import sys; from auricle.train.recipe import Recipe; Recipe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
