//! What every operation of the `OpenAPI` document may answer besides what its route says.

use serde_json::{Map, Value, json};

const PROBLEM: &str = "#/components/responses/Problem";
const DOCUMENT: &str = "#/components/schemas/Problem";

/// Completes the document: problems have their own type, every operation names the refusals that
/// come before its route is reached, and shared parameters say what they take.
pub(crate) fn complete(document: &mut Value) {
    let problem = json!({
        "description": "A problem document; its `code` says which",
        "content": {"application/problem+json": {"schema": {"$ref": DOCUMENT}}},
    });
    if let Some(components) = object(document, "/components") {
        components.insert("responses".to_owned(), json!({"Problem": problem}));
    }
    // An empty list is of both kinds.
    if let Some(rooms) = object(document, "/components/schemas/SyncRooms")
        && let Some(kinds) = rooms.remove("oneOf")
    {
        rooms.insert("anyOf".to_owned(), kinds);
    }
    let items = object(document, "/paths").into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let refusals = refusals(operation);
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        parameters.into_iter().flatten().for_each(bound);
        let Some(responses) = object(operation, "/responses") else { continue };
        responses.values_mut().for_each(type_problems);
        for status in refusals {
            responses.entry(status).or_insert_with(|| json!({"$ref": PROBLEM}));
        }
    }
}

fn object<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    value.pointer_mut(pointer)?.as_object_mut()
}

/// Statuses that any operation of this shape may answer.
fn refusals(operation: &Value) -> Vec<&'static str> {
    let mut statuses = vec!["400", "429", "default"];
    if operation.get("security").is_some() {
        statuses.extend(["401", "403"]);
    }
    if operation.get("requestBody").is_some() {
        statuses.extend(["413", "415", "422"]);
    }
    statuses
}

fn type_problems(response: &mut Value) {
    let Some(content) = object(response, "/content") else { return };
    let schema = content.get("application/json").and_then(|json| json.pointer("/schema/$ref"));
    if schema.and_then(Value::as_str) == Some(DOCUMENT)
        && let Some(problem) = content.remove("application/json")
    {
        content.insert("application/problem+json".to_owned(), problem);
    }
}

/// What shared parameters take.
fn bound(parameter: &mut Value) {
    let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
    let schema = match (text("name"), text("in")) {
        ("limit", _) => json!({"type": "integer", "minimum": 1, "maximum": 200}),
        ("scope", _) => json!({"type": "string", "enum": ["joined", "public"]}),
        ("progress", _) => json!({"type": "string", "enum": ["ndjson"]}),
        (name, "path") if name.ends_with("Id") => json!({"type": "string", "format": "uuid"}),
        _ => return,
    };
    if let Some(parameter) = parameter.as_object_mut() {
        parameter.insert("schema".to_owned(), schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_names_the_refusals_of_its_shape_as_problem_documents() {
        let document = crate::openapi::document();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                for status in refusals(operation) {
                    assert!(responses.contains_key(status), "{method} {path}: {status}");
                }
                for (status, response) in responses {
                    let refused = status.starts_with('4');
                    let plain = &response["content"]["application/json"];
                    assert!(!refused || plain.is_null(), "{method} {path}: {status}");
                }
            }
        }
    }
}
