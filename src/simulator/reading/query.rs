//! The query of a request, read strictly: an option that is not served is refused.

use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;

use crate::simulator::clock::parse_internet_date_time;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::families::{Family, Filters, Paging, Served};

/// Most ids in the filter of a delta query.
const MOST_IDS: usize = 50;

/// What is asked for, as it also travels in the tokens of links.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Properties to print; all if empty.
    pub select: Vec<String>,
    /// As it was given, for links.
    pub filter: Option<String>,
    /// Dates that objects are compared with.
    pub bounds: Vec<Bound>,
    /// The only objects that are wanted.
    pub ids: Vec<String>,
    /// Objects per page.
    pub size: Option<usize>,
    /// Start and end of a calendar view.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// `{property} ge {date}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    property: String,
    operator: String,
    date: Timestamp,
}

/// The query of a list or a delta call: options, and the token of a link.
#[derive(Debug, Default)]
pub struct Query {
    /// The options.
    pub options: Options,
    /// `$skiptoken`.
    pub skip: Option<String>,
    /// `$deltatoken`, or `token` of a drive or a list.
    pub delta: Option<String>,
    /// Whether anything but a token was given.
    pub has_options: bool,
}

impl Options {
    /// Whether an object passes the filters.
    pub fn wants(&self, object: &Value) -> bool {
        self.bounds.iter().all(|bound| bound.holds(object))
            && (self.ids.is_empty() || self.ids.iter().any(|id| object["id"] == id.as_str()))
            && self.window.is_none_or(|window| overlaps(object, window))
    }
}

impl Bound {
    /// The property that is compared.
    pub fn property(&self) -> &str {
        &self.property
    }

    fn holds(&self, object: &Value) -> bool {
        let date = object[&self.property].as_str().and_then(parse_internet_date_time);
        date.is_some_and(|at| match self.operator.as_str() {
            "lt" => at < self.date,
            "le" => at <= self.date,
            "gt" => at > self.date,
            _ => at >= self.date,
        })
    }
}

/// Reads the query of a single object. `$expand` is taken and gives nothing.
pub fn read_item(query: &str) -> GraphResult<Options> {
    let mut options = Options::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "$select" => options.select = names(&value),
            "$expand" => {}
            other => return Err(refused(other)),
        }
    }
    Ok(options)
}

/// Reads the query of a list.
pub fn read_list(query: &str, headers: &HeaderMap, paging: &Paging) -> GraphResult<Query> {
    let mut read = Query::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "$skiptoken" => read.skip = Some(value.into_owned()),
            "$expand" => {}
            other => common(&mut read.options, other, &value, paging)?,
        }
    }
    if let Some(filter) = &read.options.filter {
        read.options.bounds = bounds(filter, paging.filters)?;
    }
    prefer(&mut read.options, headers)?;
    Ok(read)
}

/// Reads the query of a delta call.
pub fn read_delta(query: &str, headers: &HeaderMap, served: &Served, paging: &Paging) -> GraphResult<Query> {
    let mut read = Query::default();
    let is_drive = matches!(served.family, Family::Drive | Family::List);
    let is_calendar = served.path.ends_with("calendarView");
    let (mut start, mut end) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.to_ascii_lowercase().as_str() {
            "token" if is_drive => read.delta = Some(value.into_owned()),
            "$skiptoken" if !is_drive => read.skip = Some(value.into_owned()),
            "$deltatoken" if !is_drive => read.delta = Some(value.into_owned()),
            "startdatetime" if is_calendar => start = Some(date("startDateTime", &value)?),
            "enddatetime" if is_calendar => end = Some(date("endDateTime", &value)?),
            _ => {
                read.has_options = true;
                common(&mut read.options, &name, &value, paging)?;
            }
        }
    }
    read.has_options |= start.is_some() || end.is_some();
    read.options.window = start.zip(end);
    if let Some(filter) = &read.options.filter {
        if served.family == Family::Directory {
            read.options.ids = ids(filter)?;
        } else {
            read.options.bounds = bounds(filter, paging.filters)?;
        }
    }
    prefer(&mut read.options, headers)?;
    Ok(read)
}

fn common(options: &mut Options, name: &str, value: &str, paging: &Paging) -> GraphResult<()> {
    match name {
        "$select" if paging.select => options.select = names(value),
        "$filter" => options.filter = Some(value.into()),
        "$top" if paging.largest > 0 => {
            let top = value
                .parse()
                .ok()
                .filter(|top| (1..=paging.largest).contains(top))
                .ok_or_else(|| {
                    let text = format!("Invalid value '{value}' for $top: it must be 1 to {}.", paging.largest);
                    GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text)
                })?;
            options.size = Some(top);
        }
        other => return Err(refused(other)),
    }
    Ok(())
}

/// `Prefer: odata.maxpagesize=n`; other preferences may be ignored, and are.
fn prefer(options: &mut Options, headers: &HeaderMap) -> GraphResult<()> {
    let given = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|one| one.trim().strip_prefix("odata.maxpagesize="));
    if let Some(given) = given {
        let size: usize = given.parse().map_err(|_| refused("odata.maxpagesize"))?;
        options.size = options.size.or(Some(size.max(1)));
    }
    Ok(())
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_string()).collect()
}

/// `startDateTime ge X and startDateTime lt Y`
fn bounds(filter: &str, allowed: Filters) -> GraphResult<Vec<Bound>> {
    let term = |term: &str| {
        let words: Vec<&str> = term.split_whitespace().collect();
        let [property, operator, date] = words[..] else {
            return None;
        };
        let (_, operators) = allowed.iter().find(|(name, _)| *name == property)?;
        operators.contains(&operator).then_some(())?;
        Some(Bound {
            property: property.into(),
            operator: operator.into(),
            date: parse_internet_date_time(date)?,
        })
    };
    let terms = filter.split(" and ");
    terms.map(|one| term(one).ok_or_else(|| refused("$filter"))).collect()
}

/// `id eq 'x' or id eq 'y'`
fn ids(filter: &str) -> GraphResult<Vec<String>> {
    let id = |term: &str| {
        let value = term.trim().strip_prefix("id")?.trim_start().strip_prefix("eq")?.trim();
        let id = value.strip_prefix('\'')?.strip_suffix('\'')?;
        (!id.contains('\'')).then(|| id.to_string())
    };
    let terms = filter.split(" or ");
    let ids: Vec<String> = terms
        .map(|term| id(term).ok_or_else(|| refused("$filter")))
        .collect::<GraphResult<_>>()?;
    if ids.len() > MOST_IDS {
        return Err(refused("$filter"));
    }
    Ok(ids)
}

fn date(name: &str, value: &str) -> GraphResult<Timestamp> {
    parse_internet_date_time(value).ok_or_else(|| refused(name))
}

/// Whether an event is within a calendar view at least in part.
fn overlaps(event: &Value, (from, to): (Timestamp, Timestamp)) -> bool {
    // Graph prints these without a zone; all times here are UTC.
    let time = |name: &str| {
        let text = event[name]["dateTime"].as_str()?;
        let text = text.trim_end_matches('Z');
        parse_internet_date_time(&format!("{text}Z"))
    };
    match (time("start"), time("end")) {
        (Some(start), Some(end)) => start < to && end > from,
        _ => false,
    }
}

/// 400 for an option that is not served, or has a value that cannot be read.
pub fn refused(name: &str) -> GraphError {
    GraphError::new(
        StatusCode::BAD_REQUEST,
        "BadRequest",
        format!("The query option '{name}' is not allowed."),
    )
}
