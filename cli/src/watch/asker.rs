//! Questions to the collector beside the event stream, on a thread of its own, so that a slow answer holds up nothing.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use lifecycle::pull::PullId;
use serde::Deserialize;

use super::{detail::Detail, model::Message};
use crate::client::Client;

/// Most questions that wait, and most answers. A question that finds no room is asked again by who looks at the pull.
const MAX_WAITING: usize = 4;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// This pull in full.
    Pull(PullId),
    /// How many agents are heard.
    Agents,
}

/// The thread that asks.
#[derive(Debug)]
pub(super) struct Asker {
    questions: SyncSender<Question>,
    answers: Receiver<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    nodes_connected: u64,
}

impl Asker {
    /// Begins.
    ///
    /// # Errors
    /// When there is no room for a thread.
    pub(super) fn start(client: Arc<Client>) -> io::Result<Self> {
        let (questions, asked) = sync_channel(MAX_WAITING);
        let (answering, answers) = sync_channel(MAX_WAITING);
        thread::Builder::new().name("asker".to_owned()).spawn(move || {
            for question in asked {
                if answer(&client, question).is_some_and(|answer| answering.send(answer).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks, unless too much is being asked.
    pub(super) fn ask(&self, question: Question) {
        // No room: whoever wants to know asks again.
        _ = self.questions.try_send(question);
    }

    /// The next answer, if there is one by now.
    pub(super) fn next(&self) -> Option<Message> {
        self.answers.try_recv().ok()
    }
}

/// None where nobody misses an answer.
fn answer(client: &Client, question: Question) -> Option<Message> {
    match question {
        Question::Agents => client.get::<Summary>("/api/v1/summary").ok().map(|summary| Message::Agents(summary.nodes_connected)),
        Question::Pull(id) => {
            let text = client.text(&format!("/api/v1/pulls/{id}")).map_err(|error| error.to_string());
            let detail = text.and_then(|text| Detail::read(&text).map_err(|error| format!("this is not a pull: {error}")));
            Some(Message::Answer(id, detail.map(Box::new)))
        }
    }
}
