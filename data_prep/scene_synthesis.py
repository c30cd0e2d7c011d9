"""How the toy scenes are made: a coloured background, voices, a hum and events, at many places.

What tells the scenes apart is a table, `SCENES`. A city and a location shift it: other colours,
more or fewer events, a wider or narrower stereo image, and a little of another scene.
"""

import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

from data_prep.toy_synthesis import gate, noise, swell, tone

# Where colours are given, in Hz.
_KNOTS = (50, 150, 500, 1500, 5000, 15000)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is heard in a scene; levels in dB, relative to the background.

    Attributes:
        colour: Of the background, at 50, 150, 500, 1500, 5000 and 15000 Hz.
        level: Of the background, relative to full scale.
        sway: By how many dB the background comes and goes, every other second.
        voices: Level of the murmur of people.
        hum: Frequency in Hz and level of a machine, if there is one.
        events: How many there are in ten seconds, and their level, by kind. At 0 dB their peak is
            three times the background's effective value.
    """

    colour: tuple[float, ...]
    level: float
    sway: float
    voices: float
    events: dict[str, tuple[float, float]]
    hum: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Device:
    """A recording device.

    Attributes:
        colour: What it does to the sound, in dB at the frequencies of `Scene.colour`.
        floor: Level of its own noise, in dB of full scale.
    """

    colour: tuple[float, ...]
    floor: float


SCENES = {
    "airport": Scene(
        colour=(-16, -12, -14, -16, -20, -34),
        level=-32,
        sway=1,
        voices=-6,
        events={"step": (6, 0), "bell": (1, 6)},
        hum=(120, -14),
    ),
    "bus": Scene(
        colour=(0, -4, -14, -26, -34, -48),
        level=-24,
        sway=2,
        voices=-18,
        events={"hiss": (0.8, 2), "squeal": (0.3, -6)},
        hum=(32, -2),
    ),
    "metro": Scene(
        colour=(-2, 0, -8, -20, -32, -46),
        level=-24,
        sway=4,
        voices=-22,
        events={"joint": (9, 4), "squeal": (1.2, -4)},
        hum=(90, -8),
    ),
    "metro_station": Scene(
        colour=(-6, -4, -10, -20, -30, -42),
        level=-30,
        sway=3,
        voices=-10,
        events={"passing": (0.8, 6), "beep": (2, 2), "step": (5, 0)},
    ),
    "park": Scene(
        colour=(-10, -18, -28, -34, -36, -50),
        level=-40,
        sway=5,
        voices=-14,
        events={"bird": (10, 0), "step": (2, -2)},
    ),
    "public_square": Scene(
        colour=(-10, -12, -14, -20, -28, -42),
        level=-34,
        sway=2,
        voices=-8,
        events={"bell": (0.8, 4), "step": (5, 0), "bird": (1.5, -4), "passing": (0.4, 0)},
    ),
    "shopping_mall": Scene(
        colour=(-20, -14, -12, -22, -34, -48),
        level=-33,
        sway=1,
        voices=-5,
        events={"note": (12, 0), "step": (4, 0), "beep": (0.5, 0)},
    ),
    "street_pedestrian": Scene(
        colour=(-8, -12, -18, -22, -28, -38),
        level=-34,
        sway=2,
        voices=-8,
        events={"step": (18, 2), "note": (2, -4), "passing": (0.3, 0)},
    ),
    "street_traffic": Scene(
        colour=(-4, -4, -6, -10, -22, -38),
        level=-27,
        sway=3,
        voices=-20,
        events={"passing": (2.5, 6), "horn": (0.5, 2)},
    ),
    "tram": Scene(
        colour=(-8, -4, -6, -16, -20, -36),
        level=-26,
        sway=3,
        voices=-16,
        events={"joint": (3, 2), "squeal": (1.2, -2), "bell": (0.6, 4), "hiss": (0.4, 0)},
        hum=(400, -4),
    ),
    # None of the ten.
    "beach": Scene(
        colour=(-16, -16, -16, -16, -20, -32),
        level=-36,
        sway=2,
        voices=-18,
        events={"passing": (2, 6), "bird": (1, 0)},
    ),
    "construction_site": Scene(
        colour=(-8, -10, -12, -14, -20, -34),
        level=-28,
        sway=2,
        voices=-24,
        events={"blows": (3, 8), "passing": (0.4, 2)},
    ),
    "office": Scene(
        colour=(-18, -20, -26, -34, -44, -56),
        level=-44,
        sway=0,
        voices=-16,
        events={"key": (25, 2), "beep": (0.3, 2)},
        hum=(120, -10),
    ),
}

# One as good as can be, as a recorder with microphones in the ears, and two as of telephones.
_DEVICES = {
    "a": Device((0, 0, 0, 0, 0, 0), -110),
    "b": Device((-22, -9, -1, 2, 4, -14), -66),
    "c": Device((-12, -3, 2, -3, -7, -26), -60),
}


class Place:
    """A scene at one location: what the clips recorded there share.

    Args:
        scene: A key of `SCENES`.
        city: The city; those of one have something in common.
        location: The location, unlike any other.
    """

    def __init__(self, scene: str, city: str, location: str):
        self._scene = SCENES[scene]
        here, city_rng = _seeded(f"{scene}-{city}-{location}"), _seeded(city)
        knots = len(_KNOTS)
        self._colour = np.array(self._scene.colour) + here.normal(0, 2, knots)
        self._colour += city_rng.normal(0, 1.5, knots)
        self._level = self._scene.level + here.normal(0, 2)
        self._voices = self._scene.voices + here.normal(0, 2)
        self._width = here.uniform(0.2, 0.9)
        self._pitch = 2 ** here.normal(0, 0.15)
        self._busy = city_rng.uniform(0.8, 1.25) * 2 ** here.normal(0, 0.4)
        # What is around the corner.
        self._other = SCENES[str(here.choice(sorted(SCENES)))]
        self._other_level = -here.uniform(8, 16)

    def record(self, name: str, rate: int, channels: int, seconds: float) -> np.ndarray:
        """Make one clip: float32 of shape `(samples, channels)`, within [-0.9, 0.9].

        Args:
            name: What it is called; every name is another clip.
            rate: Sample rate in Hz.
            channels: 1, or 2 for a left and a right that differ.
            seconds: Its length.
        """
        rng, samples = _seeded(name), round(seconds * rate)
        times = _times(seconds, rate)
        one, other = (self._background(rng, samples, rate) for _ in range(2))
        # The wider the image, the more of its own each side has.
        shares = [1.0] if channels == 1 else [1 + self._width, 1 - self._width]
        sound = np.stack([share * one + (2 - share) * other for share in shares], axis=-1)
        sound *= 10 ** (_wander(rng, times, 0.5, self._scene.sway)[:, None] / 20)
        murmur = noise(rng, samples, rate, 200, 3500) * 10 ** (_wander(rng, times, 5, 6) / 20)
        sound += (_unit(murmur) * 10 ** (self._voices / 20))[:, None]
        if self._scene.hum is not None:
            pitch, level = self._scene.hum
            hum = tone(self._pitch * pitch * times, [1, 0.7, 0.5, 0.3, 0.2])
            sound += (_unit(hum) * 10 ** (level / 20))[:, None]
        self._add_events(rng, sound, rate, self._scene, 0.0)
        self._add_events(rng, sound, rate, self._other, self._other_level)
        sound *= 10 ** ((self._level + rng.normal(0, 1)) / 20)
        return (sound * min(1.0, 0.9 / np.abs(sound).max())).astype(np.float32)

    def _background(self, rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
        from scipy import fft

        spectrum = rng.standard_normal((2, samples // 2 + 1), dtype=np.float32)
        spectrum = spectrum[0] + 1j * spectrum[1]
        other = np.array(self._other.colour) + self._other_level
        colour = 10 * np.log10(10 ** (self._colour / 10) + 10 ** (other / 10))
        return _unit(fft.irfft(spectrum * _gains(colour, samples, rate), samples))

    def _add_events(
        self, rng: np.random.Generator, sound: np.ndarray, rate: int, scene: Scene, level: float
    ) -> None:
        samples, channels = sound.shape
        for kind, (often, loudness) in scene.events.items():
            # What is far is heard less often, too.
            mean = often * samples / rate / 10 * self._busy * 10 ** (level / 10)
            for _ in range(rng.poisson(mean)):
                event = _EVENTS[kind](rng, rate, self._pitch)
                peak = 3 * 10 ** ((loudness + level + rng.normal(0, 2)) / 20)
                start, left = rng.integers(samples), rng.uniform(0.1, 0.9)
                sides = [1.0] if channels == 1 else np.sqrt([2 * left, 2 - 2 * left])
                event = event[: samples - start, None] * (peak / np.abs(event).max())
                sound[start : start + len(event)] += event * sides


def recorded_by(device: str, sound: np.ndarray, name: str, rate: int) -> np.ndarray:
    """What a device makes of a sound `(samples, channels)`; the name draws its own noise."""
    from scipy import fft

    samples, own = len(sound), _DEVICES[device]
    spectrum = fft.rfft(sound, axis=0) * _gains(np.array(own.colour), samples, rate)[:, None]
    floor = _seeded(name).standard_normal(sound.shape, dtype=np.float32) * 10 ** (own.floor / 20)
    return np.clip(fft.irfft(spectrum, samples, axis=0) + floor, -0.95, 0.95).astype(np.float32)


def _seeded(name: str) -> np.random.Generator:
    """A generator of its own for every name, so that nothing depends on anything else."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def _gains(colour: np.ndarray, samples: int, rate: int) -> np.ndarray:
    """Factors of the bins of a real FFT for decibels at the frequencies of `Scene.colour`."""
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    decibels = np.interp(np.log(np.maximum(frequencies, 1)), np.log(_KNOTS), colour)
    return (10 ** (decibels / 20)).astype(np.float32)


def _unit(sound: np.ndarray) -> np.ndarray:
    return sound / np.sqrt(np.mean(sound**2))


def _wander(rng: np.random.Generator, times: np.ndarray, rate: float, size: float) -> np.ndarray:
    """A random curve that turns about `rate` times a second and is about `size` large."""
    knots = np.arange(int(times[-1] * rate) + 3) / rate
    return np.interp(times, knots, rng.normal(0, size, len(knots))).astype(np.float32)


def _times(seconds: float, rate: int) -> np.ndarray:
    return np.arange(round(seconds * rate)) / rate


def _beep(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(0.5, rate)
    gates = gate(times, 0, 0.15, 0.01) + gate(times, 0.3, 0.45, 0.01)
    return tone(1600 * pitch * times, [1, 0, 0.3]) * gates


def _bell(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times, strike = _times(2, rate), pitch * rng.choice([700, 930])
    return sum(
        tone(strike * ratio * times, [1]) * swell(times, 0.002, 0.7 / ratio)
        for ratio in (1, 2.76, 5.4)
    )


def _bird(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(rng.uniform(0.1, 0.4), rate)
    trill = rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * rng.uniform(5, 25) * times)
    song = np.cumsum(pitch * rng.uniform(2800, 5000) * (1 + trill)) / rate
    return tone(song, [1, 0.1]) * gate(times, 0, times[-1], 0.03)


def _blows(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(rng.uniform(0.7, 2), rate)
    since = np.mod(times, 1 / (14 * pitch))
    return noise(rng, len(times), rate, 150, 5000) * np.exp(-since / 0.012)


def _hiss(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(1, rate)
    return noise(rng, len(times), rate, 1500, 12000) * swell(times, 0.05, 0.3)


def _horn(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(rng.uniform(0.2, 0.9), rate)
    chord = tone(390 * pitch * times, [1, 0.7, 0.5, 0.4]) + tone(490 * pitch * times, [1, 0.7, 0.5])
    return chord * gate(times, 0, times[-1], 0.02)


def _joint(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(0.5, rate)
    wheels = swell(times, 0.004, 0.05) + 0.8 * gate(times, 0.2, 1, 0.001) * np.exp(-times / 0.15)
    return noise(rng, len(times), rate, 40, 900) * wheels


def _key(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(0.06, rate)
    return noise(rng, len(times), rate, 1500, 9000) * swell(times, 0.001, 0.008)


def _note(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(0.8, rate)
    note = 220 * pitch * 2 ** (rng.choice([0, 2, 4, 7, 9, 12, 14]) / 12)
    return tone(note * times, [1, 0.5, 0.4, 0.2]) * swell(times, 0.01, 0.25)


def _passing(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(rng.uniform(2.5, 5), rate)
    near = np.sin(np.pi * times / times[-1]) ** 4
    motor = tone(70 * pitch * (1.05 * times - 0.01 * times**2), [1, 0.6, 0.4, 0.2])
    return (noise(rng, len(times), rate, 80, 5000) + 0.5 * motor) * near


def _squeal(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(rng.uniform(0.5, 2), rate)
    glide = pitch * rng.uniform(2000, 3200) * (1 + 0.03 * times)
    return tone(np.cumsum(glide) / rate, [1, 0.4, 0.3]) * gate(times, 0, times[-1], 0.2)


def _step(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    times = _times(0.15, rate)
    return noise(rng, len(times), rate, 120, 2500) * swell(times, 0.002, 0.025)


# Each makes one event at a place of its own pitch, at any level.
_EVENTS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "beep": _beep,
    "bell": _bell,
    "bird": _bird,
    "blows": _blows,
    "hiss": _hiss,
    "horn": _horn,
    "joint": _joint,
    "key": _key,
    "note": _note,
    "passing": _passing,
    "squeal": _squeal,
    "step": _step,
}
