use proptest::prelude::*;

use super::*;

/// What a channel sends: a heartbeat, an event with everything that XML allows, and an empty line.
const STREAM: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelId>c-1</channelId><expires>3600</expires></Channel>\n\n",
    "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>\r\n",
    "<?xml version=\"1.0\"?><!-- <no> & -- element -->",
    "<xsi:Event xsi1:type='xsi:SubscriptionEvent' xmlns:xsi=\"x\" note=\"a > b\">",
    "<xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"><xsi:name>Jos\u{e9} &lt;&#x41;&amp;B&gt;</xsi:name>",
    "<xsi:more><![CDATA[ 1 < 2 && \"x\" ]]></xsi:more><xsi:empty/></xsi:eventData></xsi:Event>",
    "\n<ChannelHeartBeat/>",
);

fn whole(stream: &[u8]) -> Result<Vec<Element>, Broken> {
    Parser::default().feed(stream)
}

#[test]
fn reads_documents_one_after_the_other() {
    let elements = whole(STREAM.as_bytes()).unwrap();
    let names: Vec<_> = elements.iter().map(|element| element.name.as_str()).collect();
    assert_eq!(names, ["Channel", "ChannelHeartBeat", "Event", "ChannelHeartBeat"]);
    assert_eq!(elements[0].text_of("channelId"), Some("c-1"));
    let event = &elements[2];
    assert_eq!(event.kind.as_deref(), Some("SubscriptionEvent"));
    let data = event.child("eventData").unwrap();
    assert_eq!(data.kind.as_deref(), Some("CallSubscriptionEvent"));
    assert_eq!(data.text_of("name"), Some("José <A&B>"));
    assert_eq!(data.text_of("more"), Some("1 < 2 && \"x\""));
    assert_eq!(data.text_of("empty"), None);
}

#[test]
fn every_byte_may_come_alone() {
    let mut parser = Parser::default();
    let elements: Vec<_> = STREAM.bytes().flat_map(|byte| parser.feed(&[byte]).unwrap()).collect();
    assert_eq!(elements, whole(STREAM.as_bytes()).unwrap());
}

#[test]
fn what_is_no_xml_is_refused_at_once() {
    let cases: [(&[u8], Broken); 9] = [
        (b"HTTP/1.1 500 oops<", Broken::Malformed),
        (b"<a></b>", Broken::Malformed),
        (b"</a>", Broken::Malformed),
        (b"<a>&what;</a>", Broken::Malformed),
        (b"<a>&amp<b/></a>", Broken::Malformed),
        (b"<a><!oops></a>", Broken::Malformed),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", Broken::Malformed),
        (b"<a>\xff</a>", Broken::NotUtf8),
        (b"<a x=1/>", Broken::Malformed),
    ];
    for (stream, expected) in cases {
        assert_eq!(whole(stream), Err(expected), "{}", String::from_utf8_lossy(stream));
    }
}

#[test]
fn nothing_grows_without_bounds() {
    assert_eq!(whole("<a>".repeat(DEEPEST + 1).as_bytes()), Err(Broken::TooLarge));
    let mut parser = Parser::default();
    let mut fed = 0;
    while parser.feed(&b"<a x='".repeat(100)).is_ok() {
        fed += 1;
        assert!(fed < LONGEST_TOKEN, "an attribute without an end is kept for ever");
    }
    let mut parser = Parser::default();
    let mut result = parser.feed(b"<a>");
    while result.is_ok() {
        assert!(parser.size <= LARGEST + LONGEST_TOKEN);
        result = parser.feed(&b"<b>some text</b>".repeat(100));
    }
    assert_eq!(result, Err(Broken::TooLarge));
}

#[test]
fn a_whole_document_is_one_element() {
    assert_eq!(document(b"<a/>").unwrap().name, "a");
    for bytes in [&b""[..], b"<a>", b"<a/><b/>", b"text"] {
        assert_eq!(document(bytes), Err(Broken::Malformed));
    }
}

proptest! {
    /// However the bytes are split, the same comes out.
    #[test]
    fn any_split_gives_the_same(splits in prop::collection::vec(0..STREAM.len(), 0..20)) {
        let mut splits = splits;
        splits.extend([0, STREAM.len()]);
        splits.sort_unstable();
        let mut parser = Parser::default();
        let mut elements = Vec::new();
        for pair in splits.windows(2) {
            elements.extend(parser.feed(&STREAM.as_bytes()[pair[0]..pair[1]]).unwrap());
        }
        prop_assert_eq!(elements, whole(STREAM.as_bytes()).unwrap());
        prop_assert!(parser.rest.is_empty() && parser.open.is_empty());
    }

    /// The same for anything at all, up to where it breaks; and nothing panics.
    #[test]
    fn any_bytes_are_read_or_refused(pieces in prop::collection::vec(piece(), 0..30), cut in 1..7_usize) {
        let stream = pieces.concat();
        let mut parser = Parser::default();
        let mut split = Vec::new();
        let mut end = Ok(());
        for chunk in stream.chunks(cut) {
            match parser.feed(chunk) {
                Ok(elements) => split.extend(elements),
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        if let Ok(elements) = whole(&stream) {
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(split, elements);
        } else {
            prop_assert!(end.is_err() || !parser.rest.is_empty());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = whole(&bytes);
        let _ = document(&bytes);
    }
}

/// Pieces that are likely to hit something.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "<a>",
        "</a>",
        "<b x:type='y:z'>",
        "</b>",
        "<c/>",
        "text",
        "&amp;",
        "&",
        ";",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?xml?>",
        "<!",
        "<",
        ">",
        "é",
        "\n",
        "'",
        "\"",
    ]);
    prop_oneof![9 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 1..3)]
}
