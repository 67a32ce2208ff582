//! Against a PBX of a few lines, over a real socket.

use prometheus::Registry;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;

use super::super::entry::OwnContact;
use super::*;
use crate::presence::adapters::metrics::{Kind, Metrics};

type Pbx = WebSocketStream<TcpStream>;

struct Stage {
    listener: TcpListener,
    news: mpsc::Receiver<(usize, Told)>,
    writes: mpsc::Sender<Write>,
    wanted: watch::Sender<Arc<BTreeSet<String>>>,
    stop: CancellationToken,
}

async fn stage() -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, news) = mpsc::channel(100);
    let (writes, writes_seen) = mpsc::channel(10);
    let (wanted, wanted_seen) = watch::channel(Arc::default());
    let stop = CancellationToken::new();
    let endpoint = Endpoint {
        number: 0,
        url: format!("ws://127.0.0.1:{port}/PBX0/APPS/websocket").parse().unwrap(),
        tls: None,
        part: Part {
            app: "presence".to_owned(),
            password: SecretString::from("pwd"),
            is_master: true,
            own: OwnContact::new("teams:"),
        },
        tally: Metrics::new(&Registry::new()).unwrap().of(Kind::Innovaphone),
    };
    tokio::spawn(endpoint.run(Ways {
        told,
        writes: writes_seen,
        wanted: wanted_seen,
        stop: stop.clone(),
    }));
    Stage {
        listener,
        news,
        writes,
        wanted,
        stop,
    }
}

async fn accept(listener: &TcpListener) -> Pbx {
    accept_async(listener.accept().await.unwrap().0).await.unwrap()
}

async fn say(pbx: &mut Pbx, message: Value) {
    pbx.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text from the worker.
async fn hear(pbx: &mut Pbx) -> Value {
    loop {
        if let Message::Text(text) = pbx.next().await.unwrap().unwrap() {
            return serde_json::from_str(text.as_str()).unwrap();
        }
    }
}

/// Lets the worker log in.
async fn let_in(pbx: &mut Pbx) {
    assert_eq!(hear(pbx).await["mt"], "AppChallenge");
    say(pbx, json!({"mt": "AppChallengeResult", "challenge": "1"})).await;
    assert_eq!(hear(pbx).await["mt"], "AppLogin");
    say(pbx, json!({"mt": "AppLoginResult", "ok": true})).await;
    assert_eq!(hear(pbx).await["mt"], "ReplicateStart");
    assert_eq!(hear(pbx).await["mt"], "Initialize");
}

fn write(guid: &str) -> (Write, oneshot::Receiver<Result<(), PbxError>>) {
    let (answer, answered) = oneshot::channel();
    let write = Write {
        guid: guid.to_owned(),
        entry: None,
        answer,
    };
    (write, answered)
}

#[tokio::test]
async fn connects_again_after_a_loss_and_takes_writes() {
    let mut stage = stage().await;
    let mut pbx = accept(&stage.listener).await;
    let_in(&mut pbx).await;
    assert_eq!(stage.news.recv().await.unwrap().1, Told::Up);
    let (first, answered) = write("a1");
    stage.writes.send(first).await.unwrap();
    assert_eq!(hear(&mut pbx).await["mt"], "SetPresence");
    drop(pbx);
    assert!(matches!(answered.await.unwrap(), Err(PbxError::Transport(_))));
    assert!(matches!(
        stage.news.recv().await.unwrap().1,
        Told::Down(PbxError::Transport(_))
    ));
    let (second, answered) = write("a1");
    stage.writes.send(second).await.unwrap();
    assert!(
        answered.await.unwrap().is_err(),
        "refused at once while there is no connection"
    );

    let mut pbx = accept(&stage.listener).await;
    let_in(&mut pbx).await;
    assert_eq!(stage.news.recv().await.unwrap().1, Told::Up);
    stage.wanted.send_replace(Arc::new(BTreeSet::from(["a1".to_owned()])));
    say(
        &mut pbx,
        json!({"mt": "ReplicateStartResult", "api": "PbxTableUsers", "columns": {}}),
    )
    .await;
    assert_eq!(hear(&mut pbx).await["mt"], "ReplicateNext");
    let row = json!({"guid": "a1", "h323": "ann"});
    say(
        &mut pbx,
        json!({"mt": "ReplicateNextResult", "api": "PbxTableUsers", "columns": row}),
    )
    .await;
    let mut heard = vec![hear(&mut pbx).await["mt"].clone(), hear(&mut pbx).await["mt"].clone()];
    heard.sort_by_key(ToString::to_string);
    assert_eq!(heard, ["ReplicateNext", "SubscribePresence"]);
    let (third, answered) = write("a1");
    stage.writes.send(third).await.unwrap();
    let src = hear(&mut pbx).await["src"].clone();
    say(
        &mut pbx,
        json!({"mt": "SetPresenceResult", "api": "PbxApi", "src": src}),
    )
    .await;
    assert_eq!(answered.await.unwrap(), Ok(()));
    stage.stop.cancel();
    while pbx.next().await.is_some_and(|frame| frame.is_ok()) {}
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_at_once() {
    let mut stage = stage().await;
    let mut pbx = accept(&stage.listener).await;
    hear(&mut pbx).await;
    say(&mut pbx, json!({"mt": "AppChallengeResult", "challenge": "1"})).await;
    hear(&mut pbx).await;
    say(&mut pbx, json!({"mt": "AppLoginResult", "ok": false})).await;
    assert!(matches!(
        stage.news.recv().await.unwrap().1,
        Told::Down(PbxError::Auth(_))
    ));
    let again = timeout(Duration::from_secs(3), stage.listener.accept()).await;
    assert!(again.is_err(), "a wrong password would lock the account out");
    stage.stop.cancel();
}

#[tokio::test]
async fn what_is_no_websocket_is_named() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stage = stage().await;
    let (mut tcp, _) = stage.listener.accept().await.unwrap();
    let mut request = [0; 4096];
    assert!(tcp.read(&mut request).await.unwrap() > 0);
    tcp.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let Told::Down(PbxError::Protocol(why)) = stage.news.recv().await.unwrap().1 else {
        panic!("not told")
    };
    assert!(why.contains("404"), "{why}");
    stage.stop.cancel();
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let mut stage = stage().await;
    let mut pbx = accept(&stage.listener).await;
    let long = Message::text("x".repeat(LONGEST_MESSAGE + 1));
    // The worker may hang up before all is written.
    let _ = pbx.send(long).await;
    let told = stage.news.recv().await.unwrap().1;
    assert!(matches!(told, Told::Down(PbxError::Protocol(_))), "{told:?}");
    stage.stop.cancel();
}
