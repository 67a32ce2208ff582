//! An explanation as text for people.

use std::fmt::Write;

use jiff::Timestamp;

use crate::api::presence_report::{EntryReport, Layer, LayerReport, PbxSide, TeamsSide, UserReport, WriteReport};

/// What stands where nothing is.
const NOTHING: &str = "-";

/// The whole explanation, with a line end.
pub fn render(report: &UserReport) -> String {
    let mut lines = vec![format!(
        "{}: {}",
        if report.synced { "In step" } else { "Not in step" },
        report.why
    )];
    lines.push(String::new());
    lines.extend(
        report
            .teams
            .as_ref()
            .map_or_else(|| vec!["Teams     nobody".to_owned()], teams),
    );
    lines.extend(
        report
            .pbx
            .as_ref()
            .map_or_else(|| vec!["PBX       nobody".to_owned()], pbx),
    );
    if !report.layers.is_empty() {
        lines.push(String::new());
        lines.extend(layers(&report.layers));
    }
    lines.push(String::new());
    lines.extend(writes(&report.writes));
    if let Some(at) = report.look_again {
        lines.push(format!("The worker looks again at {at}."));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", harmless(line).trim_end());
        text
    })
}

/// Names and notes are other people's words: nothing in them may command a terminal.
fn harmless(line: &str) -> String {
    line.chars()
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect()
}

fn teams(side: &TeamsSide) -> Vec<String> {
    let names = [&side.display_name, &side.user_principal_name];
    let names: Vec<&str> = names
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain([side.id.as_str()])
        .collect();
    let presence = match (&side.availability, &side.activity) {
        (Some(availability), Some(activity)) => format!("{availability}/{activity}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "not read yet".to_owned(),
    };
    let out = if side.out_of_office { ", out of office" } else { "" };
    let read = side.read.map_or_else(String::new, |at| format!(", read at {at}"));
    let mut lines = vec![
        format!("Teams     {}", names.join(", ")),
        format!("  says    {presence}{out}{read}"),
    ];
    if let Some(licensed) = side.licensed {
        let licence = if licensed {
            "a Teams plan is in force"
        } else {
            "no Teams plan is in force"
        };
        lines.push(format!("  licence {licence}"));
    }
    lines
}

fn pbx(side: &PbxSide) -> Vec<String> {
    let h323 = side.h323.as_ref().map(|name| format!("h323 {name}"));
    let extension = side.extension.as_ref().map(|number| format!("extension {number}"));
    let names = [side.cn.clone(), h323, extension, Some(format!("id {}", side.id))];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let mut lines = vec![
        format!("PBX       {}", names.join(", ")),
        format!("  line    {}", side.line),
    ];
    match &side.entries {
        None => lines.push("  entries unknown".to_owned()),
        Some(entries) if entries.is_empty() => lines.push("  entries none".to_owned()),
        Some(entries) => {
            let shown = entries.iter().map(entry).enumerate();
            lines.extend(
                shown.map(|(number, text)| format!("  {}{text}", if number == 0 { "entries " } else { "        " })),
            );
        }
    }
    lines
}

fn entry(entry: &EntryReport) -> String {
    let note = if entry.note.is_empty() {
        String::new()
    } else {
        format!(", \"{}\"", entry.note)
    };
    let since = entry.since.map_or_else(String::new, |at| format!(", since {at}"));
    format!("{}: {}{note}{since}", entry.origin, entry.activity)
}

fn layers(layers: &[LayerReport]) -> Vec<String> {
    let rows: Vec<[String; 3]> = layers
        .iter()
        .map(|layer| {
            let name = match layer.layer {
                Layer::Line => "line",
                Layer::Chosen => "chosen",
                Layer::Derived => "derived",
            };
            [name.to_owned(), held(layer), layer.why.clone()]
        })
        .collect();
    let head = ["LAYER", "HELD", "WHY"].map(str::to_owned);
    let table: Vec<&[String; 3]> = std::iter::once(&head).chain(&rows).collect();
    let width = |column: usize| {
        let cells = table.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    table
        .iter()
        .map(|[layer, held, why]| format!("{layer:first$}  {held:second$}  {why}"))
        .collect()
}

fn held(layer: &LayerReport) -> String {
    let until = |at: Timestamp| format!(" until {at}");
    layer.held.as_ref().map_or_else(
        || NOTHING.to_owned(),
        |held| format!("{held}{}", layer.until.map(until).unwrap_or_default()),
    )
}

fn writes(writes: &[WriteReport]) -> Vec<String> {
    if writes.is_empty() {
        return vec!["The worker has written nothing for this person since it began.".to_owned()];
    }
    let shown = writes
        .iter()
        .map(|write| format!("  {}  {}: {}", write.at, write.what, write.result));
    std::iter::once("Last writes".to_owned()).chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(json: serde_json::Value) -> UserReport {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_person_in_a_call() {
        let report = report(json!({
            "synced": true, "why": "h323 anna is userPrincipalName anna@contoso.example without its domain",
            "teams": {
                "id": "8f0c", "userPrincipalName": "anna@contoso.example", "displayName": "Anna Berg",
                "availability": "Busy", "activity": "InACall", "outOfOffice": false, "read": "2026-11-27T10:00:00Z", "licensed": true,
            },
            "pbx": {
                "id": "g1", "cn": "Anna Berg", "h323": "anna", "extension": "1042", "line": "Connected",
                "entries": [
                    { "origin": "Ours", "activity": "busy", "note": "" },
                    { "origin": "User", "activity": "away", "note": "back at 3", "since": "2026-11-27T09:00:00Z" },
                ],
            },
            "layers": [
                { "layer": "Line", "held": "Busy/InACall", "until": "2026-11-27T10:15:00Z", "why": "a call is connected" },
                { "layer": "Chosen", "why": "the PBX says nothing that was chosen" },
            ],
            "writes": [{ "at": "2026-11-27T10:00:00Z", "what": "setPresence Busy/InACall for 15m", "result": "ok" }],
            "lookAgain": "2026-11-27T10:05:00Z",
        }));
        let expected = "\
In step: h323 anna is userPrincipalName anna@contoso.example without its domain

Teams     Anna Berg, anna@contoso.example, 8f0c
  says    Busy/InACall, read at 2026-11-27T10:00:00Z
  licence a Teams plan is in force
PBX       Anna Berg, h323 anna, extension 1042, id g1
  line    Connected
  entries Ours: busy
          User: away, \"back at 3\", since 2026-11-27T09:00:00Z

LAYER   HELD                                     WHY
line    Busy/InACall until 2026-11-27T10:15:00Z  a call is connected
chosen  -                                        the PBX says nothing that was chosen

Last writes
  2026-11-27T10:00:00Z  setPresence Busy/InACall for 15m: ok
The worker looks again at 2026-11-27T10:05:00Z.
";
        assert_eq!(render(&report), expected);
    }

    #[test]
    fn a_person_of_one_side_whose_name_is_no_command() {
        let report = report(json!({
            "synced": false, "why": "found nowhere in Entra",
            "pbx": { "id": "g2", "cn": "\u{1b}[31mBo\nb", "line": "Unknown" },
            "layers": [], "writes": [],
        }));
        let text = render(&report);
        assert_eq!(
            text,
            "\
Not in step: found nowhere in Entra

Teams     nobody
PBX       \u{fffd}[31mBo\u{fffd}b, id g2
  line    Unknown
  entries unknown

The worker has written nothing for this person since it began.
"
        );
    }
}
