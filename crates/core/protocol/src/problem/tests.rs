use std::collections::HashSet;

use super::*;

#[test]
fn every_code_is_one_word_of_its_own_with_a_title_and_an_explanation() {
    let mut seen = HashSet::new();
    for code in Code::ALL {
        let text = code.as_str();
        assert!(seen.insert(text), "{text} twice");
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{text}");
        assert!((400..600).contains(&code.status()), "{text}");
        assert!(!code.title().is_empty() && code.explanation().trim().ends_with('.'), "{text}");
        assert_eq!(Code::parse(text), Some(*code));
    }
    assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
}

#[test]
fn a_document_carries_code_status_request_and_pointers() {
    let problem = Problem::from(Rejection::InvalidField("displayName"));
    let text = serde_json::to_string(&problem.document("r1")).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"type":"/api/v1/problems/invalid_field","title":"A field is not valid","#,
            r#""status":422,"detail":"the field displayName is not valid","#,
            r#""code":"invalid_field","requestId":"r1","#,
            r#""errors":[{"pointer":"/displayName","code":"invalid_field"}]}"#
        )
    );
}

#[test]
fn a_failure_of_the_server_never_tells_its_cause() {
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Throttled,
        ErrorKind::Full,
        ErrorKind::Corrupt,
        ErrorKind::Misconfigured,
        ErrorKind::Closed,
    ] {
        let cause = || PortError::new(kind, "engine-x", "operation-y").because("secret-z");
        for error in [ServiceError::Port(cause()), ServiceError::OutcomeUnknown(cause())] {
            let problem = Problem::from(&error);
            assert!(problem.is_server_fault());
            let text = serde_json::to_string(&problem.document("r")).unwrap();
            for word in ["engine-x", "operation-y", "secret-z"] {
                assert!(!text.contains(word), "{text}");
            }
        }
    }
}

#[test]
fn a_read_model_that_is_behind_asks_for_a_second() {
    let problem = Problem::from(&ServiceError::Behind);
    assert_eq!((problem.status(), problem.code.as_str()), (503, "read_model_behind"));
    assert_eq!(problem.retry_after_seconds(), Some(1));
    assert_eq!(problem.retry_after_ms(), Some(1000));
}

#[test]
fn a_wait_is_rounded_up_to_seconds() {
    let problem = Problem {
        retry_after: Some(Duration::from_millis(1_001)),
        ..Problem::new(Code::RateLimited)
    };
    assert_eq!(problem.retry_after_seconds(), Some(2));
}
