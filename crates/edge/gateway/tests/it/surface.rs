//! What holds for every route.

use serde_json::{Value, json};

use crate::client::Call;
use crate::world::{Setup, World};
use klatch_gateway::Config;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    klatch_gateway::document()
}

/// Every path of the `OpenAPI` document with its operations, ids filled in.
fn paths() -> Vec<(String, Value)> {
    let id = "0192f7a0-5c3e-7abc-8def-0123456789ab";
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let fill = |path: &String| {
        let path = path.replace("{code}", "not_found");
        path.split('/')
            .map(|part| if part.starts_with('{') { id } else { part })
            .collect::<Vec<_>>()
            .join("/")
    };
    paths.iter().map(|(path, item)| (fill(path), item.clone())).collect()
}

#[tokio::test]
async fn every_documented_operation_is_served_and_no_other() {
    let world = World::new().await;
    for (path, item) in paths() {
        let mut wanted: Vec<&str> =
            METHODS.into_iter().filter(|method| item.get(method).is_some()).collect();
        if wanted.contains(&"get") {
            wanted.push("head");
        }
        // The list of methods comes with the refusal of one that is never served.
        let answer = Call::new(world.address, "TRACE", &path).send().await;
        assert_eq!(answer.problem(405), "method_not_allowed", "{path}");
        let allow = answer.header("allow").to_lowercase();
        let mut allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
        wanted.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(allowed, wanted, "{path}");
    }
}

#[tokio::test]
async fn every_operation_that_needs_a_token_refuses_without_one() {
    let world = World::new().await;
    let mut open = Vec::new();
    for (path, item) in paths() {
        for method in METHODS.into_iter().filter(|method| item.get(method).is_some()) {
            if item[method].get("security").is_none() {
                open.push(format!("{method} {path}"));
                continue;
            }
            let call = Call::new(world.address, &method.to_uppercase(), &path);
            let answer = call.json(&json!({})).send().await;
            assert_eq!(answer.problem(401), "unauthorized", "{method} {path}");
        }
    }
    let wanted = [
        "get /api/v1/docs",
        "get /api/v1/meta",
        "get /api/v1/openapi.json",
        "get /api/v1/problems",
        "get /api/v1/problems/not_found",
        "get /healthz",
        "get /metrics",
        "get /readyz",
        "post /api/v1/auth/login",
        "post /api/v1/auth/refresh",
        "post /api/v1/auth/register",
        "post /api/v1/auth/reset",
        "post /api/v1/auth/reset/request",
        "post /api/v1/invitations/look",
    ];
    open.sort();
    assert_eq!(open, wanted);
}

#[tokio::test]
async fn metrics_are_shown_to_whoever_has_their_token_once_there_is_one() {
    let token = "0123456789abcdef";
    let config = Config { metrics_token: Some(token.to_owned()), ..Config::default() };
    let world = World::with(Setup { config, ..Setup::default() }).await;
    let metrics = || Call::new(world.address, "GET", "/metrics");
    let answer = metrics().send().await;
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"klatch\"");
    assert_eq!(answer.problem(401), "unauthorized");
    let person = world.person("ann").await.token;
    for wrong in ["0123456789abcde", "0123456789abcdef0", &person] {
        let answer = metrics().token(wrong).send().await;
        assert_eq!(answer.problem(401), "invalid_token", "{wrong}");
    }
    assert_eq!(metrics().header("authorization", token).send().await.problem(401), "unauthorized");
    assert_eq!(metrics().token(token).send().await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_security_headers() {
    let world = World::new().await;
    for path in
        ["/api/v1/meta", "/api/v1/rooms", "/api/v1/nothing", "/healthz", "/api/v1/docs", "/x.js"]
    {
        let own = Call::new(world.address, "GET", path).header("x-request-id", "trace-7");
        let answer = own.send().await;
        assert_eq!(answer.header("x-request-id"), "trace-7", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        for bad in ["", "a b", &"x".repeat(129), "ü"] {
            let answer =
                Call::new(world.address, "GET", path).header("x-request-id", bad).send().await;
            let made = answer.header("x-request-id");
            assert!(made.len() == 32 && made != bad, "{path} {bad}");
        }
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_its_references_lead_somewhere() {
    let world = World::new().await;
    let answer = Call::new(world.address, "GET", "/api/v1/openapi.json").send().await;
    let tag = answer.header("etag").to_owned();
    let served = answer.ok(200);
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let again = Call::new(world.address, "GET", "/api/v1/openapi.json");
    again.header("if-none-match", &tag).send().await.ok(304);
    let text = served.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(served.pointer(pointer).is_some(), "{pointer}");
    }
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let named = path.matches('{').count();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let listed = parameters.iter().filter(|it| it["in"] == "path").count();
            assert_eq!(listed, named, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn pages_for_people_load_nothing_from_elsewhere() {
    let world = World::new().await;
    for path in ["/api/v1/docs", "/api/v1/problems", "/api/v1/problems/room_not_found"] {
        let answer = Call::new(world.address, "GET", path).send().await;
        assert_eq!(answer.status, 200, "{path}");
        let html = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!html.contains("<script") && !html.contains("http"), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(answer.header("permissions-policy").contains("camera=()"), "{path}");
    }
    let answer = Call::new(world.address, "GET", "/api/v1/problems/nonsense").send().await;
    assert_eq!(answer.problem(404), "not_found");
    let style = Call::new(world.address, "GET", "/api/v1/docs/style.css").send().await;
    assert_eq!(style.header("content-type"), "text/css");
}

#[tokio::test]
async fn health_and_metrics_answer_without_a_token() {
    let world = World::new().await;
    let get = |path: &str| Call::new(world.address, "GET", path);
    assert_eq!(get("/healthz").send().await.ok(200), json!({"status": "ok"}));
    let ready = get("/readyz").send().await.ok(200);
    assert_eq!(
        ready,
        json!({"ready": true, "checks": {"log": "ok", "store": "ok"}, "durability": "fsync"})
    );
    let metrics = get("/metrics").send().await;
    assert_eq!(metrics.body, "klatch_up 1\n");
    let setup = Setup { not_ready: Some("2,000 events behind".to_owned()), ..Setup::default() };
    let world = World::with(setup).await;
    let ready = Call::new(world.address, "GET", "/readyz").send().await.ok(503);
    assert_eq!(ready["checks"]["store"], "2,000 events behind");
    let meta = world.call("GET", "meta").send().await.ok(200);
    assert_eq!(
        (&meta["name"], &meta["durability"], &meta["limits"]["contentChars"]),
        (&json!("klatch"), &json!("fsync"), &json!(40_000))
    );
}

#[tokio::test]
async fn the_root_shows_the_client_or_how_to_build_it() {
    let world = World::new().await;
    let root = Call::new(world.address, "GET", "/").send().await;
    assert_eq!(root.status, 200);
    assert!(root.header("content-type").starts_with("text/html"));
    assert!(root.header("content-security-policy").contains("frame-ancestors 'none'"));
    let built = root.header("cache-control") == "no-cache";
    let page = Call::new(world.address, "GET", "/rooms/of/the/client").send().await;
    if built {
        assert_eq!(page.body, root.body);
        let packed = Call::new(world.address, "GET", "/").header("accept-encoding", "br, gzip");
        assert!(packed.send().await.body.len() < root.body.len());
        let known =
            Call::new(world.address, "GET", "/").header("if-none-match", root.header("etag"));
        known.send().await.ok(304);
        let html = String::from_utf8_lossy(&root.body).into_owned();
        let asset = html.split('"').find(|part| part.starts_with("/assets/")).unwrap();
        let asset = Call::new(world.address, "GET", asset).send().await;
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
    } else {
        assert!(String::from_utf8_lossy(&root.body).contains("npm run build"));
        page.problem(404);
    }
    let missing = Call::new(world.address, "GET", "/assets/no-such-file.js").send().await;
    assert_eq!(missing.problem(404), "not_found");
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_if_configured() {
    let ask = |world: &World, origin: &str| {
        let call = world.call("OPTIONS", "rooms").header("origin", origin);
        call.header("access-control-request-method", "POST")
    };
    let world = World::new().await;
    let answer = ask(&world, "https://other.example").send().await;
    assert!(answer.headers.get("access-control-allow-origin").is_none());
    let config =
        Config { allowed_origins: vec!["https://app.example".to_owned()], ..Config::default() };
    let world = World::with(Setup { config, ..Setup::default() }).await;
    let answer = ask(&world, "https://app.example").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    assert!(answer.headers.get("access-control-allow-credentials").is_none());
    let answer = ask(&world, "https://other.example").send().await;
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}
