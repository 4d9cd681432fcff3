"""Draws the definition of a release, and the way of one release through it, for light and for dark pages.

Where a state stands is written here; what leads where is read from the definition. A state without a place, or an
arrow without a way, is an error: the picture cannot be less than the definition.
"""

import json
import pathlib

THEMES = {
    "light": {
        "paper": "#ffffff", "ink": "#1f2733", "soft": "#5b6675", "line": "#8a94a3", "box": "#f4f6f9",
        "edge": "#c9d0da", "way": "#1d63d8", "way-box": "#e8f0fe", "way-edge": "#8fb3f2", "hub": "#1d63d8",
        "on-hub": "#ffffff", "back": "#c8322b", "back-box": "#fdecea", "back-edge": "#eba7a2", "good": "#147d4f",
        "good-box": "#e3f5ec", "good-edge": "#86cda9", "grid": "#e6eaf0",
    },
    "dark": {
        "paper": "#0d1117", "ink": "#e6edf3", "soft": "#9aa7b5", "line": "#6b7786", "box": "#161c25",
        "edge": "#354050", "way": "#6ea8ff", "way-box": "#12243f", "way-edge": "#31578f", "hub": "#3f7fe8",
        "on-hub": "#ffffff", "back": "#ff7b72", "back-box": "#32171a", "back-edge": "#85393a", "good": "#4cc38a",
        "good-box": "#0f2b20", "good-edge": "#2c6e50", "grid": "#1c2430",
    },
}

STYLE = """
  text {{ font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif; fill: {ink} }}
  .paper {{ fill: {paper} }} .name {{ font-weight: 600 }} .soft, .word {{ fill: {soft}; font-size: 11.5px }}
  .word {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 11px }}
  .box {{ fill: {box}; stroke: {edge} }} .of-way {{ fill: {way-box}; stroke: {way-edge} }}
  .of-back {{ fill: {back-box}; stroke: {back-edge} }} .of-end {{ fill: {good-box}; stroke: {good-edge} }}
  .arrow {{ fill: none; stroke: {line}; stroke-width: 1.4 }} .head {{ fill: {line} }}
  .arrow-way {{ fill: none; stroke: {way}; stroke-width: 2.4 }} .head-way {{ fill: {way} }}
  .arrow-back {{ fill: none; stroke: {back}; stroke-width: 1.6 }} .head-back {{ fill: {back} }}
  .caught {{ stroke-dasharray: 4 3 }} .across {{ fill: none; stroke: {on-hub}; stroke-width: 1.4; stroke-dasharray: 2.5 2.5 }}
  .phase {{ fill: {way}; font-weight: 600 }} .brace {{ fill: none; stroke: {way-edge}; stroke-width: 1.4 }}
  .hub {{ fill: {hub} }} .on-hub {{ fill: {on-hub}; font-weight: 700; font-size: 17px; letter-spacing: .14em }}
  .on-hub-small {{ fill: {on-hub}; font-size: 11.5px }} .dot {{ fill: {back} }} .icon {{ fill: none; stroke: {soft}; stroke-width: 1.3 }}
  .grid {{ stroke: {grid}; stroke-width: 1 }} .share {{ fill: {good}; fill-opacity: .16 }} .level {{ fill: none; stroke: {good}; stroke-width: 2 }}
  .percent {{ fill: {good}; font-weight: 700 }} .track {{ fill: none; stroke: {way}; stroke-width: 2.6; stroke-linejoin: round }}
  .stop {{ fill: {paper}; stroke: {way}; stroke-width: 2.4 }} .stop-hub {{ fill: {way} }} .stop-end {{ fill: {good} }}
"""

WIDTH, ROW, TOP, BOX, HEIGHT = 980, 60, 76, 212, 38
LEFT, MIDDLE, HUB, RIGHT = 128, 356, 582, 812
"""Centres of the columns."""
HUB_WIDTH = 46

# The states: column, row, and what they are part of.
PLACES = {
    "Route": (MIDDLE, 0, "way"),
    "DeployGreen": (MIDDLE, 1, "way"),
    "AwaitIdle": (MIDDLE, 2, ""),
    "ValidateGreen": (MIDDLE, 3, "way"),
    "ShiftTraffic": (MIDDLE, 4, "way"),
    "Bake": (MIDDLE, 5, "way"),
    "CheckAlarms": (MIDDLE, 6, "way"),
    "DeploymentSuccessful": (MIDDLE, 7, "way"),
    "FinalizeDeployment": (MIDDLE, 8, "way"),
    "StartRetention": (MIDDLE, 9, "way"),
    "RetentionNotStarted": (LEFT, 10, ""),
    "Done": (MIDDLE, 11, "end"),
    "Decide": (HUB, None, "hub"),
    "WireStage": (RIGHT, 0, ""),
    "AwaitStage": (RIGHT, 1, ""),
    "RunMigration": (RIGHT, 2, ""),
    "RunHook": (RIGHT, 3, ""),
    "AwaitHook": (RIGHT, 4, ""),
    "AwaitApproval": (RIGHT, 5, ""),
    "Hold": (RIGHT, 6, ""),
    "RollbackDeployment": (RIGHT, 8, "back"),
    "RollbackFailed": (RIGHT, 9, "back"),
    "DeploymentRolledBack": (RIGHT, 10, "back"),
    "DeploymentHeld": (RIGHT, 11, "back"),
}

# The way of a release that goes well.
HAPPY = [
    "Route", "DeployGreen", "Decide", "ValidateGreen", "Decide", "ShiftTraffic", "Bake", "CheckAlarms", "Decide",
    "DeploymentSuccessful", "FinalizeDeployment", "StartRetention", "Decide", "Done",
]
WAY = set(zip(HAPPY, HAPPY[1:]))


def arrows(states):
    """Every arrow of the definition once: from, to, the word of `Decide` for it, and whether it is a Catch's."""
    found = {}

    def walk(name, value, caught, word):
        if isinstance(value, list):
            for each in value:
                walk(name, each, caught, word)
        elif isinstance(value, dict):
            word = value.get("StringEquals", word) if name == "Decide" else ""
            for field, inner in value.items():
                if field in ("Next", "Default"):
                    found.setdefault((name, inner, caught), word)
                else:
                    walk(name, inner, caught or field == "Catch", word)

    for name, state in states.items():
        walk(name, state, False, "")
    return [(*arrow, word) for arrow, word in found.items()]


class Svg:
    def __init__(self, width, height, theme, about):
        colours = THEMES[theme]
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            f"<title>{about}</title>",
            f"<style>{STYLE.format(**colours)}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
        ]

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, words, kind="", anchor="middle", turn=0):
        turned = f' transform="rotate({turn} {x:g} {y:g})"' if turn else ""
        self.add(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{turned}>{words}</text>')

    def arrow(self, points, kind="", caught=False):
        """A line with rounded corners and a head at its end."""
        suffix = f"-{kind}" if kind else ""
        (x, y), (before_x, before_y) = points[-1], points[-2]
        length = 7 if kind == "way" else 6
        dx = (x > before_x) - (x < before_x)
        dy = (y > before_y) - (y < before_y)
        end = (x - dx * length, y - dy * length)
        path = rounded([*points[:-1], end])
        self.add(f'<path class="arrow{suffix}{" caught" if caught else ""}" d="{path}"/>')
        half = length * 0.62
        corners = [(x, y), (end[0] - dy * half, end[1] + dx * half), (end[0] + dy * half, end[1] - dx * half)]
        self.add(f'<polygon class="head{suffix}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}"/>')

    def close(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def rounded(points, radius=9):
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, at, after in zip(points, points[1:], points[2:]):
        toward = lambda other: max(abs(other[0] - at[0]), abs(other[1] - at[1]), 1e-9)
        near = min(radius, toward(before) / 2, toward(after) / 2)
        step = lambda other: (
            at[0] + (other[0] - at[0]) / toward(other) * near,
            at[1] + (other[1] - at[1]) / toward(other) * near,
        )
        (ax, ay), (bx, by) = step(before), step(after)
        path += f" L{ax:.1f} {ay:.1f} Q{at[0]:.1f} {at[1]:.1f} {bx:.1f} {by:.1f}"
    return path + f" L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def row(number):
    return TOP + ROW * number


def middle_of(name):
    x, number, _ = PLACES[name]
    return x, row(number)


# How far from its state's middle an arrow to the hub leaves, or one from it arrives.
OUT, IN = 9, -9


def to_hub(name, up=OUT):
    x, y = middle_of(name)
    up = 13 if name == "WireStage" else up
    right = x < HUB
    return [(x + (BOX / 2 if right else -BOX / 2), y + up), (HUB + (-HUB_WIDTH / 2 if right else HUB_WIDTH / 2), y + up)]


def from_hub(name, up=IN):
    return list(reversed(to_hub(name, up)))


def below(name, other):
    (x, y), (_, to) = middle_of(name), middle_of(other)
    half = HEIGHT / 2
    return [(x, y + half), (x, to - half)] if to > y else [(x, y - half), (x, to + half)]


def route(source, target, caught):
    """The points of an arrow."""
    x, y = middle_of(source) if source != "Decide" else (HUB, 0)
    half = HEIGHT / 2
    left, right = x - BOX / 2, x + BOX / 2
    special = {
        ("Route", "WireStage"): lambda: [(right, y - 10), (RIGHT - BOX / 2, y - 10)],
        ("Route", "RollbackDeployment"): lambda: [
            (x, y - half), (x, y - 44), (WIDTH - 24, y - 44), (WIDTH - 24, row(8)), (RIGHT + BOX / 2, row(8)),
        ],
        ("AwaitApproval", "CheckAlarms"): lambda: [(left, y + OUT), (left - 14, y + OUT), (left - 14, row(6) - ROW / 2), (MIDDLE + 60, row(6) - ROW / 2), (MIDDLE + 60, row(6) - half)],
        ("Hold", "CheckAlarms"): lambda: [(left, y + OUT), (left - 14, y + OUT), (left - 14, row(6) + ROW / 2), (MIDDLE + 60, row(6) + ROW / 2), (MIDDLE + 60, row(6) + half)],
        ("DeploymentSuccessful", "RollbackDeployment"): lambda: [(right, y + 10), (RIGHT - 60, y + 10), (RIGHT - 60, row(8) - half)],
        ("StartRetention", "RetentionNotStarted"): lambda: [(left, y), (LEFT, y), (LEFT, row(10) - half)],
        ("RetentionNotStarted", "Decide"): lambda: [(right, y), (HUB - HUB_WIDTH / 2, y)],
        ("RetentionNotStarted", "Done"): lambda: [(x, y + half), (x, row(11)), (MIDDLE - BOX / 2, row(11))],
        ("RollbackDeployment", "RollbackFailed"): lambda: below(source, target),
    }
    if (source, target) in special:
        return special[source, target]()
    if target == "Decide":
        return to_hub(source)
    if source == "Decide":
        return from_hub(target)
    if PLACES[source][0] == PLACES[target][0] and abs(PLACES[source][1] - PLACES[target][1]) == 1:
        return below(source, target)
    raise ValueError(f"pictures.py knows no way from {source} to {target}")


def icon(svg, kind, x, y):
    if kind == "wait":
        svg.add(f'<circle class="icon" cx="{x}" cy="{y}" r="6.5"/><path class="icon" d="M{x} {y - 3.6}V{y}L{x + 2.8} {y + 1.8}"/>')
    elif kind == "operator":
        svg.add(f'<circle class="icon" cx="{x}" cy="{y - 3}" r="3.3"/><path class="icon" d="M{x - 6} {y + 7}C{x - 5} {y + 1} {x + 5} {y + 1} {x + 6} {y + 7}"/>')
    elif kind == "choice":
        svg.add(f'<path class="icon" d="M{x} {y - 6.5}L{x + 6.5} {y}L{x} {y + 6.5}L{x - 6.5} {y}Z"/>')
    elif kind == "task":
        svg.text(x, y + 4.5, "λ", "soft")
    elif kind == "start":
        svg.add(f'<path class="icon" d="M{x - 5} {y - 5.5}L{x + 6} {y}L{x - 5} {y + 5.5}Z"/>')
    elif kind == "end":
        svg.add(f'<rect class="icon" x="{x - 5}" y="{y - 5}" width="10" height="10" rx="2"/>')


def kind_of(state):
    resource = state.get("Resource", "")
    if state["Type"] == "Task":
        return "operator" if resource.endswith("waitForTaskToken") else "task" if "lambda" in resource else "start"
    return {"Choice": "choice", "Wait": "wait", "Pass": "end", "Succeed": "end", "Fail": "end"}[state["Type"]]


def graph(definition, theme):
    states = definition["States"]
    if missing := set(states) ^ set(PLACES):
        raise ValueError(f"pictures.py and the definition differ in {sorted(missing)}")
    height = row(11) + 104
    svg = Svg(WIDTH, height, theme, "The states of a release")
    found = arrows(states)
    guarded = {source for source, target, caught, _ in found if caught and target == "RollbackDeployment"}
    others = [arrow for arrow in found if not (arrow[2] and arrow[1] == "RollbackDeployment")]
    hub_top, hub_bottom = row(0) - 3, row(11) + 26
    plain = {(source, target) for source, target, caught, _ in others if not caught}
    others = [arrow for arrow in others if not (arrow[2] and arrow[:2] in plain)]
    drawn = []
    for source, target, caught, word in sorted(others, key=lambda arrow: (arrow[0], arrow[1]) in WAY):
        points = route(source, target, caught)
        kind = "way" if (source, target) in WAY else "back" if "Rollback" in target or target in ("DeploymentRolledBack", "DeploymentHeld") else ""
        drawn.append((points, kind, caught, source, target, word))
    phases(svg)
    for points, kind, caught, *_ in drawn:
        svg.arrow(points, kind, caught)
    svg.add(f'<rect class="hub" x="{HUB - HUB_WIDTH / 2}" y="{hub_top}" width="{HUB_WIDTH}" height="{hub_bottom - hub_top}" rx="14"/>')
    svg.text(HUB - 6, row(2) + ROW / 2, "Decide", "on-hub", turn=90)
    svg.text(HUB - 4, row(9) + ROW / 2, "one Choice on one word", "on-hub-small", turn=90)
    svg.text(MIDDLE + 12, row(0) - 50, "rollback by hand", "word", "start")
    for points, _, _, source, target, word in drawn:
        ends = {"Decide"} & {source, target}
        if not ends and "Route" not in (source, target) and (points[0][0] < HUB) != (points[-1][0] < HUB):
            y = next(a[1] for a, b in zip(points, points[1:]) if a[1] == b[1] and min(a[0], b[0]) < HUB < max(a[0], b[0]))
            svg.add(f'<path class="across" d="M{HUB - HUB_WIDTH / 2} {y}H{HUB + HUB_WIDTH / 2}"/>')
        if source == "Decide":
            (x, y), (to, _) = points[0], points[-1]
            svg.text(x + (10 if to > x else -10), y - 5, word or "any other", "word", "start" if to > x else "end")
    for name, state in states.items():
        if name == "Decide":
            continue
        (x, y), group = middle_of(name), PLACES[name][2]
        shape = kind_of(state)
        corner = HEIGHT / 2 if shape == "wait" else 7
        svg.add(f'<rect class="box of-{group}" x="{x - BOX / 2}" y="{y - HEIGHT / 2}" width="{BOX}" height="{HEIGHT}" rx="{corner}" stroke-width="{1.6 if group else 1.2}"/>')
        icon(svg, shape, x - BOX / 2 + 17, y)
        svg.text(x + 9, y + 4.5, name, "name")
        if name in guarded:
            svg.add(f'<circle class="dot" cx="{x + BOX / 2 - 9}" cy="{y - HEIGHT / 2 + 9}" r="3.2"/>')
    legend(svg, height - 26)
    return svg.close()


def phases(svg):
    """What goes on, beside the states of the way."""
    right = MIDDLE - BOX / 2 - 16
    for first, last, words in ((1, 1, ["publish green"]), (2, 3, ["validate it"]), (4, 6, ["shift, watch, judge:", "once for each step"]), (7, 9, ["keep green"])):
        top, bottom = row(first) - HEIGHT / 2 + 2, row(last) + HEIGHT / 2 - 2
        bottom = row(8) + HEIGHT / 2 - 2 if last == 9 else bottom
        svg.add(f'<path class="brace" d="M{right} {top}H{right - 8}V{bottom}H{right}"/>')
        for nth, line in enumerate(words):
            svg.text(right - 18, (top + bottom) / 2 + 4.5 + 17 * (nth - (len(words) - 1) / 2), line, "phase" if nth == 0 else "soft", "end")


def legend(svg, y):
    x = 22
    for kind, words, width in (
        ("task", "a handler", 86),
        ("operator", "waits for an operator", 158),
        ("wait", "waits", 66),
        ("choice", "chooses", 78),
        ("start", "starts an execution", 144),
        ("end", "ends", 62),
    ):
        icon(svg, kind, x, y - 4)
        svg.text(x + 13, y, words, "soft", "start")
        x += width
    svg.add(f'<circle class="dot" cx="{x}" cy="{y - 4}" r="3.2"/>')
    svg.text(x + 10, y, "a failure rolls back", "soft", "start")
    svg.arrow([(x + 136, y - 4), (x + 168, y - 4)], "way")
    svg.text(x + 176, y, "all goes well", "soft", "start")


def release(definition, walk, theme):
    """The states that a release enters, from left to right; what repeats while a step bakes is drawn once."""
    words = {target: word for source, target, caught, word in arrows(definition["States"]) if source == "Decide"}
    known = {(source, target) for source, target, *_ in arrows(definition["States"])}
    names = [visit["state"] for visit in walk]
    for pair in zip(names, names[1:]):
        if pair not in known:
            raise ValueError(f"the definition does not lead from {pair[0]} to {pair[1]}")
    visits, looks = [], {}
    for visit in walk:
        visits.append(visit)
        turn = ["Bake", "CheckAlarms", "Decide"]
        while len(visits) >= 7 and [one["state"] for one in visits[-7:-1]] == turn * 2 and visits[-1]["state"]:
            del visits[-4:-1]
            looks[len(visits) - 4] = looks.get(len(visits) - 4, 1) + 1
    rows = list(dict.fromkeys(["Decide", *HAPPY]))
    left, pitch, step, top = 192, 33, 33, 40
    width = left + pitch * len(visits) + 24
    share_height = 56
    height = top + step * len(rows) + share_height + 74
    svg = Svg(width, height, theme, "The way of one release through its states")
    x = lambda nth: left + pitch * nth + pitch / 2
    y = lambda name: top + step * rows.index(name) + step / 2
    for name in rows:
        svg.add(f'<path class="grid" d="M{left - 6} {y(name)}H{width - 16}"/>')
        svg.text(left - 18, y(name) + 4.5, name, "name", "end")
    points = [(x(nth), y(visit["state"])) for nth, visit in enumerate(visits)]
    bends = [points[0]]
    for (ax, ay), (bx, by) in zip(points, points[1:]):
        bends += [((ax + bx) / 2, ay), ((ax + bx) / 2, by)] if ay != by else []
        bends.append((bx, by))
    svg.add(f'<path class="track" d="{rounded(bends, 8)}"/>')
    for nth, ((px, py), visit) in enumerate(zip(points, visits)):
        name = visit["state"]
        kind = "stop-hub" if name == "Decide" else "stop-end" if name == "Done" else ""
        svg.add(f'<circle class="stop {kind}" cx="{px:g}" cy="{py:g}" r="{6 if name == "Decide" else 5}"/>')
        if name == "Decide" and nth + 1 < len(visits):
            svg.text(px, py - 12, words[visits[nth + 1]["state"]], "word")
        if nth in looks:
            svg.text(px + pitch / 2, y("CheckAlarms") + 25, f"↻ {looks[nth]} looks", "soft")
    bottom = height - 46
    level = lambda weight: bottom - share_height * weight / 100
    svg.add(f'<path class="grid" d="M{left - 6} {bottom}H{width - 16}M{left - 6} {level(100)}H{width - 16}"/>')
    svg.text(left - 18, bottom - share_height / 2 + 4.5, "green's traffic", "name", "end")
    line, last = f"M{left} {level(0)}", 0
    for nth, visit in enumerate(visits):
        if visit["weight"] != last:
            line += f"H{x(nth):g}V{level(visit['weight']):.1f}"
            svg.text(x(nth) + 6, level(visit["weight"]) - 5, f"{visit['weight']} %", "percent", "start")
            last = visit["weight"]
    line += f"H{width - 24}"
    svg.add(f'<path class="share" d="{line}V{bottom}H{left}Z"/><path class="level" d="{line}"/>')
    svg.text(left, height - 18, f"events/canary.json, where all goes well: {len(walk)} states entered", "soft", "start")
    return svg.close()


def pictures(definition, folder):
    walk = json.loads((folder / "release.json").read_text())
    for theme in THEMES:
        yield folder / f"graph-{theme}.svg", graph(definition, theme)
        yield folder / f"release-{theme}.svg", release(definition, walk, theme)
