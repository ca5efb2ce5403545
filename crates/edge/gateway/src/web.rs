//! The web client's files, which the binary carries.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use klatch_protocol::problem::Code;
use rust_embed::RustEmbed;

use crate::fault::Fault;
use crate::{pages, reply};

/// The build script makes the folder; a wrong path fails the build instead of leaving all out.
#[derive(RustEmbed)]
#[folder = "../../../web/dist"]
struct Files;

/// The page that every address of the client begins with.
const INDEX: &str = "index.html";
/// Files below this have a hash of their content in their name.
const HASHED: &str = "assets/";
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

struct Asset {
    bytes: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
    hashed: bool,
    /// Packed at the first request that takes it; `None` when packing does not pay.
    packed: OnceLock<Option<Bytes>>,
}

static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(|| {
    let names = Files::iter();
    names.filter_map(|name| Some((name.to_string(), asset(&name)?))).collect()
});

fn asset(name: &str) -> Option<Asset> {
    let file = Files::get(name)?;
    let hash = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", BASE64.encode(hash.get(..12)?));
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let text = kind.type_() == mime_guess::mime::TEXT;
    let kind = if text { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    Some(Asset {
        bytes: match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        },
        kind: HeaderValue::try_from(kind).ok()?,
        tag: HeaderValue::try_from(tag).ok()?,
        hashed: name.starts_with(HASHED),
        packed: OnceLock::new(),
    })
}

/// The file at `path`; the client's first page where there is none, because the client has
/// addresses of its own.
pub(crate) fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Code::NotFound.into());
    }
    let name = path.trim_start_matches('/');
    let found = ASSETS.get(if name.is_empty() { INDEX } else { name });
    if let Some(asset) = found {
        return Ok(answer(asset, headers));
    }
    // Whatever looks like a file was meant to be one.
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    if is_file || name.starts_with(HASHED) {
        return Err(Code::NotFound.into());
    }
    match ASSETS.get(INDEX) {
        Some(index) => Ok(answer(index, headers)),
        None if name.is_empty() => Ok(pages::html(StatusCode::OK, pages::no_client())),
        None => Err(Code::NotFound.into()),
    }
}

fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',');
        let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|tag| tag.as_bytes() == asset.tag.as_bytes())
    });
    let packed = takes_gzip(headers).then(|| packed(asset)).flatten();
    let mut response = match (&packed, known) {
        (_, true) => reply::with_type(StatusCode::NOT_MODIFIED, asset.kind.clone(), Bytes::new()),
        (Some(packed), _) => reply::with_type(StatusCode::OK, asset.kind.clone(), packed.clone()),
        (None, _) => reply::with_type(StatusCode::OK, asset.kind.clone(), asset.bytes.clone()),
    };
    let out = response.headers_mut();
    if packed.is_some() && !known {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    out.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    out.insert(ETAG, asset.tag.clone());
    out.insert(CACHE_CONTROL, if asset.hashed { FOREVER } else { ASK_AGAIN });
    pages::guard(out);
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn packed(asset: &Asset) -> Option<Bytes> {
    let pack = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&asset.bytes).ok()?;
        let packed = encoder.finish().ok()?;
        // Pictures and fonts are packed already.
        (packed.len() < asset.bytes.len() * 9 / 10).then(|| packed.into())
    };
    asset.packed.get_or_init(pack).clone()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_built_client_is_carried_under_its_name() {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../web/dist");
        let mut folders = vec![dist.clone()];
        let mut on_disk = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&dist).unwrap();
                    on_disk.push(name.to_str().unwrap().to_owned());
                }
            }
        }
        on_disk.sort();
        let mut carried: Vec<String> = Files::iter().map(Cow::into_owned).collect();
        carried.sort();
        assert_eq!(carried, on_disk);
    }
}
