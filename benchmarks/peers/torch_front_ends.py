"""The front ends as a user of PyTorch writes them, on torch.stft."""

import librosa
import torch
from torch import nn

WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}


class TorchLogMel(nn.Module):
    """What one of our `LogMelSpectrogram` layers computes, by the formula of torchaudio.

    torch.stft, its magnitude to a power, a product with the whole matrix of mel filters. Periodic
    windows, and `top_db` over all channels of a clip, are how torchaudio has them too.

    Args:
        layer: Ours, whose settings are taken.

    Input shape:
        `(batch, samples, channels)`, as our layer takes them.

    Output shape:
        `(batch, channels, num_mels, frames)`, what torch's convolutions take; ours are
        `(batch, num_mels, frames, channels)`.
    """

    def __init__(self, layer) -> None:
        super().__init__()
        self.stft = {
            "n_fft": layer.n_fft,
            "hop_length": layer.hop_length,
            "win_length": layer.win_length,
            "center": layer.center,
            "pad_mode": layer.pad_mode,
        }
        self.power, self.scale = layer.power, layer.scale
        self.offset, self.floor, self.top_db = layer.offset, layer.floor, layer.top_db
        self.fft_dtype = getattr(torch, layer.fft_dtype)
        window = WINDOWS[layer.window](layer.win_length, dtype=self.fft_dtype)
        filters = librosa.filters.mel(
            sr=layer.sample_rate,
            n_fft=layer.n_fft,
            n_mels=layer.num_mels,
            fmin=layer.fmin,
            fmax=layer.fmax,
            htk=layer.htk,
            norm=layer.norm,
        )
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Compute the output; see the class for shapes."""
        batch, samples, channels = waveforms.shape
        x = waveforms.transpose(1, 2).reshape(batch * channels, samples).to(self.fft_dtype)
        spectrum = torch.stft(x, window=self.window, return_complex=True, **self.stft)
        mel = self.filters @ spectrum.abs().pow(self.power).float()
        return self._scaled(mel.unflatten(0, (batch, channels)))

    def _scaled(self, mel: torch.Tensor) -> torch.Tensor:
        if self.scale == "power":
            return mel
        mel = (mel + self.offset).clamp(min=self.floor)
        if self.scale == "log":
            return mel.log()
        decibels = 10.0 * mel.log10()
        if self.top_db is None:
            return decibels
        loudest = decibels.amax(dim=(1, 2, 3), keepdim=True)
        return torch.maximum(decibels, loudest - self.top_db)


class TorchDeltas(nn.Module):
    """What our `Deltas` computes: log-mels, slopes over five frames and theirs, as channels.

    Input shape:
        `(batch, channels, mels, frames)`

    Output shape:
        `(batch, 3 * channels, mels, frames - 8)`
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output; see the class for shapes."""
        delta = self._delta(x)
        return torch.cat([x[..., 4:-4], delta[..., 2:-2], self._delta(delta)], dim=1)

    @staticmethod
    def _delta(x: torch.Tensor) -> torch.Tensor:
        return (x[..., 3:-1] - x[..., 1:-3] + 2.0 * (x[..., 4:] - x[..., :-4])) / 10.0


class PadSeconds(nn.Module):
    """Zeros to as many samples as one of our `PadSeconds` layers pads clips to.

    Args:
        layer: Ours.
    """

    def __init__(self, layer) -> None:
        super().__init__()
        self.padded_samples = layer.padded_samples

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Pad `(batch, samples, channels)`."""
        samples = waveforms.shape[1]
        missing = self.padded_samples(samples) - samples
        return nn.functional.pad(waveforms, (0, 0, 0, missing)) if missing else waveforms
