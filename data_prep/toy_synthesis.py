"""How the toy sounds are made: ten small synthesisers, one a class.

A synthesiser is called once a recording, draws what the clips of that recording share (the pitch
of a dog, the speed of a drill) and returns a function that renders one clip. Everything that tells
the classes apart lies below 3.5 kHz, so that it is still there at a sample rate of 8 kHz.
"""

from collections.abc import Callable, Sequence

import numpy as np

Render = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


class Recording:
    """A recording that clips are cut from: one voice, one room, one level of background noise.

    Args:
        label: The class, a key of `RECORDINGS`.
        rate: The sample rate in Hz.
        rng: Where every choice is drawn from.
    """

    def __init__(self, label: str, rate: int, rng: np.random.Generator):
        self._rate = rate
        self._rng = rng
        self._render = RECORDINGS[label](rng)
        self._noise = 10 ** (-rng.uniform(15, 35) / 20)
        self._position = rng.uniform(0.15, 0.85)
        self._level = rng.uniform(0.2, 0.8)

    def clip(self, seconds: float, *, stereo: bool) -> np.ndarray:
        """Render one clip: float64 of shape `(samples, channels)`, within [-0.9, 0.9]."""
        rng, rate = self._rng, self._rate
        times = np.arange(round(seconds * rate)) / rate
        sound = self._render(rng, times, rate)
        sound = sound / np.sqrt(np.mean(sound**2))
        if stereo:
            delay = round(3e-4 * (2 * self._position - 1) * rate)
            sides = np.stack([sound, np.roll(sound, delay)], axis=-1)
            sides *= np.sqrt([1 - self._position, self._position])
        else:
            sides = sound[:, None]
        background = [noise(rng, len(times), rate, 20, 3500) for _ in range(sides.shape[1])]
        sides = sides + self._noise * np.stack(background, axis=-1)
        level = self._level * rng.uniform(0.8, 1.1)
        return sides * (level / np.abs(sides).max())


def _air_conditioner(rng: np.random.Generator) -> Render:
    mains = rng.choice([50.0, 60.0])
    cutoff, sway, hum = rng.uniform(500, 1100), rng.uniform(0.3, 1.2), rng.uniform(0.1, 0.5)

    def render(rng, times, rate):
        air = noise(rng, len(times), rate, 60, cutoff)
        air *= 1 + 0.15 * np.sin(2 * np.pi * (sway * times + rng.random()))
        return air + hum * tone(2 * mains * times + rng.random(), [1, 0.5, 0.3])

    return render


def _car_horn(rng: np.random.Generator) -> Render:
    pitch, interval = rng.uniform(330, 520), rng.choice([1.2, 1.25, 1.333])
    partials = 1 / np.arange(1, 7) ** rng.uniform(0.5, 1.0)

    def render(rng, times, rate):
        chord = tone(pitch * times, partials) + tone(pitch * interval * times, partials)
        blasts = np.zeros_like(times)
        start = rng.uniform(0.0, 0.15)
        while start < times[-1]:
            length = rng.uniform(0.25, 0.9)
            blasts += gate(times, start, start + length, 0.01)
            start += length + rng.uniform(0.1, 0.3)
        return chord * blasts

    return render


def _children_playing(rng: np.random.Generator) -> Render:
    pitches = rng.uniform(350, 750, size=4)

    def render(rng, times, rate):
        sound = 0.25 * noise(rng, len(times), rate, 500, 3000)
        for _ in range(max(5, round(7 * times[-1]))):
            start, length = rng.uniform(-0.1, times[-1]), rng.uniform(0.12, 0.4)
            local = (times - start) / length
            bend = rng.uniform(-0.4, 0.5) * local + 0.03 * np.sin(40 * local)
            phase = np.cumsum(rng.choice(pitches) * (1 + np.clip(bend, -0.5, 0.6))) / rate
            voice = tone(phase, rng.uniform(0.2, 1.0, size=5))
            sound += rng.uniform(0.4, 1.0) * voice * gate(times, start, start + length, 0.04)
        return sound

    return render


def _dog_bark(rng: np.random.Generator) -> Render:
    pitch, rough, gap = rng.uniform(280, 560), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.45)

    def render(rng, times, rate):
        sound, start = np.zeros_like(times), rng.uniform(0.02, 0.2)
        while start < times[-1] - 0.1:
            local = np.maximum(times - start, 0)
            envelope = (times >= start) * swell(local, 0.012, rng.uniform(0.05, 0.09))
            fall = pitch * rng.uniform(0.95, 1.05) * (1 + 0.7 * np.exp(-local / 0.05))
            voice = tone(np.cumsum(fall) / rate, [0.6, 1, 0.9, 0.5, 0.3])
            throat = noise(rng, len(times), rate, 400, 2200)
            sound += envelope * (voice + rough * throat)
            start += gap * rng.uniform(0.8, 1.6)
        return sound

    return render


def _drilling(rng: np.random.Generator) -> Render:
    whine, teeth, depth = rng.uniform(1100, 2000), rng.uniform(45, 90), rng.uniform(0.4, 0.8)

    def render(rng, times, rate):
        speed = 1 + 0.04 * np.sin(2 * np.pi * (rng.uniform(0.3, 1.0) * times + rng.random()))
        phase = np.cumsum(speed) / rate
        motor = tone(whine * phase, [1, 0.5]) + 0.6 * tone(teeth * 4 * phase, [1, 0.7, 0.5, 0.4])
        chips = noise(rng, len(times), rate, 1200, 3500)
        return motor + chips * (1 + depth * np.sin(2 * np.pi * teeth * phase))

    return render


def _engine_idling(rng: np.random.Generator) -> Render:
    firing, uneven = rng.uniform(18, 32), rng.uniform(0.1, 0.4)
    partials = rng.uniform(0.4, 1.0, size=10) / np.sqrt(np.arange(1, 11))

    def render(rng, times, rate):
        wander = 1 + 0.03 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * times + rng.random()))
        phase = np.cumsum(firing * wander) / rate
        rumble = tone(phase, partials) * (1 + uneven * np.sin(np.pi * phase))
        return rumble + 0.3 * noise(rng, len(times), rate, 40, 350)

    return render


def _gun_shot(rng: np.random.Generator) -> Render:
    crack, room = rng.uniform(0.02, 0.05), rng.uniform(0.12, 0.3)

    def render(rng, times, rate):
        start = rng.uniform(0.05, 0.4)
        local = np.maximum(times - start, 0)
        blast = noise(rng, len(times), rate, 60, 3500) * np.exp(-local / crack)
        echo = 0.25 * noise(rng, len(times), rate, 60, 900) * np.exp(-local / room)
        return (times >= start) * (blast + echo)

    return render


def _jackhammer(rng: np.random.Generator) -> Render:
    blows, ring = rng.uniform(11, 18), rng.uniform(700, 1500)

    def render(rng, times, rate):
        since = np.mod(times + rng.random(), 1 / (blows * rng.uniform(0.97, 1.03)))
        hammer = noise(rng, len(times), rate, 150, 3000) * np.exp(-since / 0.012)
        return hammer + 0.5 * np.sin(2 * np.pi * ring * since) * np.exp(-since / 0.02)

    return render


def _siren(rng: np.random.Generator) -> Render:
    low, high = rng.uniform(500, 700), rng.uniform(1100, 1600)
    sweeps, jumps = rng.uniform(0.8, 3.5), rng.random() < 0.3

    def render(rng, times, rate):
        wave = np.sin(2 * np.pi * (sweeps * times + rng.random()))
        wave = np.tanh(8 * wave) if jumps else wave
        pitch = low + (high - low) * (wave + 1) / 2
        return tone(np.cumsum(pitch) / rate, [1, 0.35, 0.15])

    return render


def _street_music(rng: np.random.Generator) -> Render:
    scale = rng.uniform(180, 300) * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    beat, partials = rng.uniform(0.16, 0.3), rng.uniform(0.3, 1.0, size=4) / np.arange(1, 5)

    def render(rng, times, rate):
        sound, start = np.zeros_like(times), -beat * rng.random()
        while start < times[-1]:
            local = np.maximum(times - start, 0)
            envelope = (times >= start) * swell(local, 0.005, rng.uniform(0.15, 0.35))
            for pitch in rng.choice(scale, size=rng.integers(1, 4), replace=False):
                sound += envelope * tone(pitch * local, partials)
            start += beat * rng.choice([1, 1, 2])
        return sound

    return render


RECORDINGS = {
    "air_conditioner": _air_conditioner,
    "car_horn": _car_horn,
    "children_playing": _children_playing,
    "dog_bark": _dog_bark,
    "drilling": _drilling,
    "engine_idling": _engine_idling,
    "gun_shot": _gun_shot,
    "jackhammer": _jackhammer,
    "siren": _siren,
    "street_music": _street_music,
}


def tone(cycles: np.ndarray, partials: Sequence[float]) -> np.ndarray:
    """Harmonics of the given strengths over a phase counted in cycles."""
    # The imaginary part of a polynomial in exp(i phase): one exponential instead of many sines.
    rotation = np.exp(2j * np.pi * cycles)
    total = np.zeros_like(rotation)
    for strength in reversed(partials):
        total = (total + strength) * rotation
    return total.imag


def noise(rng: np.random.Generator, samples: int, rate: int, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies, pink within them, with a mean square of 1."""
    size = 1 << (samples - 1).bit_length()  # Other sizes may be prime, and slow.
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    inside = (frequencies >= low) & (frequencies <= high)
    spectrum *= inside / np.sqrt(np.maximum(frequencies, 1.0))
    sound = np.fft.irfft(spectrum, size)[:samples]
    return sound / np.sqrt(np.mean(sound**2))


def gate(times: np.ndarray, start: float, end: float, edge: float) -> np.ndarray:
    """1 from `start` to `end`, with straight edges."""
    return np.clip(np.minimum(times - start, end - times) / edge, 0.0, 1.0)


def swell(since: np.ndarray, attack: float, decay: float) -> np.ndarray:
    """A quick rise and an exponential fall."""
    return (1 - np.exp(-since / attack)) * np.exp(-since / decay)
