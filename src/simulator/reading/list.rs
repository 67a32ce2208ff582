//! Lists, in pages, with filters on dates.

use axum::Json;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::query::{self, Options};
use super::{Asked, members};
use crate::simulator::clock::parse_internet_date_time;
use crate::simulator::entra::own_url;
use crate::simulator::errors::GraphResult;
use crate::simulator::state::Shared;

/// `GET {collection}`
pub fn answer(shared: &Shared, asked: &Asked) -> GraphResult<Json<Value>> {
    let caller = asked.admit(shared)?;
    let Some(paging) = &asked.served.list else {
        return Err(query::refused("list"));
    };
    let read = query::read_list(&asked.query, &asked.headers, paging)?;
    let skip: usize = read
        .skip
        .as_deref()
        .map_or(Ok(0), |skip| skip.parse().map_err(|_| query::refused("$skiptoken")))?;
    let size = read.options.size.unwrap_or(paging.usual);
    let base = own_url(shared, &asked.headers);

    let state = shared.state();
    let mut found = if asked.served.path == members::PATH {
        members::of(&state.objects, &caller.tenant, &asked.path)?
    } else {
        state.objects.live(&caller.tenant, &asked.view)
    };
    found.retain(|object| read.options.wants(object));
    let property = read.options.bounds.first().map(query::Bound::property);
    let property = property.or_else(|| paging.filters.first().map(|(name, _)| *name));
    if let Some(property) = property {
        found.sort_by_cached_key(|object| object[property].as_str().and_then(parse_internet_date_time));
    }
    let page = found.iter().skip(skip).take(size);
    let value: Vec<Value> = page.map(|object| asked.print(object, &read.options.select)).collect();
    let mut body = json!({
        "@odata.context": format!("{base}/v1.0/$metadata#{}", asked.path),
        "value": value,
    });
    if skip + size < found.len() {
        let options = with_options(&read.options, paging.largest > 0);
        let link = format!(
            "{base}/v1.0/{}?{options}$skiptoken={}",
            encoded(&asked.path),
            skip + size
        );
        body["@odata.nextLink"] = json!(link);
    }
    Ok(Json(body))
}

/// What was asked for, as it is repeated in the next link.
pub fn with_options(options: &Options, has_top: bool) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let select = Some(options.select.join(",")).filter(|select| !select.is_empty());
    let top = options.size.filter(|_| has_top).map(|size| size.to_string());
    let given = [("$filter", options.filter.clone()), ("$select", select), ("$top", top)];
    given
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}&", encode(&value?))))
        .collect()
}

/// A path as it stands in a link: ids may hold what a URL may not.
pub fn encoded(path: &str) -> String {
    let segments = path.split('/');
    let encoded: Vec<String> = segments
        .map(|segment| {
            form_urlencoded::byte_serialize(segment.as_bytes())
                .collect::<String>()
                .replace('+', "%20")
        })
        .collect();
    encoded.join("/")
}
