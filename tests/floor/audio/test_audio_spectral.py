import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from auricle.audio.spectral import (
    LFCC,
    LogMel,
    MelSpectrogram,
    Spectrum,
    dct_matrix,
    delta,
    frame_count,
    griffin_lim,
    hz_to_mel,
    istft,
    linear_filterbank,
    mel_filterbank,
    mel_to_hz,
    stft,
)
from auricle.core.errors import AudioError
from tests.hostile import speechlike

SIZES = [(512, 160, 400), (512, 128, None), (400, 100, 400), (255, 64, 200)]


def batch(*durations_s):
    waves = [torch.from_numpy(speechlike(d, seed=k)) for k, d in enumerate(durations_s)]
    return waves, torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), torch.tensor([len(w) for w in waves])


def close(ours, theirs, tol=1e-5):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tol * max(1.0, np.abs(theirs).max())


@pytest.mark.parametrize(("n_fft", "hop", "win"), SIZES)
@pytest.mark.parametrize("center", [True, False])
def test_stft_equals_librosa(n_fft, hop, win, center):
    wave = speechlike(0.7)
    ours = stft(torch.from_numpy(wave)[None], n_fft, hop, win, center=center)[0].numpy().T
    close(ours, librosa.stft(wave, n_fft=n_fft, hop_length=hop, win_length=win, center=center))
    assert ours.shape[1] == frame_count(len(wave), n_fft, hop, center)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(
    ("rate_hz", "n_fft", "n_mels", "low_hz", "high_hz"),
    [(16_000, 512, 80, 0.0, None), (22_050, 1024, 40, 20.0, 7600.0), (44_100, 2048, 128, 0.0, None)],
)
def test_mel_filters_equal_librosa(scale, norm, rate_hz, n_fft, n_mels, low_hz, high_hz):
    ours = mel_filterbank(n_mels, n_fft, rate_hz, low_hz, high_hz, scale, norm)
    theirs = librosa.filters.mel(
        sr=rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=low_hz, fmax=high_hz, htk=scale == "htk", norm=norm
    )
    assert np.abs(ours.numpy() - theirs).max() <= 1e-5 * theirs.max()


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_scale(scale):
    hz = np.array([0.0, 200 / 3, 999.0, 1000.0, 4000.0, 16_000.0])
    np.testing.assert_allclose(hz_to_mel(hz, scale), librosa.hz_to_mel(hz, htk=scale == "htk"), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_spectrogram_and_log_mel_equal_librosa(power, scale):
    wave = speechlike(0.7)
    options = {"n_mels": 64, "n_fft": 512, "power": power}
    theirs = librosa.feature.melspectrogram(
        y=wave, sr=16_000, hop_length=160, win_length=400, htk=scale == "htk", **options
    ).T
    tensor = torch.from_numpy(wave)[None]
    close(MelSpectrogram(16_000, hop=160, win=400, scale=scale, **options)(tensor)[0], theirs)
    close(LogMel(16_000, hop=160, win=400, scale=scale, **options)(tensor)[0], np.log(np.maximum(theirs, 1e-10)))


def test_log_mel_in_decibels_equals_librosa():
    wave = speechlike(0.5)
    theirs = librosa.power_to_db(
        librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=512, hop_length=160, win_length=400, n_mels=80),
        amin=1e-10,
        top_db=None,
    ).T
    ours = LogMel()(torch.from_numpy(wave)[None])[0] * (10 / np.log(10))
    close(ours, theirs)


def test_dct_equals_scipy():
    x = np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32)
    ours = torch.from_numpy(x) @ dct_matrix(13, 20)
    close(ours, scipy.fft.dct(x, type=2, norm="ortho")[:, :13])


def test_linear_filters_are_triangles_between_neighbours():
    # 4 filters over 0-8000 Hz: centres at 1600 k; bins of 400 Hz
    bank = linear_filterbank(4, 40, 16_000).numpy()
    assert bank.shape == (4, 21)
    np.testing.assert_allclose(bank[0, :9], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    np.testing.assert_allclose(bank[:, 4:17].sum(axis=0), 1.0, atol=1e-6)
    assert linear_filterbank(4, 40, 16_000, 1000, 4000).numpy()[:, [0, 1, 2, 11, 20]].max() == 0


def reference_lfcc(wave, deltas):
    emphasised = scipy.signal.lfilter([1, -0.97], [1], np.concatenate([wave, np.zeros(1)]))
    padded = np.pad(emphasised, (256, 256))
    window = np.zeros(512)
    window[96:416] = scipy.signal.get_window("hamming", 320)
    starts = range(0, len(wave) // 160 * 160 + 1, 160)
    power = np.abs(np.fft.rfft([padded[s : s + 512] * window for s in starts])) ** 2
    logs = np.log(np.maximum(power @ linear_filterbank(20, 512, 16_000).numpy().T.astype(float), 1e-10))
    parts = [scipy.fft.dct(logs, type=2, norm="ortho")]
    for _ in range(deltas):
        parts.append(librosa.feature.delta(parts[-1], width=5, axis=0, mode="nearest"))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("deltas", [0, 1, 2])
def test_lfcc_equals_a_computation_with_scipy(deltas):
    wave = speechlike(0.6)
    ours = LFCC(deltas=deltas)(torch.from_numpy(wave)[None])[0]
    assert ours.shape == (61, 20 * (1 + deltas))
    close(ours, reference_lfcc(wave.astype(np.float64), deltas))


def test_delta_by_hand():
    ramp = torch.arange(6.0)[None, :, None] ** 1
    # reach 1: (x[t+1] - x[t-1]) / 2 with repeated ends
    assert delta(ramp, 1)[0, :, 0].tolist() == [0.5, 1, 1, 1, 1, 0.5]
    # reach 2 at t=0: (1 (1-0) + 2 (2-0)) / 10
    assert delta(ramp, 2)[0, :3, 0].tolist() == pytest.approx([0.5, 0.8, 1.0])
    assert delta(ramp, 1, torch.tensor([3]))[0, :3, 0].tolist() == [0.5, 1, 0.5]


MODULES = [
    lambda center: Spectrum(512, 160, 400, center=center),
    lambda center: Spectrum(512, 160, power=1.0, center=center),
    lambda center: MelSpectrogram(center=center),
    lambda center: LogMel(center=center),
    lambda center: LFCC(center=center),
    lambda center: LFCC(deltas=0, pre_emphasis=0.0, center=center),
]


@pytest.mark.parametrize("make", MODULES)
@pytest.mark.parametrize("center", [True, False])
def test_padding_and_batch_mates_change_nothing(make, center):
    module = make(center)
    waves, padded, lengths = batch(0.5, 1.0, 0.31234, 0.77)
    padded = torch.nn.functional.pad(padded, (0, 777))
    dirty = padded + (torch.arange(padded.shape[1]) >= lengths[:, None]) * 0.7
    together, cleaned = module(padded, lengths), module(dirty, lengths)
    torch.testing.assert_close(cleaned, together, rtol=0, atol=0)
    for k, wave in enumerate(waves):
        alone = module(wave[None])[0]
        count = module.frames(len(wave))
        assert alone.shape[0] == count == int(module.frames(lengths)[k])
        close(together[k, :count], alone)
        assert not together[k, count:].any()
        if "LFCC" not in type(module).__name__ or module.deltas == 0:
            # without a look ahead, zeros to the right are enough
            close(module(padded)[k, :count], alone)


def test_shapes_and_gradients():
    module = LFCC()
    wave = torch.zeros(2, 1, 8000)
    wave[0] = torch.from_numpy(speechlike(0.5))
    wave.requires_grad_()
    out = module(wave)
    assert out.shape == (2, 51, 60)
    torch.testing.assert_close(out, module(wave[:, 0]))
    (out.sum() + Spectrum(512, 160, power=1.0)(wave).sum()).backward()
    assert torch.isfinite(wave.grad).all()
    assert module.state_dict() == {}
    assert MelSpectrogram().double()(torch.zeros(1, 800, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(("n_fft", "hop", "win"), SIZES)
def test_istft_inverts_and_equals_torch(n_fft, hop, win):
    wave = torch.from_numpy(speechlike(0.5))[None]
    spectrum = stft(wave, n_fft, hop, win)
    back = istft(spectrum, n_fft, hop, win, length=8000)
    reach = 8000 // hop * hop
    close(back[:, :reach], wave[:, :reach])
    half = spectrum * torch.linspace(0, 1, spectrum.shape[2])
    window = torch.nn.functional.pad(torch.hann_window(win or n_fft), ((n_fft - (win or n_fft)) // 2, 0))
    window = torch.nn.functional.pad(window, (0, n_fft - len(window)))
    theirs = torch.istft(half.transpose(1, 2), n_fft, hop, n_fft, window, length=reach)
    close(istft(half, n_fft, hop, win, length=reach), theirs)
    # librosa compiles its loop for seconds: one size is enough
    if n_fft == 400:
        theirs = librosa.istft(half[0].T.numpy(), hop_length=hop, win_length=win, n_fft=n_fft, length=reach)
        close(istft(half, n_fft, hop, win, length=reach)[0], theirs)


def test_istft_without_centring():
    wave = torch.from_numpy(speechlike(0.5))[None, : 512 + 46 * 160]
    back = istft(stft(wave, 512, 160, center=False), 512, 160, center=False)
    close(back[:, 2:-2], wave[:, 2:-2], 1e-4)


def test_griffin_lim_finds_a_wave_with_these_magnitudes():
    waves, _, _ = batch(0.25, 0.25)
    magnitude = stft(torch.stack(waves), 512, 128).abs()

    def misfit(found):
        return float((stft(found, 512, 128).abs() - magnitude).norm() / magnitude.norm())

    found = griffin_lim(magnitude, 512, 128, seed=3, length=4000)
    assert found.shape == (2, 4000)
    one = misfit(griffin_lim(magnitude, 512, 128, iterations=1, seed=3, length=4000))
    assert misfit(found) < 0.5 * one
    assert misfit(griffin_lim(magnitude, 512, 128, momentum=0.0, seed=3, length=4000)) < 0.7 * one
    torch.testing.assert_close(griffin_lim(magnitude, 512, 128, seed=3, length=4000), found, rtol=0, atol=0)
    assert not torch.equal(griffin_lim(magnitude, 512, 128, seed=4, length=4000), found)
    close(griffin_lim(magnitude[1:], 512, 128, iterations=4), griffin_lim(magnitude, 512, 128, iterations=4)[1:], 1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stft(torch.zeros(100), 64, 16),
        lambda: stft(torch.zeros(1, 2, 100), 64, 16),
        lambda: stft(torch.zeros(1, 100), 64, 0),
        lambda: stft(torch.zeros(1, 100), 64, 16, win=65),
        lambda: stft(torch.zeros(1, 100), 64, 16, window="round"),
        lambda: stft(torch.zeros(1, 63), 64, 16, center=False),
        lambda: mel_filterbank(40, 512, 16_000, 0, 9000),
        lambda: mel_filterbank(40, 512, 16_000, scale="bark"),
        lambda: mel_filterbank(40, 512, 16_000, norm="l2"),
        lambda: linear_filterbank(0, 512, 16_000),
        lambda: LFCC(n_coefficients=21),
        lambda: LFCC(deltas=3),
        lambda: griffin_lim(torch.ones(1, 5, 257), 512, 128, iterations=0),
        lambda: griffin_lim(torch.ones(1, 5, 257), 512, 128, momentum=1.0),
    ],
)
def test_wrong_use_says_so(call):
    with pytest.raises(AudioError):
        call()
