"""What a measurement comes to: figures beside what was asked of them."""

import json
import statistics
from dataclasses import dataclass, field


@dataclass
class Row:
    """One line of the table.

    `asked` is the limit and `reached` the figure held against it, both in `unit`; `at_least` says
    on which side of the limit is good. `legs` are the raw values behind it, by leg or case.
    """

    name: str
    unit: str
    asked: float
    reached: float
    at_least: bool = False
    legs: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    @property
    def holds(self):
        """Whether what was asked is reached."""
        return self.reached >= self.asked if self.at_least else self.reached <= self.asked

    def to_json(self):
        """Everything, raw values included."""
        return {
            "name": self.name, "unit": self.unit, "asked": self.asked,
            "direction": "at least" if self.at_least else "at most",
            "reached": round(self.reached, 4), "holds": self.holds,
            "legs": {leg: summary(values) for leg, values in self.legs.items()},
            "notes": self.notes}

    def to_line(self):
        """For the table."""
        sign = ">=" if self.at_least else "<="
        legs = "  ".join(
            f"{leg} {short(statistics.median(values))} [{short(min(values))}..{short(max(values))}]"
            for leg, values in self.legs.items() if values)
        return (
            f"{self.name:<34} {sign} {short(self.asked):>6} {short(self.reached):>8} {self.unit:<14}"
            f" {'ok  ' if self.holds else 'MISS'} {legs}")


HEADING = f"{'':<34} {'asked':>9} {'reached':>8}"


def summary(values):
    """Median, extremes and the values themselves."""
    if not values:
        return {"n": 0}
    return {
        "n": len(values), "median": statistics.median(values), "min": min(values),
        "max": max(values), "values": [round(value, 6) for value in values]}


def short(value):
    """Three figures or so."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def write(path, machine, rows, failures):
    """The results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"machine": machine, "rows": [row.to_json() for row in rows], "failures": failures},
        indent=2)
    path.write_text(text + "\n")
