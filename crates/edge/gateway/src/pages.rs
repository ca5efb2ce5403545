//! Pages for people, made without scripts or anything from elsewhere.

use std::fmt::Write as _;

use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use klatch_protocol::problem::Code;
use serde_json::Value;

use crate::reply;

/// What a page of this server may do: load its own files and talk to its own address.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'",
);
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
/// No page of this server has a use for them.
const NO_DEVICES: HeaderValue =
    HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()");

pub(crate) const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow: auto; padding: .5rem 1rem; border: 1px solid #8884; border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; vertical-align: top; }
details { border: 1px solid #8884; border-radius: .5rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
.method { display: inline-block; font-weight: 700; min-width: 4.5rem; }
";

/// Gives a page or a file of one what keeps strangers' scripts, windows and frames off it.
pub(crate) fn guard(headers: &mut HeaderMap) {
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(OPENER, same_origin.clone());
    headers.insert(RESOURCE, same_origin);
    headers.insert(PERMISSIONS, NO_DEVICES);
}

/// A page of HTML.
pub(crate) fn html(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = reply::with_type(status, kind, text);
    guard(response.headers_mut());
    response
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/api/v1/docs/style.css\">\
         <h1>{title}</h1>\n{body}</html>\n",
        title = escaped(title),
    )
}

/// The codes with their explanations.
pub(crate) fn problems(codes: &[Code]) -> String {
    let mut body =
        String::from("<table><thead><tr><th>status<th>code<th>what it means</tr></thead><tbody>\n");
    for code in codes {
        // Writing to a String cannot fail.
        let _ = writeln!(
            body,
            "<tr><td>{}<td><a href=\"/api/v1/problems/{text}\"><code>{text}</code></a>\
             <td><strong>{}.</strong> {}</tr>",
            code.status(),
            escaped(code.title()),
            prose(code.explanation()),
            text = code.as_str(),
        );
    }
    body.push_str("</tbody></table>\n<p><a href=\"/api/v1/docs\">The whole interface</a></p>\n");
    let title = match codes {
        [code] => code.title(),
        _ => "Problems",
    };
    page(title, &body)
}

/// The page to show where the web client would be.
pub(crate) fn no_client() -> String {
    page(
        "Klatch is running",
        "<p>This binary was built without the web client. To have it here, run \
         <code>npm ci</code> and <code>npm run build</code> in the folder <code>web</code>, and \
         build the binary again.</p>\n\
         <p>The interface is at <code>/api/v1</code>: <a href=\"/api/v1/docs\">reference</a>, \
         <a href=\"/api/v1/openapi.json\">OpenAPI</a>.</p>\n",
    )
}

/// The `OpenAPI` document as a page: every operation with its parameters, bodies and answers, and
/// every schema.
pub(crate) fn reference(document: &Value) -> String {
    let mut body = String::from(
        "<p>All paths answer JSON. Errors are problem documents (RFC 9457); \
         <a href=\"/api/v1/problems\">all codes</a>. \
         <a href=\"/api/v1/openapi.json\">OpenAPI document</a>.</p>\n",
    );
    for (path, item) in entries(at(document, "/paths")) {
        for (method, operation) in entries(item) {
            body.push_str(&operation_html(path, method, operation));
        }
    }
    body.push_str("<h2>Schemas</h2>\n");
    for (name, schema) in entries(at(document, "/components/schemas")) {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = writeln!(
            body,
            "<details id=\"{0}\"><summary><code>{0}</code></summary><pre>{1}</pre></details>",
            escaped(name),
            escaped(&text),
        );
    }
    page("Klatch: the REST interface", &body)
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let text = |key: &str| operation[key].as_str().unwrap_or_default();
    let mut out = format!(
        "<details><summary><span class=\"method\">{}</span><code>{}</code> {}</summary>\n<p>{}</p>\n",
        escaped(&method.to_uppercase()),
        escaped(path),
        escaped(text("summary")),
        prose(text("description")),
    );
    let mut rows = String::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let part = |key: &str| parameter[key].as_str().unwrap_or_default();
        let _ = writeln!(
            rows,
            "<tr><td>{}<td><code>{}</code><td>{}</tr>",
            escaped(part("in")),
            escaped(part("name")),
            prose(part("description")),
        );
    }
    for (kind, content) in entries(at(operation, "/requestBody/content")) {
        let schema = reference_of(&content["schema"]);
        let _ = writeln!(rows, "<tr><td>body<td>{schema}<td><code>{}</code></tr>", escaped(kind));
    }
    for (status, response) in entries(&operation["responses"]) {
        let schema = entries(&response["content"])
            .map(|(_, content)| reference_of(&content["schema"]))
            .collect::<String>();
        let words = prose(response["description"].as_str().unwrap_or_default());
        let _ = writeln!(rows, "<tr><td>{}<td>{schema}<td>{words}</tr>", escaped(status));
    }
    let _ = writeln!(out, "<table><tbody>\n{rows}</tbody></table></details>");
    out
}

fn reference_of(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.map_or(String::new(), |name| {
        format!("<a href=\"#{0}\"><code>{0}</code></a>", escaped(name))
    })
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Text with `code` marked as such.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.trim().split('`').enumerate() {
        let part = escaped(part);
        if index % 2 == 0 {
            out.push_str(&part);
        } else {
            let _ = write!(out, "<code>{part}</code>");
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
