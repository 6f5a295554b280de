//! `ls`: pulls as lines on standard output, and `--follow`: a line whenever one changes. As a table they are in [`crate::watch`].

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use serde::Deserialize;

use crate::{
    ask::answers::Pull,
    client::{Client, ClientError, Event},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullList {
    pulls: Vec<Pull>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct PullEvent {
    pull: Pull,
}

#[derive(Deserialize)]
struct Removed {
    id: String,
}

/// Writes one line for every pull, newest first.
pub(crate) fn list(client: &Client, active: bool) -> Result<(), ClientError> {
    let path = format!("/api/v1/pulls?layers=false{}", if active { "&active=true" } else { "" });
    let mut list: PullList = client.get(&path)?;
    let mut output = io::stdout().lock();
    loop {
        for pull in &list.pulls {
            writeln!(output, "{pull}")?;
        }
        let Some(cursor) = list.next_cursor else { return Ok(()) };
        list = client.get(&format!("{path}&cursor={cursor}"))?;
    }
}

/// Writes one line for every pull whose state is another than before. Comes back once to where it was when the connection breaks.
pub(crate) fn follow(client: &Client) -> Result<(), ClientError> {
    let mut states = BTreeMap::new();
    let mut last_id = None;
    loop {
        for event in client.events(last_id.as_deref())? {
            if let Some(pull) = news(&event, &mut states)? {
                writeln!(io::stdout(), "{pull}")?;
            }
            last_id = event.id.or(last_id);
        }
        writeln!(io::stderr(), "pulltrace: the connection ended; connecting again")?;
    }
}

/// The pull of an event, if its state is another than before.
fn news(event: &Event, states: &mut BTreeMap<String, String>) -> Result<Option<Pull>, ClientError> {
    match event.name.as_deref() {
        None => {
            let PullEvent { pull } = serde_json::from_str(&event.data).map_err(ClientError::Answer)?;
            let before = states.insert(pull.id.clone(), pull.state().to_owned());
            Ok((before.as_deref() != Some(pull.state())).then_some(pull))
        }
        Some("removed") => {
            let Removed { id } = serde_json::from_str(&event.data).map_err(ClientError::Answer)?;
            states.remove(&id);
            Ok(None)
        }
        Some(_) => Ok(None),
    }
}
