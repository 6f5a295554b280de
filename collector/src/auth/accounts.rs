//! Service accounts of Kubernetes: whose a token is, and for which node it may speak. The API server is asked once per token and while; what
//! it said is remembered, so that an outage of it stops nobody who is known, and lets in nobody who is not.
//!
//! How it is asked is the business of [`crate::kube`]. Tokens are remembered by their SHA-256 only.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lifecycle::pull::NodeName;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::Denied;
use crate::kube::{Reviewed, Reviewer};

/// Tokens that may speak and are remembered at a time, one for each node; beyond it the one that was checked longest ago is forgotten.
pub(crate) const MAX_SPEAKERS: usize = 20_000;
/// Tokens that may not speak and are remembered at a time.
pub(crate) const MAX_REFUSED: usize = 1_000;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// A token that may speak is checked again after this.
const CHECK_AGAIN: Duration = Duration::from_secs(300);
/// A token that may not speak is checked again after this.
const REFUSE_AGAIN: Duration = Duration::from_secs(30);
/// While the API is away it is asked about a known token again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// So long after its last check a known token is good while the API is away: as long as the tokens of kubelets are.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// The API server has this long to answer, and so long does a request wait for its turn to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions to the API server at a time.
const TURNS: usize = 16;
/// What the names of service accounts begin with.
const PREFIX: &str = "system:serviceaccount:";

/// Whose tokens are good, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whom a token must be meant for.
    pub(crate) audience: String,
    /// The accounts that may report, as `NAMESPACE/NAME`.
    pub(crate) accounts: Vec<String>,
}

/// Who may report by a service account's token.
#[derive(Debug)]
pub(crate) struct Accounts {
    rules: Rules,
    /// Without it nobody can be checked.
    reviewer: Option<Reviewer>,
    known: Mutex<Known>,
    /// One token is always asked about in the same turn, so that requests which come together ask once.
    turns: [Semaphore; TURNS],
}

type Key = [u8; 32];

/// What was said of tokens.
#[derive(Debug, Default)]
struct Known {
    speakers: BTreeMap<Key, Speaker>,
    refused: BTreeMap<Key, (Denied, Instant)>,
    /// Whether the API server did not answer the last question.
    away: bool,
}

#[derive(Clone, Debug)]
struct Speaker {
    node: NodeName,
    checked: Instant,
    check_again: Instant,
}

impl Accounts {
    pub(crate) fn new(rules: Rules, reviewer: Option<Reviewer>) -> Self {
        if reviewer.is_none() {
            tracing::error!("PULLTRACE_AUTH is serviceaccount, but there is no way to a Kubernetes API; no agent can be let in");
        }
        Self { rules, reviewer, known: Mutex::default(), turns: [const { Semaphore::const_new(1) }; TURNS] }
    }

    /// The node for which the holder of this token may speak.
    pub(super) async fn admit(&self, token: &str) -> Result<NodeName, Denied> {
        if !is_token(token) {
            return Err(Denied::WrongToken);
        }
        let key = Key::from(Sha256::digest(token));
        if let Some(verdict) = self.known().verdict(&key, Instant::now()) {
            return verdict;
        }
        let turn = &self.turns[usize::from(key[0]) % TURNS];
        let Ok(Ok(_turn)) = tokio::time::timeout(PATIENCE, turn.acquire()).await else { return Err(Denied::Unchecked) };
        if let Some(verdict) = self.known().verdict(&key, Instant::now()) {
            return verdict;
        }
        // On the heap, so that the requests of those who are known have no room for it.
        match Box::pin(self.ask(token)).await {
            Ok(reviewed) => {
                let verdict = self.judge(reviewed);
                self.known().learn(key, &verdict, Instant::now());
                verdict
            }
            Err(error) => self.known().go_on(&key, &error, Instant::now()),
        }
    }

    async fn ask(&self, token: &str) -> Result<Reviewed, String> {
        let reviewer = self.reviewer.as_ref().ok_or("there is no way to a Kubernetes API")?;
        let asked = reviewer.review(token, &self.rules.audience);
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| "no answer in time".to_owned())?
    }

    fn judge(&self, reviewed: Reviewed) -> Result<NodeName, Denied> {
        let Reviewed { user, audiences, node } = reviewed;
        let Some(user) = user.filter(|_| audiences.contains(&self.rules.audience)) else { return Err(Denied::WrongToken) };
        let account = user.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
        let is_named = |(namespace, name): (&str, &str)| {
            self.rules.accounts.iter().any(|allowed| allowed.split_once('/') == Some((namespace, name)))
        };
        if !account.is_some_and(is_named) {
            tracing::warn!(user, "may not report; PULLTRACE_AGENT_ACCOUNTS says who may");
            return Err(Denied::ForeignAccount);
        }
        node.and_then(|node| node.parse().ok()).ok_or(Denied::Unbound)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is remembered and not too old.
    fn verdict(&self, key: &Key, now: Instant) -> Option<Result<NodeName, Denied>> {
        let speaker = self.speakers.get(key).filter(|speaker| now < speaker.check_again);
        let refused = || self.refused.get(key).filter(|(_, until)| now < *until);
        speaker.map(|speaker| Ok(speaker.node.clone())).or_else(|| refused().map(|(denied, _)| Err(*denied)))
    }

    fn learn(&mut self, key: Key, verdict: &Result<NodeName, Denied>, now: Instant) {
        if std::mem::take(&mut self.away) {
            tracing::info!("tokens of agents can be checked again");
        }
        self.speakers.remove(&key);
        self.refused.remove(&key);
        match verdict {
            Ok(node) => {
                make_room(&mut self.speakers, MAX_SPEAKERS, |speaker| speaker.checked);
                self.speakers.insert(key, Speaker { node: node.clone(), checked: now, check_again: now + CHECK_AGAIN });
            }
            Err(denied) => {
                make_room(&mut self.refused, MAX_REFUSED, |(_, until)| *until);
                self.refused.insert(key, (*denied, now + REFUSE_AGAIN));
            }
        }
    }

    /// Who was let in before goes on while the API is away.
    fn go_on(&mut self, key: &Key, error: &str, now: Instant) -> Result<NodeName, Denied> {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(error, "tokens of agents cannot be checked; only those that are known are let in");
        }
        let speaker = self.speakers.get_mut(key).filter(|speaker| now < speaker.checked + KNOWN_FOR).ok_or(Denied::Unchecked)?;
        speaker.check_again = now + ASK_AGAIN;
        Ok(speaker.node.clone())
    }
}

/// Forgets the oldest where the bound is reached.
fn make_room<T>(of: &mut BTreeMap<Key, T>, bound: usize, age: impl Fn(&T) -> Instant) {
    if of.len() >= bound {
        let oldest = of.iter().min_by_key(|(_, held)| age(held)).map(|(key, _)| *key);
        oldest.and_then(|key| of.remove(&key));
    }
}

/// Whether this has the form of a signed token (RFC 7519); what has not is not worth a question.
fn is_token(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.len() <= MAX_TOKEN && text.split('.').count() == 3 && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_form_of_a_token_is_asked_about() {
        for (text, is) in [("a.b-_.c", true), ("a.b", false), ("a.b.c.d", false), ("a..c", false), ("a.b c.d", false)] {
            assert_eq!(is_token(text), is, "{text}");
        }
        assert!(!is_token(&format!("a.b.{}", "c".repeat(MAX_TOKEN))));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_of_tokens_is_bounded_and_refused_ones_do_not_push_out_those_that_speak() {
        let mut known = Known::default();
        let key = |n: usize| Key::from(Sha256::digest(n.to_be_bytes()));
        let node: NodeName = "node-1".parse().unwrap();
        for n in 0..MAX_SPEAKERS + 2 {
            known.learn(key(n), &Ok(node.clone()), Instant::now());
            tokio::time::advance(Duration::from_nanos(1)).await;
        }
        for n in 0..MAX_REFUSED + 2 {
            known.learn(key(MAX_SPEAKERS + 2 + n), &Err(Denied::WrongToken), Instant::now());
        }
        assert_eq!((known.speakers.len(), known.refused.len()), (MAX_SPEAKERS, MAX_REFUSED));
        let now = Instant::now();
        assert_eq!(known.verdict(&key(1), now), None, "the oldest are forgotten");
        assert_eq!(known.verdict(&key(2), now), Some(Ok(node)));
    }
}
