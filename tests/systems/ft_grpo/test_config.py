"""Presets, the published sizes, and what a config refuses."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from auricle.core.config import override, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.systems.ft_grpo.config import FtGrpoConfig, ModelConfig, TrainConfig, laptop, paper, smoke
from auricle.systems.ft_grpo.model import QUESTION, bare, build, task_tokenizer
from auricle.systems.ft_grpo.rationale import LABEL_PROMPT, SYSTEM_PROMPT, TAGS, Evidence, write


def test_the_laptop_model_is_about_a_million_parameters() -> None:
    assert 0.5e6 < sum(one.numel() for one in build(laptop()).parameters()) < 1.5e6


def test_paper_holds_the_released_recipe() -> None:
    cfg = paper()
    assert (cfg.model.lora_rank, cfg.model.lora_alpha) == (64, 16.0)
    grpo = cfg.train.grpo
    assert grpo is not None
    assert (grpo.samples, grpo.clip, grpo.beta) == (8, 0.2, 0.04)
    assert (grpo.temperature, grpo.top_p, grpo.top_k) == (0.9, 0.9, 50)
    assert grpo.weights == {"accuracy": 1.0, "format": 0.1, "structure": 0.1, "ground": 0.0}
    assert grpo.prompts * grpo.samples * grpo.accumulate == 256  # completions an update
    assert cfg.train.sft.batch * cfg.train.sft.accumulate == 128
    assert cfg.train.sft.lr == grpo.lr == 1e-5
    assert cfg.train.sft.mixed_precision == grpo.mixed_precision == "bf16"
    assert (cfg.train.sft.warmup_fraction, grpo.warmup_fraction) == (0.01, 0.05)


def test_a_config_with_the_former_names_is_read() -> None:
    values = smoke().model_dump(mode="json")
    values["model"]["seekers"] = values["model"].pop("position_heads")
    for stage in values["train"].values():
        if isinstance(stage, dict):
            stage |= {"steps": stage.pop("max_steps"), "warmup": stage.pop("warmup_fraction")}
            for later in ("betas", "clip_norm", "accumulate", "mixed_precision", "patience"):
                del stage[later]
    assert parse(FtGrpoConfig, values) == smoke()


def test_paper_trains_lora_on_every_linear_layer_of_the_three_billion() -> None:
    with torch.device("meta"):
        model = bare(paper())
    sizes = {name: one.numel() for name, one in model.named_parameters()}
    learned = {name for name, one in model.named_parameters() if one.requires_grad}
    assert 3.3e9 < sum(size for name, size in sizes.items() if name not in learned) < 4.5e9
    assert all("lora_" in name for name in learned)
    for part in ("audio_tower.layers.31.self_attn.q_proj", "layers.35.mlp.down_proj", "audio_tower.proj"):
        assert any(part in name for name in learned), part
    assert not any("lm_head" in name for name in learned)


def test_a_prompt_is_one_token_and_every_rationale_is_short() -> None:
    tokenizer = task_tokenizer()
    for text in (SYSTEM_PROMPT, LABEL_PROMPT, QUESTION, *TAGS):
        assert len(tokenizer(text, add_special_tokens=False).input_ids) == 1
    text = write(Evidence("fake", "cutoff", 4, "silence", 7))
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) <= 19
    assert tokenizer.decode(ids) == text


def test_a_policy_never_samples_a_prompt() -> None:
    network = build(smoke())
    vocabulary = network.lm.tokenizer.get_vocab()
    assert {vocabulary[SYSTEM_PROMPT], vocabulary[LABEL_PROMPT], vocabulary[QUESTION]} <= set(network.lm.banned)


def test_refusals(tmp_path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        override(laptop(), ["model.backbone=a", "model.decoder=b"])
    with pytest.raises(ConfigError, match="did you mean"):
        override(laptop(), ["train.grpo.max_stepz=3"])
    with pytest.raises(CheckpointError, match="no model"):
        build(FtGrpoConfig(model=ModelConfig(backbone=str(tmp_path)), train=TrainConfig(head_weight=0.0)))
    with pytest.raises(ConfigError, match="no auxiliary heads"):
        override(laptop(), [f"model.backbone={tmp_path}"])
    assert FtGrpoConfig.model_validate_json(paper().model_dump_json()) == paper()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("model.lora_alpha=8",), "lora_alpha"),
        (("train.head_weight=0.7",), "head_weight"),
        (("train.grpo.kind=sapo", "train.grpo.clip=0.1"), "clip"),
        (("model.decoder=smollm2", "model.layers=5"), "layers"),
        (("model.decoder=smollm2", "model.hidden=64"), "hidden"),
        (("data.source=mine.jsonl", "data.train=100"), "train"),
        (("data.source=mine.jsonl", "data.spoiled=0.12"), "spoiled"),
        (("data.source=mine.jsonl", "data.seed=1", 'data.types=["speech"]'), "types, seed"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(settings, named) -> None:
    with pytest.raises(ConfigError, match=f": {named} would be ignored; leave it out"):
        override(laptop(), settings)


def test_a_public_model_brings_its_own_sizes() -> None:
    assert override(paper(), ["model.backbone=folder"]).model.backbone == "folder"
    with pytest.raises(ConfigError, match=r": merge, summary would be ignored; leave it out"):
        override(paper(), ["model.merge=2", "model.summary=false"])
    with pytest.raises(ConfigError, match="begin with --preset paper"):
        override(laptop(), ["model.backbone=folder"])


@pytest.mark.parametrize("preset", [smoke, laptop, paper])
@pytest.mark.parametrize("setting", ["seed=1", "data.source=mine.jsonl", "train.grpo.kind=sapo", "model.lora_rank=4"])
def test_what_a_preset_says_is_nobodys_wish(preset, setting) -> None:
    override(preset(), [setting, "train.freeze=false"])


@pytest.mark.parametrize("preset", [smoke, laptop])
def test_a_decoder_of_ones_own_goes_with_both_presets(preset) -> None:
    override(preset(), ["model.decoder=smollm2"])


def test_rewards_that_cannot_be_given_are_refused() -> None:
    with pytest.raises(ConfigError, match="every reward has weight 0"):
        override(laptop(), [f"train.grpo.{name}=0" for name in ("accuracy", "format", "structure")])
    with pytest.raises(ConfigError, match=r"train\.grpo\.ground needs clips whose artefacts are known"):
        override(laptop(), ["data.source=mine.jsonl", "train.grpo.ground=0.1"])
