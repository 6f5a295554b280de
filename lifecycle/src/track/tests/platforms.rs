//! Images for other platforms, and those that only look like one.

use super::endings::{index_record, recorded, with_record};
use super::*;

#[test]
fn a_recorded_index_of_which_nothing_is_here_is_for_another_platform() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, vec![Resource::Content(blob("index"))])], Vec::new());
    let answer = with_record(answers(begin), index_record(play.at(15)));
    let answer = |subject: &Subject| match subject {
        Subject::Content(digest) if *digest == blob("manifest") => Answer::Content(None),
        Subject::Content(_) | Subject::Blob(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => {
            answer(subject)
        }
    };
    play.answer(answer);
    play.wait(10);
    recorded(&mut play, "q.io/a:v1");
    play.survey(Vec::new(), Vec::new());
    for _ in 0..10 {
        play.answer(answer);
        play.wait(300);
        play.survey(Vec::new(), Vec::new());
    }
    assert!(matches!(play.outcome(), Some(Outcome::Failed(f)) if f.class == ErrorClass::PlatformMismatch), "{:?}", play.last());
    assert!(play.told.iter().all(|p| p.id == play.told[0].id), "its record is no second pull: {:?}", play.told);
}

/// An index that was recorded when only `at_first` of it was here, and of which another pull brought the rest.
fn recorded_before_the_rest_came(at_first: &[&str]) -> Play {
    let mut play = Play::new();
    play.wait(20);
    let (before, later) = (answers(play.at(0)), answers(play.at(500)));
    let before = with_record(before, index_record(play.now));
    let later = with_record(later, index_record(play.now));
    recorded(&mut play, "q.io/a:v1");
    for _ in 0..10 {
        play.survey(Vec::new(), Vec::new());
        play.answer(|subject| match subject {
            Subject::Content(digest) if !at_first.iter().any(|name| blob(name) == *digest) => later(subject),
            Subject::Content(_) | Subject::Blob(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => {
                before(subject)
            }
        });
        play.wait(300);
    }
    play
}

#[test]
fn what_another_pull_brings_of_a_recorded_index_makes_it_no_image() {
    let play = recorded_before_the_rest_came(&["index"]);
    assert!(matches!(play.outcome(), Some(Outcome::Failed(f)) if f.class == ErrorClass::PlatformMismatch), "{:?}", play.last());
    assert!(play.told.iter().all(|pull| pull.layers.is_empty()), "{:?}", play.told);
}

#[test]
fn an_image_that_was_removed_at_once_and_pulled_again_was_ready_before() {
    assert!(ready(&recorded_before_the_rest_came(&[])));
    assert!(ready(&recorded_before_the_rest_came(&["index", "manifest", "config", "base", "top"])));
}

fn ready(play: &Play) -> bool {
    play.outcome() == Some(&Outcome::Ready)
}
