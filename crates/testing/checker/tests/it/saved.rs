//! Histories survive being written and read.

use klatch_checker::{ParseError, Purpose, Recorder, Walk, check, parse, write};

use crate::scene::{Scene, item, send, sent};

#[test]
fn a_failing_history_that_was_saved_fails_in_the_same_way() {
    let mut s = Scene::new();
    s.open(1, true);
    s.send_ok("a", 1);
    s.receive(1, 1, "a");
    s.note(klatch_checker::What::Gap { connection: 1, room: None });
    s.walk(Walk::oldest("r", "ada", 5, Purpose::Any), vec![item(1, "a")], false);
    s.finally(&[]);
    let mut text = Vec::new();
    write(&s.history, &mut text).unwrap();
    let again = parse(text.as_slice()).unwrap();
    assert_eq!(again, s.history);
    assert_eq!(check(&again), s.check());
    assert!(!check(&again).is_ok());
}

#[test]
fn a_line_that_is_no_entry_is_named() {
    let error = parse(&b"\n{\"at\":1}\n"[..]).unwrap_err();
    assert!(matches!(error, ParseError::Line { line: 2, .. }));
}

#[test]
fn a_recorder_shared_by_threads_keeps_time_and_order_together() {
    let mut time = 0;
    let recorder = Recorder::new(move || {
        time += 1;
        time
    });
    std::thread::scope(|scope| {
        for process in 0..4_u32 {
            let recorder = &recorder;
            scope.spawn(move || {
                for n in 0..100_u64 {
                    let op = recorder.invoke(process, send(&format!("{process}-{n}")));
                    if n % 2 == 0 {
                        recorder.ok(op, sent(u64::from(process) * 100 + n));
                    } else {
                        recorder.unknown(op);
                    }
                }
            });
        }
    });
    let op =
        recorder.invoke(9, klatch_checker::Call::Delete { room: "r".into(), message: "m".into() });
    recorder.fail(op, "message_not_found");
    assert_eq!(recorder.snapshot().entries.len(), 802);
    let history = recorder.finish();
    assert!(history.entries.windows(2).all(|pair| pair[0].at < pair[1].at));
    let report = check(&history);
    assert_eq!((report.counts.sends, report.counts.acknowledged), (400, 200));
}
