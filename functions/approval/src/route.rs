//! A request of the page, and what is done about it: pure.

use crossfade::{
    domain::{
        Timestamp,
        analysis::counts::Minute,
        approval::{Answer, Question},
        page_link::{Page, PageKey, SignedPage},
        record::Record,
    },
    error::Error,
};
use maud::Markup;
use serde_json::Value;

use crate::{
    form::{Form, Mistakes},
    http::{Request, Response, Wanted, answer},
    link::{Link, Open, Way, open},
    page::{self, Answering},
    story::Story,
    view::View,
};

/// A parsed request.
pub(crate) struct Visit {
    wanted: Wanted,
    /// When it came.
    pub(crate) now: Timestamp,
}

/// What is done about it, with what the ledger has.
pub(crate) enum Decided<'a> {
    /// The link opens nothing.
    Gone,
    /// What is asked is shown, and what is to be put right.
    Show(Shown<'a>),
    /// The answer is handed on.
    Take(Taken<'a>),
}

/// The page that asks.
pub(crate) struct Shown<'a> {
    pub(crate) record: &'a Record,
    link: &'a Link,
    /// The form as it was sent, and what is wrong with it.
    sent: Option<(&'a Form, Mistakes)>,
    now: Timestamp,
}

/// An answer that can be one.
pub(crate) struct Taken<'a> {
    pub(crate) record: &'a Record,
    pub(crate) asked: &'a Question,
    pub(crate) link: &'a Link,
    /// What ends the wait.
    pub(crate) token: &'a str,
    pub(crate) answer: Answer,
    now: Timestamp,
}

impl Visit {
    /// Reads a request of the function's URL.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is none.
    pub(crate) fn parse(payload: Value) -> Result<Self, Error> {
        let request: Request = serde_json::from_value(payload).map_err(|_| {
            Error::InvalidRequest("this function answers requests of its URL only".into())
        })?;
        let now = Timestamp::from_timestamp_millis(request.context.time_epoch)
            .ok_or_else(|| Error::InvalidRequest("the request has no time".into()))?;
        Ok(Self {
            wanted: Wanted::of(&request),
            now,
        })
    }

    /// The link to a decision that it came by, where it can be one.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.wanted {
            Wanted::Look {
                way: Some(Way::Decision(link)),
                ..
            } => Some(link),
            Wanted::Answer(answer) => answer.as_ref().map(|(link, _)| link),
            Wanted::Look { .. } | Wanted::Other => None,
        }
    }

    /// The signed link that it came by, where it can be one.
    pub(crate) fn signed(&self) -> Option<&SignedPage> {
        match &self.wanted {
            Wanted::Look {
                way: Some(Way::Page(signed)),
                ..
            } => Some(signed),
            Wanted::Look { .. } | Wanted::Answer(_) | Wanted::Other => None,
        }
    }

    /// Whether only the head is wanted.
    pub(crate) fn head(&self) -> bool {
        matches!(self.wanted, Wanted::Look { head: true, .. })
    }

    /// What is said without a link.
    pub(crate) fn refusal(&self) -> (u16, Markup) {
        match self.wanted {
            Wanted::Look { .. } | Wanted::Answer(_) => (403, page::gone()),
            Wanted::Other => (405, page::gone()),
        }
    }

    /// What is done, where `record` is the row of the link's release.
    pub(crate) fn decide<'a>(&'a self, link: &'a Link, record: Option<&'a Record>) -> Decided<'a> {
        let (Some(record), Some(Open { asked, token })) = (record, open(record, link, self.now))
        else {
            return Decided::Gone;
        };
        let now = self.now;
        let show = |sent| {
            Decided::Show(Shown {
                record,
                link,
                sent,
                now,
            })
        };
        match &self.wanted {
            Wanted::Answer(Some((_, form))) => match form.check(asked.kind) {
                Ok(answer) => Decided::Take(Taken {
                    record,
                    asked,
                    link,
                    token,
                    answer,
                    now,
                }),
                Err(mistakes) => show(Some((form, mistakes))),
            },
            Wanted::Look { .. } => show(None),
            Wanted::Answer(None) | Wanted::Other => Decided::Gone,
        }
    }
}

impl Shown<'_> {
    /// The page. `series` is none where the counts could not be read.
    pub(crate) fn page(&self, story: &Story, series: Option<&[Vec<Minute>]>) -> (u16, Markup) {
        let view = View::of(self.record, story, series, self.now);
        let empty = Form::default();
        let (status, form, mistakes) = match &self.sent {
            None => (200, &empty, None),
            Some((form, mistakes)) => (422, *form, Some(mistakes)),
        };
        let answering = Answering {
            link: self.link,
            form,
            mistakes,
        };
        (status, page::release(&view, Some(&answering)))
    }
}

impl Taken<'_> {
    /// What is said once Step Functions has taken it.
    pub(crate) fn page(&self) -> (u16, Markup) {
        let application = self.record.application.to_string();
        let means = self.asked.meaning(self.answer.decision);
        let release = &self.link.release;
        (
            200,
            page::taken(&application, release, &self.answer, &means, self.now),
        )
    }
}

/// The page of a signed link to a release, where `record` is its row.
pub(crate) fn shown(
    signed: &SignedPage,
    record: Option<&Record>,
    story: &Story,
    series: Option<&[Vec<Minute>]>,
    now: Timestamp,
) -> (u16, Markup) {
    let Page::Release {
        application,
        release,
    } = &signed.page
    else {
        return (403, page::gone());
    };
    match record {
        Some(record) if record.application == *application => (
            200,
            page::release(&View::of(record, story, series, now), None),
        ),
        Some(_) => (403, page::gone()),
        None => {
            let outcome = story.outcome.as_ref();
            let said = outcome.map(|outcome| outcome.reason.as_str());
            (200, page::unknown(application.as_ref(), release, said))
        }
    }
}

/// What a request is answered with when `record` is the row of its release, and Step Functions takes
/// the answer: the handler without its calls.
///
/// # Errors
/// [`Error::InvalidRequest`] when `payload` is no request of the function's URL.
pub fn rehearse(
    payload: Value,
    record: Option<&Record>,
    key: &PageKey,
    series: Option<&[Vec<Minute>]>,
) -> Result<Response, Error> {
    let visit = Visit::parse(payload)?;
    let story = Story::default();
    if let Some(signed) = visit.signed() {
        let (status, page) = if key.opens(signed, visit.now) {
            shown(signed, record, &story, series, visit.now)
        } else {
            visit.refusal()
        };
        return Ok(answer(status, page, visit.head()));
    }
    let (status, page) = match visit.link().map(|link| visit.decide(link, record)) {
        None => visit.refusal(),
        Some(Decided::Gone) => (403, page::gone()),
        Some(Decided::Show(shown)) => shown.page(&story, series),
        Some(Decided::Take(taken)) => taken.page(),
    };
    Ok(answer(status, page, visit.head()))
}
