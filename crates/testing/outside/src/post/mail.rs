//! What a mail server took.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A mail as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Head and body, with the dots that SMTP put in taken out, lines ended by line feeds.
    pub data: String,
    /// Whether it came through TLS.
    pub secret: bool,
    /// Who had shown who they are.
    pub login: Option<String>,
}

impl Mail {
    /// A field of the head, folded lines put together; empty when it is not there.
    pub fn header(&self, name: &str) -> String {
        let mut found: Option<String> = None;
        for line in self.data.lines().take_while(|line| !line.is_empty()) {
            match (&mut found, line.split_once(':')) {
                (Some(text), _) if line.starts_with([' ', '\t']) => text.push_str(line),
                (Some(_), _) => break,
                (None, Some((key, value))) if key.eq_ignore_ascii_case(name) => {
                    found = Some(value.trim().to_owned());
                }
                (None, _) => {}
            }
        }
        found.unwrap_or_default()
    }

    /// The body as a person reads it.
    pub fn text(&self) -> String {
        let body = self.data.split_once("\n\n").map_or("", |(_, body)| body);
        match self.header("Content-Transfer-Encoding").to_ascii_lowercase().as_str() {
            "base64" => {
                let joined: String = body.lines().collect();
                String::from_utf8_lossy(&BASE64.decode(joined).unwrap_or_default()).into_owned()
            }
            "quoted-printable" => unquoted(body),
            _ => body.to_owned(),
        }
    }

    /// The first word of the body that begins with `start`, such as an address.
    pub fn word(&self, start: &str) -> Option<String> {
        let text = self.text();
        let found = text.split_whitespace().find(|word| word.starts_with(start));
        found.map(str::to_owned)
    }
}

/// Quoted-printable text (RFC 2045) as it was.
fn unquoted(body: &str) -> String {
    let joined = body.replace("=\n", "");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut rest = joined.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| *first == b'=');
        let code = code.and_then(|two| std::str::from_utf8(two).ok());
        if let Some(byte) = code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_body_and_a_folded_head_are_read_as_they_were_meant() {
        let head = "Subject: one\n two\nContent-Transfer-Encoding: quoted-printable\n\n";
        let body = "gr=C3=BCn=\n er\nsee https://x/=3Da\n";
        let mail = Mail { data: format!("{head}{body}"), ..Mail::default() };
        assert_eq!(mail.header("subject"), "one two");
        assert_eq!(mail.text(), "grün er\nsee https://x/=a\n");
        assert_eq!(mail.word("https://").as_deref(), Some("https://x/=a"));
        assert_eq!(mail.header("To"), "");
    }
}
