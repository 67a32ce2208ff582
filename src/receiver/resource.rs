//! Which resource an item is about.

use super::fields::Fields;

/// The id of an item's resource: `resourceData.id`, else the last segment of `resource`.
pub fn id(fields: &Fields<'_>) -> Option<String> {
    let data = fields.all("resourceData").next().and_then(Fields::parse);
    let id = data.and_then(|data| data.text("id")).filter(|id| !id.is_empty());
    id.or_else(|| last_segment(&fields.text("resource")?))
}

// Graph writes both `users/8f0c` and `users('8f0c')`. Within quotes a quote is doubled, and a slash separates nothing.
fn last_segment(resource: &str) -> Option<String> {
    let quoted = resource.strip_suffix("')").and_then(|path| path.rsplit_once("('"));
    let id = match quoted {
        Some((_, id)) => id.replace("''", "'"),
        None => resource.rsplit('/').next()?.to_owned(),
    };
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn finds_the_id_wherever_graph_writes_it() {
        for (item, expected) in [
            (r#"{"resource":"users/8f0c","resourceData":{"id":"1"}}"#, Some("1")),
            (r#"{"resourceData":{"@odata.id":"x","id":"a\u0041"}}"#, Some("aA")),
            (r#"{"resource":"users/8f0c"}"#, Some("8f0c")),
            (r#"{"resource":"users('8f0c')"}"#, Some("8f0c")),
            (r#"{"resource":"chats('19:a@thread.v2')/messages('16')"}"#, Some("16")),
            (r#"{"resource":"teams('t')/channels"}"#, Some("channels")),
            (r#"{"resource":"users('o''b')"}"#, Some("o'b")),
            (r#"{"resource":"users('a/b=')"}"#, Some("a/b=")),
            (r#"{"resource":"users/8f0c","resourceData":null}"#, Some("8f0c")),
            (r#"{"resource":"users/8f0c","resourceData":{"id":""}}"#, Some("8f0c")),
            (r#"{"resource":"users/8f0c","resourceData":{"id":7}}"#, Some("8f0c")),
            (r#"{"resource":"users/8f0c","resourceData":[1]}"#, Some("8f0c")),
            (r#"{"resource":"8f0c"}"#, Some("8f0c")),
            (r#"{"resource":"users/"}"#, None),
            (r#"{"resource":"users('')"}"#, None),
            (r#"{"resource":""}"#, None),
            (r#"{"resource":7}"#, None),
            ("{}", None),
        ] {
            let item = RawValue::from_string(item.to_owned()).unwrap();
            let fields = Fields::parse(&item).unwrap();
            assert_eq!(id(&fields).as_deref(), expected, "{item}");
        }
    }
}
