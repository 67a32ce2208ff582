//! Two phones for the demo: one calls the other. Told what to do by lines on standard input.
//!
//!     phones SERVER-PORT CALLER CALLEE      ring, take, end, and the end of input

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod phone;

use std::io::Write;

use phone::Phone;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, from, to] = &words[..] else {
        panic!("phones SERVER-PORT CALLER CALLEE");
    };
    let port = port.parse().expect("a port");
    let mut ben = Phone::new(from, port).await;
    let mut anna = Phone::new(to, port).await;
    ben.register().await;
    anna.register().await;
    say("registered");
    let mut call = None;
    for line in std::io::stdin().lines() {
        match (line.unwrap().as_str(), &mut call) {
            ("ring", None) => call = Some(ben.call(&mut anna).await),
            ("take", Some((call, invite))) => anna.take(&mut ben, call, invite).await,
            ("end", Some((ended, _))) => {
                ben.hang_up(&mut anna, ended).await;
                call = None;
            }
            (other, _) => panic!("not now: {other}"),
        }
        say("done");
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}
