use proptest::prelude::*;

use super::*;

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials {
        username: username.to_owned(),
        password: password.to_owned().into(),
    }
}

fn parameter(value: &str, name: &str) -> Option<String> {
    let rest = value.strip_prefix("Digest ").unwrap();
    let mut parts = split(rest, ',');
    parts.find_map(|part| part.strip_prefix(&format!("{name}=")).map(unquote))
}

/// RFC 7616 section 3.9.1; HTTP's vectors serve, as the arithmetic is the same.
#[test]
fn the_vectors_of_rfc_7616() {
    let common = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", algorithm="#;
    let cases = [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ];
    for (algorithm, expected) in cases {
        let mut challenge = Challenge::read(&format!("{common}{algorithm}")).unwrap();
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let proof = challenge.prove(
            &credentials("Mufasa", "Circle of Life"),
            "GET",
            "/dir/index.html",
            cnonce,
        );
        assert_eq!(parameter(&proof, "response").as_deref(), Some(expected), "{proof}");
        assert_eq!(parameter(&proof, "algorithm").as_deref(), Some(algorithm));
        assert_eq!(parameter(&proof, "nc").as_deref(), Some("00000001"));
        assert!(parameter(&proof, "opaque").unwrap().starts_with("FQhe/"));
    }
}

/// RFC 2069 as corrected by its errata.
#[test]
fn a_challenge_without_qop() {
    let mut challenge =
        Challenge::read(r#"Digest realm="testrealm@host.com",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",opaque="5ccc069c403ebaf9f0171e9517f40e41""#)
            .unwrap();
    let proof = challenge.prove(&credentials("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", "x");
    assert_eq!(
        parameter(&proof, "response").as_deref(),
        Some("1949323746fe6a43ef61f9606e7febea")
    );
    assert!(!proof.contains("cnonce") && !proof.contains("algorithm"), "{proof}");
}

#[test]
fn the_strongest_that_can_be_met() {
    let answer = |values: &[&str]| {
        let start = Message::answer(&Message::request("OPTIONS", "sip:a"), 401);
        let message = values
            .iter()
            .fold(start, |message, value| message.with("WWW-Authenticate", *value));
        Challenge::of(&message, Asker::Server).map(|challenge| challenge.algorithm)
    };
    let cases: &[(&[&str], Option<Algorithm>)] = &[
        (&[r#"Digest realm="r",nonce="n""#], Some(Algorithm::Md5)),
        (
            &[
                r#"Digest realm="r",nonce="n",algorithm=MD5"#,
                r#"Digest realm="r",nonce="n",algorithm="sha-256""#,
            ],
            Some(Algorithm::Sha256),
        ),
        (
            &[
                r#"Digest realm="r",nonce="n",algorithm=SHA-512-256"#,
                r#"digest realm="r",nonce="n""#,
            ],
            Some(Algorithm::Md5),
        ),
        (&[r#"Digest realm="r",nonce="n",qop="auth-int""#], None),
        (&[r#"Digest realm="r",nonce="n",algorithm=MD5-sess"#], None),
        (&[r#"Basic realm="r""#], None),
        (&[r#"Digest realm="r""#], None),
        (&["Digest"], None),
        (&[], None),
    ];
    for (values, expected) in cases {
        assert_eq!(answer(values), *expected, "{values:?}");
    }
}

#[test]
fn the_count_rises_and_nothing_shows_the_password() {
    let mut challenge = Challenge::read(r#"Digest realm="r",nonce="n",qop=auth,stale=TRUE"#).unwrap();
    assert!(challenge.stale);
    let who = credentials("u", "top secret");
    let first = challenge.prove(&who, "PUBLISH", "sip:a", "c");
    let second = challenge.prove(&who, "PUBLISH", "sip:a", "c");
    assert_eq!(parameter(&second, "nc").as_deref(), Some("00000002"));
    assert_ne!(parameter(&first, "response"), parameter(&second, "response"));
    assert!(!format!("{who:?}{challenge:?}{first}").contains("top secret"));
}

proptest! {
    /// Any printable name and password: the proof is one line, and its parameters can be read back.
    #[test]
    fn any_printable_name_and_password(username in "[ -~äöü€]{1,30}", password in "[ -~äöü€]{0,40}") {
        let mut challenge = Challenge::read(r#"Digest realm="a \"b\" \\c",nonce="n",qop="auth",algorithm=MD5"#).unwrap();
        let proof = challenge.prove(&credentials(&username, &password), "PUBLISH", "sip:a@b", "c");
        prop_assert!(!proof.contains(['\r', '\n']));
        prop_assert_eq!(parameter(&proof, "username"), Some(username.clone()));
        prop_assert_eq!(parameter(&proof, "realm").unwrap(), r#"a "b" \c"#);
        let md5 = |text: String| Algorithm::Md5.hash(text.as_bytes());
        let a1 = md5(format!("{username}:a \"b\" \\c:{password}"));
        let a2 = md5("PUBLISH:sip:a@b".to_owned());
        prop_assert_eq!(parameter(&proof, "response"), Some(md5(format!("{a1}:n:00000001:c:auth:{a2}"))));
    }

    #[test]
    fn random_challenges_never_panic(text in ".{0,100}") {
        let _ = Challenge::read(&text);
        let _ = Challenge::read(&format!("Digest {text}"));
    }
}
