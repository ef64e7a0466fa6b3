"""Train a neural vocoder of this room: ``python -m auricle.data.spoof.neural_training FAMILY``.

It hears the corpus of ``auricle data build``, of whose voices only those are taken that no part of the embedded corpus
has (packages `PACKAGES`): a detector of the embedded corpus never meets a vocoder that knows the voices of its test.
About twelve minutes of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.resample import resample
from auricle.audio.spectral import LogMel, stft
from auricle.core.errors import DataError
from auricle.core.files import atomic_path
from auricle.core.seed import derive, rng
from auricle.data import rec
from auricle.data.spoof import neural_istft, neural_upsampling
from auricle.data.spoof.neural import FLOOR, LEVEL, RATE_HZ, Vocoder, weights_file
from auricle.data.spoof.result import rms_of

# of the corpus `rec`; the embedded corpus holds nothing of them
PACKAGES = ("tuxpaint-stamps-default", "fillets-ng-data-cs", "klettres-data")
VOCODERS: dict[str, Callable[[], Vocoder]] = {
    neural_upsampling.NAME: neural_upsampling.Upsampler,
    neural_istft.NAME: neural_istft.SpectralVocoder,
}
CLIPS = 1500  # drawn from the corpus, at most half of them of one package
SEGMENT, BATCH = 8000, 8  # half a second
RATE = 8e-4
RESOLUTIONS = ((1024, 256), (512, 128), (256, 64))
ADVERSARY_FROM = 0.3  # of the time: until then the spectra alone teach


class Adversary(nn.Module):
    """Looks at magnitude spectra of several resolutions and says which are real; a mean of local opinions."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()

        def tower() -> nn.ModuleList:
            sizes = [(1, width, (1, 2)), (width, width, (1, 2)), (width, 2 * width, (2, 2)), (2 * width, 1, (1, 1))]
            return nn.ModuleList([nn.Conv2d(a, b, (3, 5), stride=step, padding=(1, 2)) for a, b, step in sizes])

        self.towers: list[nn.ModuleList] = [tower() for _ in RESOLUTIONS]
        self.all = nn.ModuleList(self.towers)

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """Give the layers of each tower, the opinion last, for (B, T)."""
        found = []
        for (size, hop), tower in zip(RESOLUTIONS, self.towers, strict=True):
            x = (stft(wave, size, hop).abs() + 1e-4).log()[:, None]
            layers = []
            for number, layer in enumerate(tower):
                x = layer(x if number == 0 else F.leaky_relu(x, 0.2))
                layers.append(x)
            found.append(layers)
        return found


def spectral_loss(made: Tensor, real: Tensor, mels: nn.ModuleList) -> Tensor:
    """Compare log-mel spectra and magnitudes at several resolutions."""
    loss = torch.zeros(())
    for (size, hop), mel in zip(RESOLUTIONS, mels, strict=True):
        a, b = (stft(wave, size, hop).abs() for wave in (made, real))
        loss = loss + (a - b).norm() / b.norm().clamp_min(1e-6) + ((a + 1e-3).log() - (b + 1e-3).log()).abs().mean()
        loss = loss + (mel(made) - mel(real)).abs().mean()
    return loss


def waves(seed: int) -> list[NDArray[np.float32]]:
    """Read the clips to train on, at one level.

    Raises:
        DataError: the corpus is not there, or nothing of it fits.
    """
    found = [clip for clip in rec.clips(kind="speech") if clip.package in PACKAGES and clip.duration_s >= 1]
    order = [found[int(index)] for index in rng(seed, "vocoder clips").permutation(len(found))]
    taken: list[rec.Clip] = []
    for clip in order:
        if len(taken) < CLIPS and sum(other.package == clip.package for other in taken) < CLIPS // 2:
            taken.append(clip)
    read = []
    for clip in taken:
        audio = clip.read()
        wave = resample(audio.mono(), audio.rate_hz, RATE_HZ).astype(np.float32, copy=False)
        if (level := rms_of(wave)) > 1e-3:
            read.append(wave * np.float32(LEVEL / level))
    if not read:
        raise DataError(f"the corpus rec has no speech of {', '.join(PACKAGES)}; build it: auricle data build")
    return read


def batch(clips: list[NDArray[np.float32]], draws: np.random.Generator) -> Tensor:
    """Draw segments (B, SEGMENT) with some sound in them; a short clip is followed by zeros."""
    rows = np.zeros((BATCH, SEGMENT), np.float32)
    for row in rows:
        while np.abs(row).max() < 0.02:
            wave = clips[int(draws.integers(len(clips)))]
            start = int(draws.integers(max(1, len(wave) - SEGMENT + 1)))
            piece = wave[start : start + SEGMENT]
            row[: len(piece)] = piece
    # narrow-band clips and quiet ones come to a vocoder too
    return torch.from_numpy(rows * draws.uniform(0.5, 1.5, (BATCH, 1)).astype(np.float32))


def train(name: str, seconds: float, seed: int) -> Vocoder:
    """Train one vocoder for a time.

    Args:
        name: of its family.
        seconds: of this process on the processor.
        seed: of weights and draws.
    """
    clips, draws = waves(seed), rng(seed, "vocoder batches")
    torch.manual_seed(derive(seed, name) % 2**31)
    model, adversary = VOCODERS[name](), Adversary()
    mels = nn.ModuleList(
        [LogMel(RATE_HZ, 80 * size // 1024, size, hop, size, floor=FLOOR) for size, hop in RESOLUTIONS]
    )
    makes = torch.optim.AdamW(model.parameters(), RATE, betas=(0.8, 0.99))
    judges = torch.optim.AdamW(adversary.parameters(), RATE / 2, betas=(0.8, 0.99))
    began, step = time.process_time(), 0
    while (share := (time.process_time() - began) / seconds) < 1:
        for optimiser in (makes, judges):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1 - 0.9 * share) * (1.0 if optimiser is makes else 0.5)
        real = batch(clips, draws)
        made = model(real)
        loss = spectral = spectral_loss(made, real, mels)
        if share > ADVERSARY_FROM:
            wrong = [F.relu(1 + layers[-1]).mean() for layers in adversary(made.detach())]
            wrong += [F.relu(1 - layers[-1]).mean() for layers in adversary(real)]
            judges.zero_grad()
            torch.autograd.backward(torch.stack(wrong).sum())
            judges.step()
            with torch.no_grad():
                wanted = adversary(real)
            for got, want in zip(adversary(made), wanted, strict=True):
                loss = loss - 0.3 * got[-1].mean()
                for one, other in zip(got[:-1], want[:-1], strict=True):
                    loss = loss + 0.3 * (one - other).abs().mean()
        makes.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        makes.step()
        step += 1
        if step % 100 == 0:
            print(
                f"{name}: step {step}, {100 * share:.0f} % of the time, spectral loss {spectral.item():.3f}", flush=True
            )
    return model.eval()


def main() -> None:
    """Train the family that the command names and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=sorted(VOCODERS))
    parser.add_argument("--minutes", type=float, default=12.0, help="of processor time (default 12)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file to write; the weights in the package by default")
    given = parser.parse_args()
    model = train(given.family, 60 * given.minutes, given.seed)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    with atomic_path(given.out or weights_file(given.family)) as temporary:
        save_file(state, temporary)


if __name__ == "__main__":
    main()
