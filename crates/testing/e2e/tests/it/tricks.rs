//! What attackers send where a text belongs: objects, paths, bait for slow patterns, and letters
//! that nobody sees. Each has one clear answer and costs the server nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use klatch_e2e::hostile::Hostile;
use klatch_e2e::rest::{Answer, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::token;
use serde_json::{Map, Value, json};

const NOTHING: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";
/// What an answer to bait may take of the server.
const BAIT_MOST: Duration = Duration::from_millis(50);

struct Stage {
    server: Server,
    root: Rest,
    ada: Rest,
    room: String,
}

async fn stage() -> Stage {
    let server = Server::start(Settings::default()).await.unwrap();
    let root = server.register_admin().await.unwrap();
    let ada = server.rest_as("ada");
    let body = json!({"type": "channel", "name": "one"});
    let made = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    Stage { room: made.text("roomId").unwrap(), root, ada, server }
}

/// A schema with its reference followed.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let found = schema["$ref"].as_str().and_then(|at| document.pointer(at.strip_prefix('#')?));
    let Some(one) = found else {
        let choices =
            schema["oneOf"].as_array().and_then(|of| of.iter().find(|it| it["$ref"].is_string()));
        return choices.map_or(schema, |choice| resolved(document, choice));
    };
    one
}

/// A body that the schema takes, as far as types go.
fn example(document: &Value, schema: &Value) -> Map<String, Value> {
    let schema = resolved(document, schema);
    let fields = schema["properties"].as_object().into_iter().flatten();
    let value = |field: &Value| {
        let kind = &field["type"];
        let is = |word: &str| {
            *kind == word || kind.as_array().is_some_and(|of| of.contains(&json!(word)))
        };
        if is("string") {
            Some(json!("text"))
        } else if is("array") {
            Some(json!([]))
        } else {
            is("boolean").then_some(Value::Bool(false))
        }
    };
    fields.filter_map(|(name, field)| Some((name.clone(), value(field)?))).collect()
}

/// Every documented operation that takes a JSON object: method, path and such an object.
async fn operations(stage: &Stage) -> Vec<(Method, String, Map<String, Value>)> {
    let document = stage.server.rest().get("/api/v1/openapi.json").await.unwrap().value().unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            // Ends the sessions that the others need.
            if schema.is_null() || path.ends_with("auth/logout") {
                continue;
            }
            let path = path.replace("{roomId}", &stage.room);
            let path =
                path.split('/').map(|part| if part.starts_with('{') { NOTHING } else { part });
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            found.push((method, path.collect::<Vec<_>>().join("/"), example(&document, schema)));
        }
    }
    assert!(found.len() >= 15, "only {} operations", found.len());
    found
}

fn is_refused(answer: &Answer) -> bool {
    (400..500).contains(&answer.status) && !answer.code().is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_where_texts_belong_are_refused_by_every_field_of_every_operation() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let mut wrong = Vec::new();
    for (method, path, body) in operations(&stage).await {
        for field in body.keys().filter(|field| body[*field].is_string()) {
            for trick in
                [json!({"$ne": null}), json!({"$where": "sleep(1)"}), json!(["a"]), json!(7)]
            {
                let mut body = body.clone();
                body.insert(field.clone(), trick.clone());
                let answer = stage.root.json(method.clone(), &path, &body.into()).await.unwrap();
                let fits = answer.status == 422 || [400, 403, 404].contains(&answer.status);
                if !fits || !is_refused(&answer) {
                    let status = answer.status;
                    wrong.push(format!("{method} {path} {field} = {trick}: {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for query in ["q[$ne]=x", "q%5B%24regex%5D=.*", "limit[$gt]=0", "cursor[$ne]=", "q=a&q=b"] {
        let answer = stage.ada.get(&format!("/api/v1/users?{query}")).await.unwrap();
        let harmless = answer.status == 200 && !query.starts_with("q=a");
        assert!(harmless || is_refused(&answer), "{query}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_megabyte_in_any_field_is_refused_at_once() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let mut wrong = Vec::new();
    for (method, path, body) in operations(&stage).await {
        for field in body.keys().filter(|field| body[*field].is_string()) {
            let mut body = body.clone();
            body.insert(field.clone(), json!("a".repeat(1 << 20)));
            let answer = stage.root.json(method.clone(), &path, &body.into()).await.unwrap();
            if answer.problem(413, "body_too_large").is_err() {
                wrong.push(format!("{method} {path} {field}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bait_for_slow_patterns_costs_no_time() {
    let _turn = quiet::alone().await.unwrap();
    let stage = stage().await;
    let messages = format!("/api/v1/rooms/{}/messages", stage.room);
    // As long as a body may be, and as a text may be.
    let near = |text: &str| text.repeat(60_000 / text.len());
    let most = |text: &str| text.repeat(39_000 / text.len());
    for bait in ["a", "@", "@a ", "(", "[[", "*_", "`", "http://", "\\", "a@", "<!--", "\u{202e}"] {
        for (method, path, body) in [
            (Method::POST, messages.as_str(), json!({ "content": most(bait) })),
            (Method::POST, "/api/v1/rooms", json!({"type": "group", "name": near(bait)})),
            (Method::POST, "/api/v1/auth/login", json!({"login": near(bait), "password": "x"})),
            (Method::PUT, "/api/v1/users/me/presence", json!({ "text": near(bait) })),
        ] {
            // The quickest of a few: the machine may be busy, the server is not slower than that.
            let mut quickest = Duration::MAX;
            for _ in 0..5 {
                let begun = Instant::now();
                let answer = stage.ada.json(method.clone(), path, &body).await.unwrap();
                quickest = quickest.min(begun.elapsed());
                assert!(answer.status < 500, "{path} {bait:?}: {}", answer.status);
            }
            // A wrong password is meant to take its time.
            let is_login = path.ends_with("login");
            assert!(is_login || quickest <= BAIT_MOST, "{path} {bait:?} took {quickest:?}");
        }
        let bytes: Vec<String> = bait.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let query = bytes.concat();
        let begun = Instant::now();
        let path = format!("/api/v1/users?q={}", query.repeat(2_000 / query.len()));
        let answer = stage.ada.get(&path).await.unwrap();
        assert!(answer.status < 500 && begun.elapsed() < BAIT_MOST * 10, "{bait:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_climb_lead_nowhere_and_files_stay_where_they_are() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let climbs = [
        "/../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "/..%5c..%5cetc%5cpasswd",
        "/assets/../../Cargo.toml",
        "/assets/..%2f..%2fsigning.key",
        "/%00",
        "/index.html%00.png",
        "/....//....//etc/passwd",
        "//etc/passwd",
        "/%c0%ae%c0%ae/etc/passwd",
    ];
    for climb in climbs {
        let mut hostile = Hostile::connect(stage.server.address()).await.unwrap();
        let request = format!("GET {climb} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        hostile.send(request.as_bytes()).await.unwrap();
        let head = hostile.head().await.unwrap();
        let status = head.split(' ').nth(1).unwrap_or_default();
        // The client's page at most: it has addresses of its own.
        assert!(["200", "400", "404"].contains(&status), "{climb}: {head}");
        assert!(status != "200" || head.to_lowercase().contains("text/html"), "{climb}: {head}");
    }
    for path in [
        "/api/v1/rooms/..%2fusers%2fme",
        "/api/v1/rooms/%2e%2e/users/me",
        "/api/v1/rooms/%00",
        "/api/v1/rooms/..",
        "/api/v1/users/me%2f..%2fme",
        "/api/v1/problems/..%2f..%2fmeta",
        "/api/v1/auth/sessions/..%2f..%2frooms",
    ] {
        let answer = stage.ada.get(path).await.unwrap();
        assert!([400, 404, 405].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.code().is_empty(), "{path}: {:?}", answer.body);
    }
}

async fn register(server: &Server, name: &str, shown: &str) -> Answer {
    let body = json!({
        "username": name, "email": "someone@example.org", "displayName": shown,
        "password": "a long enough password",
    });
    server.rest().post("/api/v1/auth/register", &body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_hold_nothing_that_nobody_sees_and_no_path() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let names = [
        "../../etc",
        "a/b",
        "a\\b",
        "a\0b",
        "a\u{202e}b",
        "\u{430}da",
        "ad\u{200b}min",
        "a b",
        "a@b",
        "ａｄａ",
        "..",
        "-a",
        "a\nb",
        "ada\u{0301}",
        "here",
    ];
    for name in names {
        register(&stage.server, name, "Someone").await.problem(422, "invalid_field").unwrap();
    }
    for shown in ["\u{202e}nimda", "ad\u{200b}min", "a\0b", "\u{feff}", "a\u{2028}b", "\u{3164}"] {
        let refused = register(&stage.server, "someone", shown).await;
        let problem = refused.problem(422, "invalid_field").unwrap();
        assert_eq!(problem["errors"][0]["pointer"], "/displayName", "{shown:?}");
        let room = json!({"type": "channel", "name": format!("x{shown}x")});
        let refused = stage.ada.post("/api/v1/rooms", &room).await.unwrap();
        refused.problem(422, "invalid_field").unwrap();
    }
    // Scripts and emoji are what names are for; letters that look alike are told apart by the user
    // name beside them, which has none.
    for (name, shown) in [("someone", "Ада 👩\u{200d}👩\u{200d}👧"), ("ada-2", "\u{410}d\u{430}")]
    {
        let answer = register(&stage.server, name, shown).await;
        assert!([201, 409].contains(&answer.status), "{shown}: {}", answer.status);
        assert_ne!(answer.code(), "username_taken");
    }
    let upper = json!({"username": "ADA", "email": "a@example.org", "password": "a long password"});
    let upper = stage.server.rest().post("/api/v1/auth/register", &upper).await.unwrap();
    upper.problem(409, "username_taken").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_others_lead_nowhere() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let (ada, eve) = (&stage.ada, stage.server.rest_as("eve"));
    let body = json!({"type": "group", "name": "hers"});
    let mine = eve.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let mine = mine.text("roomId").unwrap();
    let path = format!("/api/v1/rooms/{}/messages", stage.room);
    let sent = ada.post(&path, &json!({"content": "of ada"})).await.unwrap().success().unwrap();
    let message = sent.text("messageId").unwrap();
    let me = ada.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let ada_id = me.text("userId").unwrap();
    // A session of someone else's, and an invitation of theirs.
    let sessions = stage.root.get("/api/v1/auth/sessions").await.unwrap().success().unwrap();
    let session = sessions.items().unwrap()[0]["sessionId"].as_str().unwrap().to_owned();
    let invited = json!({ "roomId": stage.room });
    let invitation = ada.post("/api/v1/invitations", &invited).await.unwrap().success().unwrap();
    let invitation = invitation.text("invitationId").unwrap();
    for (method, path, body, code) in [
        (Method::GET, format!("rooms/{mine}/messages/{message}"), Value::Null, "message_not_found"),
        (
            Method::PATCH,
            format!("rooms/{mine}/messages/{message}"),
            json!({"content": "x"}),
            "message_not_found",
        ),
        (
            Method::DELETE,
            format!("rooms/{mine}/messages/{message}"),
            Value::Null,
            "message_not_found",
        ),
        (
            Method::PATCH,
            format!("rooms/{mine}/members/{ada_id}"),
            json!({"role": "admin"}),
            "member_not_found",
        ),
        (Method::DELETE, format!("rooms/{mine}/members/{ada_id}"), Value::Null, "member_not_found"),
        (Method::DELETE, format!("auth/sessions/{session}"), Value::Null, "session_not_found"),
        (Method::DELETE, format!("invitations/{invitation}"), Value::Null, "invitation_not_found"),
        (Method::DELETE, format!("auth/sessions/{message}"), Value::Null, "session_not_found"),
        (Method::GET, format!("rooms/{message}"), Value::Null, "room_not_found"),
        (Method::GET, format!("users/{}", stage.room), Value::Null, "user_not_found"),
    ] {
        let path = format!("/api/v1/{path}");
        let answer = match &body {
            Value::Null => eve.ask(method.clone(), &path, &[], Bytes::new()).await.unwrap(),
            body => eve.json(method.clone(), &path, body).await.unwrap(),
        };
        let problem = answer.problem(404, code);
        problem.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
    }
    // All are still there for those whose they are.
    stage.root.get("/api/v1/users/me").await.unwrap().success().unwrap();
    ada.get(&format!("/api/v1/rooms/{}/messages/{message}", stage.room))
        .await
        .unwrap()
        .success()
        .unwrap();
    let path = format!("/api/v1/invitations/{invitation}");
    ada.ask(Method::DELETE, &path, &[], Bytes::new()).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_good_for_nothing_from_other_pages() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = stage().await;
    let token = token::of("ada");
    let own = format!("http://{}", stage.server.address());
    let knock = async |origin: &str| {
        let mut hostile = Hostile::connect(stage.server.address()).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Cookie: klatch_access={token}\r\n{origin}\r\n",
            stage.server.address()
        );
        hostile.send(request.as_bytes()).await.unwrap();
        hostile.head().await.unwrap()
    };
    assert!(knock(&format!("Origin: {own}\r\n")).await.starts_with("HTTP/1.1 101 "));
    for origin in
        ["", "Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: http://x\r\n"]
    {
        let head = knock(origin).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{origin}: {head}");
    }
    let path = format!("/api/v1/rooms/{}/messages", stage.room);
    let cookie = format!("klatch_access={token}; klatch_csrf=known");
    let rest = stage.server.rest();
    let body = || Bytes::from_static(b"{\"content\":\"x\"}");
    for extra in [("x-other", "x"), ("x-klatch-csrf", "guess"), ("x-klatch-csrf", "")] {
        let headers = [("content-type", "application/json"), ("cookie", &cookie), extra];
        let answer = rest.ask(Method::POST, &path, &headers, body()).await.unwrap();
        answer.problem(403, "csrf_failed").unwrap();
    }
    let headers =
        [("content-type", "application/json"), ("cookie", &cookie), ("x-klatch-csrf", "known")];
    rest.ask(Method::POST, &path, &headers, body()).await.unwrap().success().unwrap();
}
