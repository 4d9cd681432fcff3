//! The timeline, as a picture: for each release green's weight, and what users met.

use std::fmt::Write as _;

use crate::act::{Act, SLOT, Slot};

const WIDTH: f64 = 1080.0;
/// Where the plots begin and end, from the left.
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 28.0;
const HEADER: f64 = 92.0;
/// One release with its titles and axes.
const PANEL: f64 = 412.0;
const FOOTER: f64 = 44.0;

/// Within a panel, from its top.
const STATES: f64 = 58.0;
const STATES_HEIGHT: f64 = 22.0;
const MARKS: f64 = 96.0;
const WEIGHT: f64 = 108.0;
const WEIGHT_HEIGHT: f64 = 100.0;
const USERS: f64 = 228.0;
/// Blue's half of the users' plot, and green's.
const USERS_HEIGHT: f64 = 66.0;
const AXIS: f64 = USERS + 2.0 * USERS_HEIGHT;

/// How wide a character of small text is, at most.
const CHARACTER: f64 = 6.6;

const STYLE: &str = "
  text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #3d4756 }
  .paper { fill: #ffffff } .plot { fill: #f6f8fb }
  .head { font-size: 20px; font-weight: 700; fill: #161c26 }
  .title { font-size: 15px; font-weight: 700; fill: #161c26 }
  .strong { font-weight: 700; fill: #161c26 }
  .grid { stroke: #dde3ec; stroke-width: 1 } .axis { stroke: #8b96a8; stroke-width: 1 }
  .blue { fill: #2f6bd8 } .green { fill: #17915a } .failed { fill: #d4302a }
  .share { fill: #17915a; fill-opacity: .18 } .line { fill: none; stroke: #17915a; stroke-width: 2 }
  .task { fill: #67748a } .bake { fill: #cfd8e6 } .undo { fill: #d4302a }
  .in-task, .in-undo { fill: #ffffff } .in-bake { fill: #2a3342 }
  .alarm { stroke: #d4302a; stroke-width: 1.5; stroke-dasharray: 5 3 } .back { stroke: #2f6bd8; stroke-width: 1.5 }
  .of-alarm { fill: #d4302a; font-weight: 700 } .of-back { fill: #2f6bd8; font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #a9b4c4 } .paper { fill: #0f141b } .plot { fill: #161d27 }
    .head, .title, .strong { fill: #eef2f7 }
    .grid { stroke: #28323f } .axis { stroke: #64718a }
    .blue { fill: #5a95f5 } .green { fill: #2fb57c } .failed { fill: #ff6a61 }
    .share { fill: #2fb57c; fill-opacity: .22 } .line { stroke: #2fb57c }
    .task { fill: #7f8da3 } .bake { fill: #2c3949 } .undo { fill: #ff6a61 }
    .in-task, .in-undo { fill: #0f141b } .in-bake { fill: #d5deea }
    .alarm { stroke: #ff6a61 } .back { stroke: #5a95f5 }
    .of-alarm { fill: #ff6a61 } .of-back { fill: #5a95f5 }
  }
";

/// Draws all releases, one below the other. Each has its own clock and scale of time; the scale of
/// requests is the same for all.
pub(crate) fn draw(acts: &[Act]) -> String {
    #[allow(clippy::cast_precision_loss)] // A few.
    let height = HEADER + PANEL * acts.len() as f64 + FOOTER;
    let mut svg = Svg::default();
    svg.open(height);
    svg.header();
    let most = acts
        .iter()
        .flat_map(|act| &act.slots)
        .flat_map(|slot| [slot.blue.requests, slot.green.requests])
        .max();
    let step = step_for(per_second(most.unwrap_or(1)));
    let mut top = HEADER;
    for act in acts {
        Panel::new(act, top, step).draw(&mut svg);
        top += PANEL;
    }
    for (up, text) in [
        (
            30.0,
            "Recorded by `make demo` on a local AWS, from the execution's history, GetAlias, DescribeAlarms and every user's request.",
        ),
        (
            13.0,
            "The state machine's waits are 50 times shorter than on AWS; nothing else is.",
        ),
    ] {
        svg.text(LEFT, height - up, "", text);
    }
    svg.close()
}

/// One release.
struct Panel<'a> {
    act: &'a Act,
    top: f64,
    from: f64,
    to: f64,
    /// Requests a second from one line of the grid to the next; there are three.
    step: f64,
}

impl<'a> Panel<'a> {
    fn new(act: &'a Act, top: f64, step: f64) -> Self {
        Self {
            act,
            top,
            from: act.slots.first().map_or(0.0, |slot| slot.at),
            to: act.slots.last().map_or(act.took, |slot| slot.at + SLOT),
            step,
        }
    }

    fn x(&self, at: f64) -> f64 {
        let share = (at - self.from) / (self.to - self.from);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn draw(&self, svg: &mut Svg) {
        self.titles(svg);
        self.states(svg);
        self.weight(svg);
        self.users(svg);
        self.time(svg);
        self.marks(svg);
    }

    fn titles(&self, svg: &mut Svg) {
        let Act { blue, green, .. } = self.act;
        let ended = match (self.act.alarm, self.act.back) {
            (Some(alarm), Some(back)) => {
                format!("rolled back {:.2} s after the alarm", back - alarm)
            }
            _ => "promoted".to_owned(),
        };
        let title = format!("{}: {ended}", capital(&self.act.title));
        svg.text(LEFT, self.top + 20.0, "title", &title);
        let more = format!(
            "blue is version {blue}, green is version {green}; {:.1} s, {} states, users met {} failed requests",
            self.act.took,
            self.act.visits.len(),
            self.act.failed
        );
        svg.text(LEFT, self.top + 40.0, "", &more);
    }

    fn states(&self, svg: &mut Svg) {
        let top = self.top + STATES;
        svg.end_text(LEFT - 10.0, top + 15.0, "", "states");
        for visit in &self.act.visits {
            let (from, to) = (self.x(visit.from), self.x(visit.to));
            if to - from < 0.3 {
                continue;
            }
            let kind = match visit.state.as_str() {
                "Bake" => "bake",
                "RollbackDeployment" | "DeploymentRolledBack" => "undo",
                _ => "task",
            };
            let took = visit.to - visit.from;
            svg.rect(
                (from, top, to - from, STATES_HEIGHT),
                kind,
                &format!("{}: {took:.2} s", visit.state),
            );
            if to - from > width_of(&visit.state) + 8.0 {
                let class = format!("in-{kind}");
                svg.middle_text(f64::midpoint(from, to), top + 15.0, &class, &visit.state);
            }
        }
    }

    fn weight(&self, svg: &mut Svg) {
        let top = self.top + WEIGHT;
        let y = |weight: f64| top + WEIGHT_HEIGHT * (1.0 - weight / 100.0);
        svg.rect((LEFT, top, RIGHT - LEFT, WEIGHT_HEIGHT), "plot", "");
        for weight in [0.0, 50.0, 100.0] {
            svg.line((LEFT, y(weight)), (RIGHT, y(weight)), "grid");
            svg.end_text(LEFT - 10.0, y(weight) + 4.0, "", &format!("{weight:.0} %"));
        }
        svg.upright(16.0, top + WEIGHT_HEIGHT / 2.0, "green's weight");

        let mut corners = Vec::new();
        let mut before = 0.0;
        for (at, weight) in &self.act.weights {
            let x = self.x(*at);
            corners.extend([(x, y(before)), (x, y(*weight))]);
            before = *weight;
        }
        corners.insert(0, (LEFT, y(0.0)));
        corners.push((RIGHT, y(before)));
        let line = points(&corners);
        let area = format!("{line} {RIGHT:.1},{:.1} {LEFT:.1},{:.1}", y(0.0), y(0.0));
        // Writing to a String cannot fail.
        let _ = writeln!(svg.0, r#"<polygon class="share" points="{area}"/>"#);
        let _ = writeln!(svg.0, r#"<polyline class="line" points="{line}"/>"#);

        for (nth, (at, weight)) in self.act.weights.iter().enumerate() {
            let until = self
                .act
                .weights
                .get(nth + 1)
                .map_or(self.to, |(next, _)| *next);
            let label = format!("{weight:.0} %");
            if *weight > 0.5 && self.x(until) - self.x(*at) > width_of(&label) + 12.0 {
                let at_top = if *weight > 80.0 { 16.0 } else { -6.0 };
                svg.text(self.x(*at) + 7.0, y(*weight) + at_top, "strong", &label);
            }
        }
    }

    fn users(&self, svg: &mut Svg) {
        let top = self.top + USERS;
        let zero = top + USERS_HEIGHT;
        let scale = USERS_HEIGHT / (3.0 * self.step);
        svg.rect((LEFT, top, RIGHT - LEFT, 2.0 * USERS_HEIGHT), "plot", "");
        for nth in [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0f64] {
            let y = zero - nth * self.step * scale;
            svg.line((LEFT, y), (RIGHT, y), "grid");
            if nth == 0.0 || nth.abs() > 1.5 && nth.abs() < 2.5 {
                svg.end_text(
                    LEFT - 10.0,
                    y + 4.0,
                    "",
                    &format!("{:.0}", (nth * self.step).abs()),
                );
            }
        }
        svg.upright(16.0, zero, "requests a second");
        svg.upright(34.0, zero - USERS_HEIGHT / 2.0, "blue");
        svg.upright(34.0, zero + USERS_HEIGHT / 2.0, "green");
        for slot in &self.act.slots {
            self.bars(svg, slot, zero, scale);
        }
        svg.line((LEFT, zero), (RIGHT, zero), "axis");
    }

    /// Blue's upwards and green's downwards, what failed at the outer end.
    fn bars(&self, svg: &mut Svg, slot: &Slot, zero: f64, scale: f64) {
        let x = self.x(slot.at) + 0.75;
        let width = (self.x(slot.at + SLOT) - self.x(slot.at) - 1.5).max(1.0);
        for (tally, class, direction) in [(slot.blue, "blue", -1.0), (slot.green, "green", 1.0)] {
            let all = per_second(tally.requests) * scale;
            let good = per_second(tally.requests - tally.errors) * scale;
            for (from, to, class) in [(0.0, good, class), (good, all, "failed")] {
                if to > from {
                    let top = if direction < 0.0 {
                        zero - to
                    } else {
                        zero + from
                    };
                    svg.rect((x, top, width, to - from), class, "");
                }
            }
        }
    }

    fn time(&self, svg: &mut Svg) {
        let y = self.top + AXIS;
        svg.line((LEFT, y), (RIGHT, y), "axis");
        let step = [1.0, 2.0, 5.0, 10.0, 20.0]
            .into_iter()
            .find(|step| (self.to - self.from) / step <= 16.0)
            .unwrap_or(60.0);
        let mut at = (self.from / step).ceil() * step;
        while at <= self.to {
            let x = self.x(at);
            svg.line((x, y), (x, y + 5.0), "axis");
            svg.middle_text(x, y + 19.0, "", &format!("{at:.0}"));
            at += step;
        }
        svg.middle_text(
            f64::midpoint(LEFT, RIGHT),
            y + 36.0,
            "",
            "seconds since the execution began",
        );
    }

    /// The alarm's label ends at its line and the other begins at its own, for they are close.
    fn marks(&self, svg: &mut Svg) {
        let (top, bottom) = (self.top + MARKS - 12.0, self.top + AXIS);
        let y = self.top + MARKS;
        if let Some(back) = self.act.back {
            let x = self.x(back);
            svg.line((x, top), (x, bottom), "back");
            svg.text(
                x + 6.0,
                y,
                "of-back",
                &format!("all on blue at {back:.2} s"),
            );
        }
        if let Some(alarm) = self.act.alarm {
            let x = self.x(alarm);
            svg.line((x, top), (x, bottom), "alarm");
            svg.end_text(x - 6.0, y, "of-alarm", &format!("alarm at {alarm:.2} s"));
        }
    }
}

/// Requests of a slot, by the second.
#[allow(clippy::cast_precision_loss)] // A few.
fn per_second(requests: u64) -> f64 {
    requests as f64 / SLOT
}

/// A round number, of which three reach `most`.
fn step_for(most: f64) -> f64 {
    [1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 500.0]
        .into_iter()
        .find(|step| step * 3.0 >= most)
        .unwrap_or(most / 3.0)
}

#[allow(clippy::cast_precision_loss)] // A few.
fn width_of(text: &str) -> f64 {
    CHARACTER * text.chars().count() as f64
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn points(corners: &[(f64, f64)]) -> String {
    let points: Vec<_> = corners
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    points.join(" ")
}

/// The picture's text. Writing to a String cannot fail.
#[derive(Debug, Default)]
struct Svg(String);

impl Svg {
    fn open(&mut self, height: f64) {
        let _ = writeln!(
            self.0,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {height:.0}" width="{WIDTH:.0}" height="{height:.0}" role="img" aria-labelledby="t">
<title id="t">Two releases by Crossfade: green's weight and what users met, over time</title>
<style>{STYLE}</style>
<rect class="paper" x="0" y="0" width="{WIDTH:.0}" height="{height:.0}"/>"#
        );
    }

    fn close(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn header(&mut self) {
        self.text(LEFT, 38.0, "head", "Two releases under live traffic");
        let mut x = LEFT;
        for (class, what) in [
            ("blue", "served by blue"),
            ("green", "served by green"),
            ("failed", "failed, or rollback"),
            ("bake", "bake (a wait)"),
            ("task", "other states"),
        ] {
            self.rect((x, 56.0, 13.0, 13.0), class, "");
            self.text(x + 19.0, 67.0, "", what);
            x += 19.0 + width_of(what) + 24.0;
        }
    }

    fn rect(&mut self, (x, y, width, height): (f64, f64, f64, f64), class: &str, title: &str) {
        let _ = write!(
            self.0,
            r#"<rect class="{class}" x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}""#
        );
        let _ = if title.is_empty() {
            writeln!(self.0, "/>")
        } else {
            writeln!(self.0, "><title>{}</title></rect>", escaped(title))
        };
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = writeln!(
            self.0,
            r#"<line class="{class}" x1="{x1:.2}" y1="{y1:.2}" x2="{x2:.2}" y2="{y2:.2}"/>"#
        );
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.words(x, y, class, "start", "", text);
    }

    fn end_text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.words(x, y, class, "end", "", text);
    }

    fn middle_text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.words(x, y, class, "middle", "", text);
    }

    /// Read from below.
    fn upright(&mut self, x: f64, y: f64, text: &str) {
        let turned = format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#);
        self.words(x, y, "", "middle", &turned, text);
    }

    fn words(&mut self, x: f64, y: f64, class: &str, anchor: &str, more: &str, text: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(r#" class="{class}""#)
        };
        let _ = writeln!(
            self.0,
            r#"<text{class} x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"{more}>{}</text>"#,
            escaped(text)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crossfade_tests::traffic::Tally;

    use super::*;
    use crate::act::Visit;

    fn act(took: f64, alarm: Option<f64>) -> Act {
        let mut at = -2.0;
        let mut slots = Vec::new();
        while at < took + 3.0 {
            let blue = Tally {
                requests: 24,
                errors: 0,
            };
            let green = if at < 1.0 {
                Tally::default()
            } else {
                Tally {
                    requests: 12,
                    errors: 3,
                }
            };
            slots.push(Slot { at, blue, green });
            at += SLOT;
        }
        Act {
            title: "a version".to_owned(),
            began: 1000.0,
            blue: "1".to_owned(),
            green: "2 <&>".to_owned(),
            visits: vec![
                Visit {
                    state: "DeployGreen".to_owned(),
                    from: 0.0,
                    to: 1.0,
                },
                Visit {
                    state: "Bake".to_owned(),
                    from: 1.0,
                    to: took,
                },
                Visit {
                    state: "Decide".to_owned(),
                    from: took,
                    to: took,
                },
            ],
            weights: vec![(0.0, 0.0), (1.0, 10.0), (took / 2.0, 100.0)],
            slots,
            alarm,
            back: alarm.map(|at| at + 0.1),
            took,
            by_version: BTreeMap::new(),
            failed: 0,
            told: String::new(),
        }
    }

    /// Everything is within the picture, and every element is closed.
    #[test]
    fn nothing_falls_out_of_the_picture() {
        for took in [0.5, 10.0, 60.0] {
            let svg = draw(&[act(took, None), act(took, Some(took / 2.0))]);
            let height = HEADER + 2.0 * PANEL + FOOTER;
            for attribute in ["x", "x1", "x2", "y", "y1", "y2"] {
                let most = if attribute.starts_with('x') {
                    WIDTH
                } else {
                    height
                };
                for part in svg.split(&format!(" {attribute}=\"")).skip(1) {
                    let value: f64 = part.split('"').next().unwrap().parse().unwrap();
                    assert!(
                        (0.0..=most).contains(&value),
                        "{attribute}={value} at {took}"
                    );
                }
            }
            for element in ["svg", "text", "title", "style"] {
                let count = |tag: String| svg.matches(&tag).count();
                let opened = count(format!("<{element} ")) + count(format!("<{element}>"));
                assert_eq!(opened, count(format!("</{element}>")), "{element}");
            }
            assert!(!svg.contains("2 <&>") && !svg.contains("NaN") && !svg.contains("width=\"-"));
        }
    }

    #[test]
    fn three_steps_of_the_grid_are_enough() {
        for (most, step) in [
            (1.0, 1.0),
            (50.0, 20.0),
            (60.0, 20.0),
            (61.0, 25.0),
            (9000.0, 3000.0),
        ] {
            assert!((step_for(most) - step).abs() < 0.01, "{most}");
        }
    }
}
