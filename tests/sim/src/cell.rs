//! The cells of the table: a kind of world, its rates, and how bad green is.

/// What is the matter with the world, beside green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Steady,
    /// Clients send bad requests for a minute, to both versions alike.
    Bursts,
    /// Half of the errors come from environments that fail again and again.
    Sticky,
    /// For five minutes while both versions have traffic, half to all requests fail on both.
    Outage,
    /// Traffic grows tenfold over the release.
    Ramp,
    /// Green is slow rather than failing.
    Slow,
    /// Metrics arrive two minutes late.
    Late,
    /// An outage that begins when green has all traffic, or all but the control group's.
    OutageLast,
    /// A bad hour in blue's past day.
    Incident,
    /// Rate and error rate follow the hour of day.
    Rhythm,
    /// Failures within a minute that stick to one version.
    Clumps,
    /// The same, once in an hour or three.
    RareClumps,
    /// The level rises for both while green has all traffic, or all but the control group's.
    Rise,
    /// The level is higher for both than it ever was, from the release's first minute on.
    Higher,
    /// The level drifts for both during the release.
    Drift,
    /// Environments that fail all or much of what they get for minutes.
    Spells,
    /// A week with another level on its weekend.
    Weekend,
    /// Environments that fail their first requests.
    Cold,
    /// A shared cache that warms after the release.
    Cache,
    /// A dependency that comes and goes.
    Flapping,
    /// Failed requests that come again.
    Retries,
    /// A cron at the full minute.
    Cron,
    /// One client that is a large part of the traffic.
    Whale,
    /// Messages that no version can serve.
    Poison,
    /// Batch windows.
    Batch,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursts => "bursts",
            Self::Sticky => "sticky",
            Self::Outage => "outage",
            Self::Ramp => "ramp",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::OutageLast => "last",
            Self::Incident => "incident",
            Self::Rhythm => "rhythm",
            Self::Clumps => "clumps",
            Self::RareClumps => "rare",
            Self::Rise => "rise",
            Self::Higher => "higher",
            Self::Drift => "drift",
            Self::Spells => "spells",
            Self::Weekend => "weekend",
            Self::Cold => "cold",
            Self::Cache => "cache",
            Self::Flapping => "flapping",
            Self::Retries => "retries",
            Self::Cron => "cron",
            Self::Whale => "whale",
            Self::Poison => "poison",
            Self::Batch => "batch",
        }
    }

    /// Whether the only thing that differs from [`Kind::Steady`] is blue's past.
    pub fn is_in_the_past(self) -> bool {
        matches!(self, Self::Incident | Self::Rhythm | Self::Weekend)
    }
}

/// The kinds of which each run draws its parameters anew, blue's error rate among them.
pub const DRAWN: [Kind; 19] = [
    Kind::Steady,
    Kind::OutageLast,
    Kind::Incident,
    Kind::Rhythm,
    Kind::Weekend,
    Kind::Clumps,
    Kind::RareClumps,
    Kind::Spells,
    Kind::Rise,
    Kind::Higher,
    Kind::Drift,
    Kind::Cold,
    Kind::Cache,
    Kind::Flapping,
    Kind::Retries,
    Kind::Cron,
    Kind::Whale,
    Kind::Poison,
    Kind::Batch,
];

/// How green is, beside blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Green {
    /// No worse.
    Healthy,
    /// So many times blue's share of hits.
    Times(f64),
    /// This share of hits.
    Rate(f64),
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub kind: Kind,
    /// Requests a minute, both versions together.
    pub rate: f64,
    /// Share of requests that are hits (failed, or slow in [`Kind::Slow`]) on blue; none: drawn by the run.
    pub base: Option<f64>,
    pub green: Green,
}

impl Cell {
    pub fn healthy(&self) -> bool {
        self.green == Green::Healthy
    }

    /// Minutes after which a minute's counts can be read.
    pub fn lag(&self) -> usize {
        if self.kind == Kind::Late { 2 } else { 0 }
    }

    /// Whether a shift falls within a minute, which then is not judged.
    pub fn has_mixed_minutes(&self) -> bool {
        self.kind == Kind::Cold
    }

    /// Both rates, as a table has them.
    pub fn rates(&self) -> (String, String) {
        let percent = |share: f64| format!("{}", 100.0 * share);
        let blue = self.base.map_or_else(|| "drawn".to_owned(), percent);
        let green = match self.green {
            Green::Healthy => blue.clone(),
            Green::Times(times) => format!("x{times}"),
            Green::Rate(rate) => percent(rate),
        };
        (blue, green)
    }
}

/// Worlds of fixed rates, each healthy cell before the bad ones that it is matched with.
pub fn fixed() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |kind, rate, base: f64, greens: &[f64]| {
        let greens = greens.iter().map(|green| Green::Rate(*green));
        cells.extend(
            std::iter::once(Green::Healthy)
                .chain(greens)
                .map(|green| Cell {
                    kind,
                    rate,
                    base: Some(base),
                    green,
                }),
        );
    };
    for base in [0.0, 0.001, 0.01, 0.03] {
        let greens = [0.005, 0.01, 0.02, 0.05, 0.2, 1.0];
        let worse: Vec<f64> = greens
            .into_iter()
            .filter(|green| *green >= 1.5 * base)
            .collect();
        for rate in [10.0, 100.0, 1000.0, 10_000.0, 100_000.0] {
            add(Kind::Steady, rate, base, &worse);
        }
    }
    for kind in [
        Kind::Bursts,
        Kind::Sticky,
        Kind::Outage,
        Kind::Ramp,
        Kind::Slow,
        Kind::Late,
    ] {
        for base in [0.001, 0.01] {
            for rate in [100.0, 1000.0, 10_000.0] {
                add(kind, rate, base, &[0.05, 0.2, 1.0]);
            }
        }
    }
    cells
}

/// Steady worlds of few requests, for the power there is with so little.
pub fn few() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in [10.0, 30.0, 100.0] {
        for base in [0.001, 0.01] {
            cells.extend([0.05, 0.2].map(|green| Cell {
                kind: Kind::Steady,
                rate,
                base: Some(base),
                green: Green::Rate(green),
            }));
        }
    }
    cells
}

/// Worlds that are drawn.
pub fn drawn(kinds: &[Kind], rates: &[f64]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for kind in kinds {
        for rate in rates {
            let greens = [
                Green::Healthy,
                Green::Times(5.0),
                Green::Rate(0.2),
                Green::Rate(1.0),
            ];
            cells.extend(greens.map(|green| Cell {
                kind: *kind,
                rate: *rate,
                base: None,
                green,
            }));
        }
    }
    cells
}
