"""Metrics as CloudWatch keeps them, compactly: per series and second, how often each value was seen.

ministack keeps one dictionary per data point and walks all of them on every request; a hundred
thousand invocations made it unusable. Here a second of identical values is one number, and no
raw value is lost, so percentiles and trimmed counts are exact.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Dimensions = tuple[tuple[str, str], ...]
Key = tuple[str, str, str, str, Dimensions]
"""Account, region, namespace, name, dimensions sorted by name."""

KEPT_SECONDS = 3 * 3600


@dataclass(slots=True)
class Bucket:
    """Everything recorded in one slot of time."""

    counts: dict[float, float] = field(default_factory=dict)
    sample_count: float = 0.0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    exact: bool = True
    """False once a statistic set was published into it: its single values are unknown."""

    def add(self, value: float, count: float) -> None:
        self.counts[value] = self.counts.get(value, 0.0) + count
        self.sample_count += count
        self.total += value * count
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def add_set(self, sample_count: float, total: float, low: float, high: float) -> None:
        if sample_count > 0 and low == high:
            self.add(low, sample_count)
            return
        self.sample_count += sample_count
        self.total += total
        self.low = min(self.low, low)
        self.high = max(self.high, high)
        self.exact = False

    def merge(self, other: Bucket) -> None:
        for value, count in other.counts.items():
            self.counts[value] = self.counts.get(value, 0.0) + count
        self.sample_count += other.sample_count
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.exact = self.exact and other.exact


class Store:
    """All series. Safe to use from any thread."""

    def __init__(self) -> None:
        self._series: dict[Key, dict[int, Bucket]] = {}
        self._units: dict[Key, str] = {}
        self._lock = threading.Lock()
        self.writes = 0

    def clear(self) -> None:
        with self._lock:
            self._series.clear()
            self._units.clear()

    def record(self, key: Key, timestamp: float, value: float, count: float = 1.0, unit: str = "None") -> None:
        with self._lock:
            self._bucket(key, timestamp, unit).add(value, count)

    def record_set(self, key: Key, timestamp: float, statistics: Mapping[str, float], unit: str = "None") -> None:
        with self._lock:
            self._bucket(key, timestamp, unit).add_set(
                float(statistics.get("SampleCount", 0)),
                float(statistics.get("Sum", 0)),
                float(statistics.get("Minimum", 0)),
                float(statistics.get("Maximum", 0)),
            )

    def _bucket(self, key: Key, timestamp: float, unit: str) -> Bucket:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = {}
            self._units[key] = unit
        # AWS's own metrics have one-minute resolution; custom ones may have one second.
        step = 60 if key[2].startswith("AWS/") else 1
        slot = int(timestamp // step) * step
        bucket = series.get(slot)
        if bucket is None:
            bucket = series[slot] = Bucket()
            if len(series) > KEPT_SECONDS:
                for old in [at for at in series if at < slot - KEPT_SECONDS]:
                    del series[old]
        self.writes += 1
        return bucket

    def keys(self, account: str, region: str) -> list[tuple[Key, str]]:
        with self._lock:
            return [(key, self._units[key]) for key in self._series if key[:2] == (account, region)]

    def unit(self, key: Key) -> str:
        return self._units.get(key, "None")

    def periods(self, key: Key, start: float, end: float, period: int, origin: float) -> dict[int, Bucket]:
        """What was recorded in [start, end), summed up per period counted from `origin`."""
        with self._lock:
            series = self._series.get(key)
            if not series:
                return {}
            out: dict[int, Bucket] = {}
            for slot in list(series):
                if not start <= slot < end:
                    continue
                at = int(origin + (slot - origin) // period * period)
                merged = out.get(at)
                if merged is None:
                    merged = out[at] = Bucket()
                merged.merge(series[slot])
            return out


_BASIC = {
    "SampleCount": lambda b: b.sample_count,
    "Sum": lambda b: b.total,
    "Average": lambda b: b.total / b.sample_count,
    "Minimum": lambda b: b.low,
    "Maximum": lambda b: b.high,
}
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d+)?)$")
_TRIMMED_SHORT = re.compile(r"(tm|tc|ts|wm)(\d{1,3}(?:\.\d+)?)$")
_TRIMMED = re.compile(r"(TM|TC|TS|WM|PR)\((\d+(?:\.\d+)?%?)?:(\d+(?:\.\d+)?%?)?\)$")


def statistic_is_known(name: str) -> bool:
    if name == "IQM" or name in _BASIC or _PERCENTILE.match(name):
        return True
    match = _TRIMMED.match(name)
    return bool(_TRIMMED_SHORT.match(name) or (match and (match[2] or match[3])))


def statistic(bucket: Bucket, name: str) -> float | None:
    """One statistic of one period, or None when CloudWatch would give no data point."""
    if bucket.sample_count <= 0:
        return None
    if name in _BASIC:
        return float(_BASIC[name](bucket))
    # Percentiles need single values (GetMetricStatistics: none for statistic sets or negatives).
    if not bucket.exact or bucket.low < 0:
        return None
    if name == "IQM":
        return _trimmed(bucket, "TM", "25%", "75%")
    if match := _PERCENTILE.match(name):
        return _percentile(bucket, float(match[1]))
    if match := _TRIMMED_SHORT.match(name):
        return _trimmed(bucket, match[1].upper(), None, match[2] + "%")
    if match := _TRIMMED.match(name):
        return _trimmed(bucket, match[1], match[2], match[3])
    return None


def _percentile(bucket: Bucket, percent: float) -> float:
    ordered = sorted(bucket.counts.items())
    rank = percent / 100.0 * (bucket.sample_count - 1)
    lower = int(rank)

    def at(index: float) -> float:
        seen = 0.0
        for value, count in ordered:
            seen += count
            if index < seen:
                return value
        return ordered[-1][0]

    low = at(lower)
    return low + (rank - lower) * (at(lower + 1) - low) if rank > lower else low


def _trimmed(bucket: Bucket, kind: str, low_text: str | None, high_text: str | None) -> float | None:
    """TM mean, TC count, TS sum, WM winsorized mean, PR percentile rank, between two bounds.

    Absolute bounds leave out values at or under the lower one and keep values up to and with the
    upper one, as the user guide's `TC(0.005:0.030)` does; percents count values by rank.
    """
    relative = any(text is not None and text.endswith("%") for text in (low_text, high_text))
    if relative:
        low_share = float(low_text.rstrip("%")) / 100 if low_text else 0.0
        high_share = float(high_text.rstrip("%")) / 100 if high_text else 1.0
        kept = list(_by_rank(bucket, low_share, high_share))
    else:
        low = float(low_text) if low_text else -math.inf
        high = float(high_text) if high_text else math.inf
        kept = [(value, count) for value, count in bucket.counts.items() if low < value <= high]
    # Of nothing, `sum` makes the integer 0, and the Rust client takes only floats for values.
    count = float(sum(c for _, c in kept))
    total = float(sum(v * c for v, c in kept))
    if kind == "TC":
        return count
    if kind == "TS":
        return total
    if kind == "PR":
        return 100.0 * count / bucket.sample_count
    if count <= 0:
        return None
    if kind == "TM":
        return total / count
    low_value, high_value = min(v for v, _ in kept), max(v for v, _ in kept)
    return sum(min(max(v, low_value), high_value) * c for v, c in bucket.counts.items()) / bucket.sample_count


def _by_rank(bucket: Bucket, low_share: float, high_share: float) -> Iterator[tuple[float, float]]:
    low, high = low_share * bucket.sample_count, high_share * bucket.sample_count
    seen = 0.0
    for value, count in sorted(bucket.counts.items()):
        inside = min(seen + count, high) - max(seen, low)
        seen += count
        if inside > 1e-9:
            yield value, inside


def dimensions_of(items: Iterable[Mapping[str, str]] | None) -> Dimensions:
    """The API's list of {Name, Value} as a key."""
    return tuple(sorted((str(item["Name"]), str(item.get("Value", ""))) for item in items or ()))
