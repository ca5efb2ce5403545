use serde_json::json;

use crate::client::Answer;
use crate::world::{PASSWORD, World, text};

#[tokio::test]
async fn a_person_registers_signs_in_refreshes_and_leaves() {
    let world = World::new().await;
    let body = json!({
        "username": "Ann", "email": "ann@example.org", "password": PASSWORD,
        "displayName": "Ann B.",
    });
    let answer = world.call("POST", "auth/register").json(&body).send().await;
    let position = answer.header("x-klatch-position").to_owned();
    let made = answer.ok(201);
    assert_eq!(text(&made, "position"), position);
    assert_eq!(made["expiresIn"], 900);
    let user = &made["user"];
    assert_eq!((&user["username"], &user["displayName"]), (&json!("ann"), &json!("Ann B.")));
    assert_eq!((&user["email"], &user["role"]), (&json!("ann@example.org"), &json!("member")));

    let login = json!({"login": "ann@example.org", "password": PASSWORD});
    let signed_in = world.call("POST", "auth/login").json(&login).send().await.ok(200);
    let (token, refresh) = (text(&signed_in, "accessToken"), text(&signed_in, "refreshToken"));
    let me = world.call("GET", "users/me").token(&token).header("x-klatch-position", &position);
    assert_eq!(text(&me.send().await.ok(200), "userId"), text(user, "userId"));

    let again = json!({"refreshToken": refresh});
    let fresh = world.call("POST", "auth/refresh").json(&again).send().await.ok(200);
    assert_ne!(text(&fresh, "refreshToken"), refresh);
    assert_eq!(fresh["sessionId"], signed_in["sessionId"]);

    world.call("POST", "auth/logout").token(&token).send().await.ok(204);
    let answer = world.call("GET", "users/me").token(&token).send().await;
    assert_eq!(answer.problem(401), "session_revoked");
    assert!(answer.header("www-authenticate").contains("invalid_token"));
    let first = text(&made, "accessToken");
    world.call("GET", "users/me").token(&first).send().await.ok(200);
}

#[tokio::test]
async fn refusals_to_sign_in_have_their_codes() {
    let world = World::new().await;
    world.person("ann").await;
    let register = |body| world.call("POST", "auth/register").json(&body);
    let taken = json!({"username": "ANN", "email": "x@example.org", "password": PASSWORD});
    assert_eq!(register(taken).send().await.problem(409), "username_taken");
    let taken = json!({"username": "bob", "email": "Ann@example.org", "password": PASSWORD});
    let answer = register(taken).send().await;
    assert_eq!(answer.problem(409), "email_taken");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/email");
    let short = json!({"username": "bob", "email": "b@example.org", "password": "short"});
    let answer = register(short).send().await;
    assert_eq!(answer.problem(422), "invalid_field");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/password");
    assert!(!String::from_utf8_lossy(&answer.body).contains("short"));
    let setup = json!({
        "username": "bob", "email": "b@example.org", "password": PASSWORD, "setupToken": "guess",
    });
    assert_eq!(register(setup).send().await.problem(403), "invalid_setup_token");

    let login = |password: &str| {
        world.call("POST", "auth/login").json(&json!({"login": "ann", "password": password}))
    };
    for _ in 0..5 {
        assert_eq!(login("wrong password").send().await.problem(401), "invalid_credentials");
    }
    let answer = login(PASSWORD).send().await;
    assert_eq!(answer.problem(429), "locked_out");
    assert_eq!(answer.header("retry-after"), "1");
    let refresh = world.call("POST", "auth/refresh").json(&json!({"refreshToken": "x"}));
    assert_eq!(refresh.send().await.problem(401), "invalid_refresh_token");
    let nothing = world.call("POST", "auth/refresh").send().await;
    assert_eq!(nothing.problem(422), "missing_field");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_alone() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let eve = world.person("eve").await;
    let login = json!({"login": "ann", "password": PASSWORD});
    let call = world.call("POST", "auth/login").header("user-agent", "Phone/1.0").json(&login);
    let other = call.send().await.ok(200);
    let list = world.call("GET", "auth/sessions").token(&ann.token).send().await.ok(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items.iter().filter(|item| item["current"] == true).count(), 1);
    assert!(items.iter().any(|item| item["device"] == "Phone/1.0"));
    let path = format!("auth/sessions/{}", text(&other, "sessionId"));
    let by_eve = world.call("DELETE", &path).token(&eve.token).send().await;
    assert_eq!(by_eve.problem(404), "session_not_found");
    world.call("DELETE", &path).token(&ann.token).send().await.ok(204);
    let token = text(&other, "accessToken");
    let answer = world.call("GET", "users/me").token(&token).send().await;
    assert_eq!(answer.problem(401), "session_revoked");
}

struct Cookies {
    access: String,
    refresh: String,
    csrf: String,
}

fn cookies(answer: &Answer) -> Cookies {
    Cookies {
        access: answer.cookie("klatch_access"),
        refresh: answer.cookie("klatch_refresh"),
        csrf: answer.cookie("klatch_csrf"),
    }
}

async fn by_cookie(world: &World) -> Cookies {
    let login = json!({"login": "ann", "password": PASSWORD, "cookie": true});
    let answer = world.call("POST", "auth/login").json(&login).send().await;
    for (name, hidden) in
        [("klatch_access", true), ("klatch_refresh", true), ("klatch_csrf", false)]
    {
        let mut set = answer.headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap());
        let line = set.find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line.contains("HttpOnly"), hidden, "{line}");
        assert!(line.contains("SameSite=Lax") && line.contains("Path=/"), "{line}");
    }
    let found = cookies(&answer);
    let body = answer.ok(200);
    assert!(body.get("accessToken").is_none() && body.get("refreshToken").is_none(), "{body}");
    assert_eq!(body["expiresIn"], 900);
    found
}

#[tokio::test]
async fn a_browser_signs_in_by_cookie_and_changes_need_the_csrf_header() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let Cookies { access, csrf, .. } = by_cookie(&world).await;
    assert_eq!(csrf.rsplit_once('.').unwrap().1, ann.id, "{csrf}");
    let cookie = format!("other=1; klatch_access={access}; klatch_csrf={csrf}");
    let read = world.call("GET", "users/me").header("cookie", &cookie);
    let read = read.header("x-klatch-position", &ann.position).send().await;
    assert_eq!(text(&read.ok(200), "userId"), ann.id);

    let room = json!({"type": "channel", "name": "den"});
    let change = || world.call("POST", "rooms").header("cookie", &cookie).json(&room);
    assert_eq!(change().send().await.problem(403), "csrf_failed");
    let wrong = change().header("x-klatch-csrf", "guess").send().await;
    assert_eq!(wrong.problem(403), "csrf_failed");
    let cross = change().header("x-klatch-csrf", &csrf).header("sec-fetch-site", "cross-site");
    assert_eq!(cross.send().await.problem(403), "csrf_failed");
    let without = format!("klatch_access={access}; klatch_csrf=");
    let empty = world.call("POST", "rooms").header("cookie", &without).header("x-klatch-csrf", "");
    assert_eq!(empty.json(&room).send().await.problem(403), "csrf_failed");
    change().header("x-klatch-csrf", &csrf).send().await.ok(202);
    // With a token in the header the cookies do not count.
    change().token(&ann.token).send().await.problem(409);
}

#[tokio::test]
async fn a_browser_refreshes_and_leaves_by_cookie() {
    let world = World::new().await;
    world.person("ann").await;
    let Cookies { refresh, csrf, .. } = by_cookie(&world).await;
    let cookie = format!("klatch_refresh={refresh}; klatch_csrf={csrf}");
    let ask = || world.call("POST", "auth/refresh").header("cookie", &cookie);
    let body = json!({"cookie": true});
    assert_eq!(ask().json(&body).send().await.problem(403), "csrf_failed");
    let answer = ask().header("x-klatch-csrf", &csrf).json(&body).send().await;
    let fresh = cookies(&answer);
    assert!(answer.ok(200).get("accessToken").is_none());
    assert_ne!(fresh.refresh, refresh);
    let cookie = format!("klatch_access={}; klatch_csrf={}", fresh.access, fresh.csrf);
    let leave = world.call("POST", "auth/logout").header("cookie", &cookie).json(&body);
    let left = leave.header("x-klatch-csrf", &fresh.csrf).send().await;
    assert_eq!(cookies(&left).access, "");
    left.ok(204);
    // What is over is also taken from the browser.
    let cookie = format!("klatch_refresh={}; klatch_csrf={csrf}", fresh.refresh);
    let again = world.call("POST", "auth/refresh").header("cookie", &cookie);
    let answer = again.header("x-klatch-csrf", &csrf).json(&body).send().await;
    assert_eq!(answer.problem(401), "invalid_refresh_token");
    assert_eq!(cookies(&answer).refresh, "");
}

#[tokio::test]
async fn people_are_found_and_their_addresses_are_their_own() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let bob = world.person("bob").await;
    let see = |path: &str| {
        world.call("GET", path).token(&ann.token).header("x-klatch-position", &bob.position)
    };
    let seen = see(&format!("users/{}", bob.id)).send().await;
    let tag = seen.header("etag").to_owned();
    let seen = seen.ok(200);
    assert_eq!(seen["username"], "bob");
    assert!(seen.get("email").is_none(), "{seen}");
    let path = format!("users/{}", bob.id);
    see(&path).header("if-none-match", &format!("\"x\", W/{tag}")).send().await.ok(304);
    see(&path).header("if-none-match", "\"x\"").send().await.ok(200);
    let me = see("users/me").send().await.ok(200);
    assert_eq!(me["email"], "ann@example.org");
    let found = see("users?q=BO").send().await.ok(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(found["items"][0].get("email").is_none());
    let all = see("users?limit=1").send().await.ok(200);
    let next = see(&format!("users?limit=1&cursor={}", text(&all, "nextCursor")));
    let next = next.send().await.ok(200);
    assert_ne!(all["items"][0]["userId"], next["items"][0]["userId"]);
    assert!(next.get("nextCursor").is_none(), "{next}");
    for id in ["0192f7a0-5c3e-7abc-8def-0123456789ab", "x", "%ff"] {
        let answer = see(&format!("users/{id}")).send().await;
        assert!(["user_not_found", "not_found"].contains(&answer.problem(404).as_str()));
    }
}
