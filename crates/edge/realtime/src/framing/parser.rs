//! Cuts a peer's byte stream into frames and joins frames to messages.

use klatch_protocol::ws::close::CloseCode;

use super::header::{self, Header};
use super::mask::unmask;
use super::{Flow, FrameLimits, Incoming, Violation, close, deflate, too_big};

/// The reading half of a connection. Holds no memory of its own between whole messages.
#[derive(Debug)]
pub struct Parser {
    limits: FrameLimits,
    /// Whether messages may be compressed.
    deflate: bool,
    held: Option<Box<Held>>,
}

/// What has to wait for more bytes.
#[derive(Debug, Default)]
struct Held {
    /// The bytes of a frame that is not complete, still masked.
    frame: Vec<u8>,
    /// The fragments of a message that is not complete.
    message: Option<Vec<u8>>,
    /// Whether that message is compressed.
    packed: bool,
    /// So many of its bytes are known to be text.
    checked: usize,
    fragments: u32,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, deflate: false, held: None }
    }

    /// The same, for a peer that may compress its messages or not.
    #[must_use]
    pub fn with_deflate(self, deflate: bool) -> Self {
        Self { deflate, ..self }
    }

    /// Whether nothing is held back: no incomplete frame, no incomplete message.
    pub fn is_idle(&self) -> bool {
        self.held.is_none()
    }

    /// Takes in the next bytes of the stream and hands every whole message to `on`, until the
    /// bytes end or `on` says stop. Returns how many bytes were taken; the rest must be fed again.
    /// `input` is unmasked in place and worthless afterwards, except for that rest.
    ///
    /// # Errors
    /// [`Violation`]: the stream is beyond repair, feed no more of it.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        on: &mut dyn FnMut(Incoming<'_>) -> Flow,
    ) -> Result<usize, Violation> {
        let total = input.len();
        let mut rest = input;
        if self.held.as_ref().is_some_and(|held| !held.frame.is_empty()) {
            let (taken, flow) = self.finish_held(rest, on)?;
            rest = rest.split_at_mut(taken).1;
            if flow == Flow::Stop {
                return Ok(total - rest.len());
            }
        }
        while !rest.is_empty() {
            let Some((header, size)) = self.whole_frame(rest)? else {
                self.held.get_or_insert_default().frame.extend_from_slice(rest);
                return Ok(total);
            };
            let (frame, after) = rest.split_at_mut(size);
            rest = after;
            let payload = frame.split_at_mut(header.size).1;
            if self.take_frame(header, payload, on)? == Flow::Stop {
                break;
            }
        }
        Ok(total - rest.len())
    }

    /// The header at the start of `bytes` and the size of its frame, if all of it is there.
    fn whole_frame(&self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        let Some(header) = Header::parse(bytes, self.deflate)? else { return Ok(None) };
        let size = header.size + self.payload_within_limits(header)?;
        Ok((bytes.len() >= size).then_some((header, size)))
    }

    /// Checks what can be checked before the payload is there, so that it is never waited for in
    /// vain and never buffered beyond the limit.
    fn payload_within_limits(&self, header: Header) -> Result<usize, Violation> {
        let begun = self.held.as_ref().and_then(|held| held.message.as_ref()).map(Vec::len);
        match (header.opcode, begun) {
            (header::CONTINUATION, None) => {
                return Err(Violation::protocol("a continuation of nothing"));
            }
            (header::TEXT, Some(_)) => {
                return Err(Violation::protocol("a message within another message"));
            }
            (header::BINARY, _) => {
                let reason = "messages must be text";
                return Err(Violation { code: CloseCode::Unsupported, reason });
            }
            _ => {}
        }
        let all = header.payload.saturating_add(begun.unwrap_or(0) as u64);
        // A control frame is small by itself and may come between fragments.
        if !header.is_control() && all > u64::from(self.limits.message_bytes) {
            return Err(too_big("a message is too long"));
        }
        usize::try_from(header.payload).map_err(|_| too_big("a message is too long"))
    }

    /// Completes the held frame with bytes of `input`. Returns how many it took.
    fn finish_held(
        &mut self,
        input: &[u8],
        on: &mut dyn FnMut(Incoming<'_>) -> Flow,
    ) -> Result<(usize, Flow), Violation> {
        let mut frame =
            self.held.as_mut().map(|held| std::mem::take(&mut held.frame)).unwrap_or_default();
        let mut taken = 0;
        loop {
            let wanted = match Header::parse(&frame, self.deflate)? {
                None => frame.len() + 1,
                Some(header) => header.size + self.payload_within_limits(header)?,
            };
            let missing = wanted.saturating_sub(frame.len());
            let from = input.get(taken..).unwrap_or_default();
            let (now, _) = from.split_at(missing.min(from.len()));
            frame.extend_from_slice(now);
            taken += now.len();
            if now.len() < missing {
                self.held.get_or_insert_default().frame = frame;
                return Ok((taken, Flow::Go));
            }
            let Some((header, _)) = self.whole_frame(&frame)? else { continue };
            let flow = self.take_frame(header, frame.split_at_mut(header.size).1, on)?;
            return Ok((taken, flow));
        }
    }

    fn take_frame(
        &mut self,
        header: Header,
        payload: &mut [u8],
        on: &mut dyn FnMut(Incoming<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        unmask(payload, header.mask);
        let flow = match (header.opcode, header.fin) {
            (header::PING, _) => on(Incoming::Ping(payload)),
            (header::PONG, _) => on(Incoming::Pong),
            (header::CLOSE, _) => on(Incoming::Close(close::read(payload)?)),
            (header::TEXT, true) => self.take_message(header.packed, payload, on)?,
            _ => self.take_fragment(header, payload, on)?,
        };
        self.let_go();
        Ok(flow)
    }

    fn take_fragment(
        &mut self,
        header: Header,
        payload: &[u8],
        on: &mut dyn FnMut(Incoming<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        let held = self.held.get_or_insert_default();
        held.fragments += 1;
        if held.fragments > self.limits.fragments {
            return Err(too_big("a message has too many fragments"));
        }
        if held.message.is_none() {
            held.packed = header.packed;
        }
        held.message.get_or_insert_default().extend_from_slice(payload);
        if !header.fin {
            held.check_text_so_far()?;
            return Ok(Flow::Go);
        }
        let message = held.message.take().unwrap_or_default();
        let packed = std::mem::take(&mut held.packed);
        (held.fragments, held.checked) = (0, 0);
        self.take_message(packed, &message, on)
    }

    /// A message that is complete, as it came.
    fn take_message(
        &self,
        packed: bool,
        message: &[u8],
        on: &mut dyn FnMut(Incoming<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        let mut take = |message: &[u8]| Ok(on(Incoming::Text(text(message)?)));
        if !packed {
            return take(message);
        }
        let most = usize::try_from(self.limits.message_bytes).unwrap_or(usize::MAX);
        deflate::inflate(message, most, take)
    }

    /// Frees what is held once nothing is incomplete.
    fn let_go(&mut self) {
        let needless = |held: &Held| held.frame.is_empty() && held.message.is_none();
        if self.held.as_deref().is_some_and(needless) {
            self.held = None;
        }
    }
}

impl Held {
    /// Refuses what cannot become text whatever follows; a sign may be cut at the end.
    fn check_text_so_far(&mut self) -> Result<(), Violation> {
        let message = self.message.as_deref().unwrap_or_default();
        if self.packed {
            return Ok(());
        }
        let new = message.get(self.checked..).unwrap_or_default();
        self.checked += match simdutf8::compat::from_utf8(new) {
            Ok(new) => new.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(not_text()),
        };
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| not_text())
}

fn not_text() -> Violation {
    Violation { code: CloseCode::InvalidUtf8, reason: "text is not UTF-8" }
}
