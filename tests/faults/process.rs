//! One process that may be killed from anywhere, and started again.

use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};

pub struct Process {
    child: Mutex<Option<Child>>,
    killed: watch::Sender<u32>,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            child: Mutex::default(),
            killed: watch::Sender::new(0),
        }
    }
}

impl Process {
    pub async fn start(&self, command: &mut Command) {
        let child = command.kill_on_drop(true).spawn().unwrap();
        *self.child.lock().await = Some(child);
    }

    /// SIGKILL: nothing is cleaned up. Returns when it is dead.
    pub async fn kill(&self) {
        let mut child = self.child.lock().await;
        if let Some(mut child) = child.take() {
            child.kill().await.unwrap();
            self.killed.send_modify(|times| *times += 1);
        }
    }

    /// SIGSTOP: it stands still, and its peers are told nothing.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let child = self.child.lock().await;
        let id = child.as_ref().and_then(Child::id).unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits until it was killed this many times.
    pub async fn killed(&self, times: u32) {
        let mut killed = self.killed.subscribe();
        killed.wait_for(|so_far| *so_far >= times).await.unwrap();
    }

    /// Whether it ended, by itself or otherwise.
    pub async fn has_ended(&self) -> bool {
        let mut child = self.child.lock().await;
        child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }
}
