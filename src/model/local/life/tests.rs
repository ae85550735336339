//! What becomes of a local model, whatever its process does.

use super::*;

fn unknown() -> Ended {
    Ended { reason: "it ended".into(), is_for_good: false }
}

fn now() -> Instant {
    Instant::now()
}

/// One whose process is being started.
fn starting() -> Life {
    let mut life = Life::new(now());
    assert_eq!((life.state(), life.step(now())), (State::Checking, Step::Check));
    life.checked(Ok(()));
    assert_eq!((life.state(), life.step(now())), (State::Starting, Step::Start));
    life
}

fn get_ready(life: &mut Life, at: Instant) {
    life.checked(Ok(()));
    life.started();
    assert_eq!((life.state(), life.step(at)), (State::Loading, Step::Load));
    life.loaded(at);
    assert_eq!((life.state(), life.step(at)), (State::Ready, Step::Run));
}

fn ready() -> Life {
    let mut life = starting();
    get_ready(&mut life, now());
    life
}

#[test]
fn a_model_gets_ready_rests_and_gets_ready_again() {
    let mut life = ready();
    assert_eq!(life.answers(), Some(1));
    life.stop("idle");
    assert_eq!((life.state(), life.step(now()), life.answers()), (State::Stopping, Step::Stop, None));
    life.stopped(now());
    assert_eq!((life.state(), life.step(now()), life.farewell()), (State::Idle, Step::Rest, "idle"));
    life.want(now());
    assert_eq!(life.step(now()), Step::Check, "the file may be another by now");
    get_ready(&mut life, now());
    assert_eq!((life.answers(), life.restarts()), (Some(2), 0));
    life.want(now());
    assert_eq!(life.state(), State::Ready);
}

#[test]
fn one_that_never_gets_ready_is_started_start_tries_max_times() {
    let mut life = starting();
    for tried in 1..=START_TRIES_MAX {
        life.started();
        let at = now();
        life.ended(unknown(), at);
        let expected = if tried < START_TRIES_MAX { State::Starting } else { State::Failed };
        assert_eq!((tried, life.state()), (tried, expected));
        life.checked(Ok(()));
    }
    assert_eq!((life.failed(), life.step(now())), (Some("it ended"), Step::Rest));
    life.want(now());
    assert_eq!(life.state(), State::Failed, "who asks does not start it, a person does");
    life.start(now());
    assert_eq!((life.state(), life.reason()), (State::Checking, None));
    get_ready(&mut life, now());
    life.ended(unknown(), now());
    assert_eq!(life.state(), State::Starting, "what was ready once is tried anew");
}

#[test]
fn what_would_happen_again_is_not_tried_again() {
    let mut life = starting();
    life.started();
    life.ended(Ended { reason: "no such architecture".into(), is_for_good: true }, now());
    assert_eq!((life.failed(), life.restarts()), (Some("no such architecture"), 0));
    let mut life = Life::new(now());
    life.checked(Err("no memory".into()));
    assert_eq!(life.failed(), Some("no memory"));
}

#[test]
fn pauses_double_up_to_restart_pause_max_and_begin_anew_after_a_calm_life() {
    let mut life = ready();
    let mut at = now();
    let mut after = |life: &mut Life, lived: Duration| {
        get_ready(life, at);
        at += lived;
        life.ended(unknown(), at);
        match life.step(at) {
            Step::Pause(until) => (until - at).as_secs(),
            Step::Check => 0,
            other => panic!("{other:?}"),
        }
    };
    life.ended(unknown(), now());
    let ms = Duration::from_millis(1);
    let pauses: Vec<_> = (0..9).map(|_| after(&mut life, CALM - ms)).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, RESTART_PAUSE_MAX.as_secs(), 60, 60]);
    assert_eq!((after(&mut life, CALM), after(&mut life, ms)), (0, 1));
    assert_eq!((life.restarts(), life.state(), life.reason()), (12, State::Starting, Some("it ended")));
}

#[test]
fn a_stop_comes_between_any_two_steps() {
    let mut life = Life::new(now());
    life.stop("told");
    life.checked(Ok(()));
    assert_eq!(life.state(), State::Stopping, "what was asked before counts no more");
    life.stopped(now());
    assert_eq!(life.state(), State::Idle);
    let mut life = starting();
    life.stop("told");
    life.started();
    life.loaded(now());
    life.ended(unknown(), now());
    assert_eq!((life.state(), life.restarts()), (State::Idle, 0), "its end was ours");
    let mut life = ready();
    life.stop("told");
    life.start(now());
    life.stopped(now());
    assert_eq!(life.state(), State::Checking);
}

#[test]
fn a_restart_ends_it_and_a_stuck_one_is_killed() {
    let mut life = ready();
    life.restart("again", now());
    assert_eq!(life.step(now()), Step::Stop);
    life.stopped(now());
    assert_eq!((life.state(), life.restarts()), (State::Checking, 0));
    get_ready(&mut life, now());
    life.stuck("stuck");
    assert_eq!((life.step(now()), life.restarts(), life.farewell()), (Step::Kill, 1, "stuck"));
    life.stopped(now());
    assert_eq!(life.step(now()), Step::Check, "at once");
    life.stuck("stuck");
    assert_eq!(life.state(), State::Checking);
}

#[test]
fn whoever_leaves_comes_back_no_more() {
    let mut life = ready();
    life.leave("down");
    assert!(life.is_leaving());
    life.restart("again", now());
    life.start(now());
    life.stop("told");
    life.stopped(now());
    assert_eq!((life.step(now()), life.farewell()), (Step::Leave, "down"));
    life.want(now());
    life.start(now());
    assert!(life.step(now()) == Step::Leave && life.is_leaving());
    let mut life = Life::new(now());
    life.checked(Err("no".into()));
    life.leave("down");
    assert_eq!(life.step(now()), Step::Leave);
}

#[test]
fn how_long_it_is_waited_for_counts_from_when_it_was_last_ready_or_wanted() {
    let mut life = starting();
    let later = now() + CALM;
    assert!(life.waited(later) >= CALM - Duration::from_secs(1));
    life.started();
    life.ended(unknown(), later);
    assert!(life.waited(later) > Duration::ZERO, "one try more is the same wait");
    get_ready(&mut life, later);
    life.ended(unknown(), later);
    assert_eq!(life.waited(later), Duration::ZERO);
}
