//! How long the certificate is still good: its dates alone are read, by the shape of X.509.

use std::path::Path;

use klatch_domain::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::Findings;

/// From here on it is time for another one.
pub(crate) const FEW_DAYS: u64 = 14;
pub(crate) const DAY_MS: u64 = 24 * 3_600_000;
const MEND: &str = "renew it; a running server takes it within a minute, or at SIGHUP";

pub(super) fn look(path: &Path, now: Timestamp, out: &mut Findings) {
    let Ok(cert) = CertificateDer::from_pem_file(path) else {
        let text = format!("{} cannot be read", path.display());
        return out.bad("certificate", text, "name a PEM file in server.tls.cert");
    };
    match validity(&cert) {
        Some(dates) => judge(dates, now, out),
        None => out.warn(
            "certificate",
            format!("the dates of {} are not understood here", path.display()),
            "look at them with: openssl x509 -noout -dates",
        ),
    }
}

/// The last moment of the first certificate in a PEM text; `None` when it is not understood.
pub(crate) fn ends(pem: &[u8]) -> Option<Timestamp> {
    let cert = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, (tag, text)) = moments(&cert)?;
    moment(tag, text)
}

/// How long a certificate is still good, in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// So many days are left.
    Days(u64),
    /// It ended so many days ago.
    Ended(u64),
}

impl Left {
    /// Of a certificate that is good up to and including `to`.
    pub(crate) fn of(to: Timestamp, now: Timestamp) -> Self {
        match now.0.checked_sub(to.0) {
            Some(since @ 1..) => Self::Ended(since / DAY_MS),
            _ => Self::Days(to.0.saturating_sub(now.0) / DAY_MS),
        }
    }
}

/// The first and the last moment of a certificate.
type Dates = (Timestamp, Timestamp);

pub(super) fn judge((from, to): Dates, now: Timestamp, out: &mut Findings) {
    match Left::of(to, now) {
        Left::Ended(days) => {
            out.bad("certificate", format!("the certificate ended {days} days ago"), MEND);
        }
        Left::Days(_) if now < from => {
            let text = "the certificate is not good yet";
            out.bad("certificate", text, "look at the clock, or take another certificate");
        }
        Left::Days(days) => {
            let text = format!("the certificate is good for another {days} days");
            if days < FEW_DAYS {
                out.warn("certificate", text, MEND);
            } else {
                out.good("certificate", text);
            }
        }
    }
}

/// The dates of a certificate in DER (RFC 5280 §4.1): `Certificate { tbs { [0] version?, serial,
/// algorithm, issuer, validity { notBefore, notAfter }, … } … }`.
pub(super) fn validity(der: &[u8]) -> Option<Dates> {
    let ((from_tag, from), (to_tag, to)) = moments(der)?;
    Some((moment(from_tag, from)?, moment(to_tag, to)?))
}

/// Tag and text.
type Element<'a> = (u8, &'a [u8]);

/// The first and the last moment as they are written.
fn moments(der: &[u8]) -> Option<(Element<'_>, Element<'_>)> {
    let (_, certificate, _) = element(der)?;
    let (_, tbs, _) = element(certificate)?;
    let (tag, _, mut rest) = element(tbs)?;
    if tag == 0xa0 {
        // The version; what follows is the serial number.
        (_, _, rest) = element(rest)?;
    }
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (_, dates, _) = element(rest)?;
    let (from_tag, from, rest) = element(dates)?;
    let (to_tag, to, _) = element(rest)?;
    Some(((from_tag, from), (to_tag, to)))
}

/// The tag and the content of the first element, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let length = match usize::from(*first) {
        short @ 0..0x80 => short,
        long => {
            let (bytes, after) = rest.split_at_checked(long - 0x80)?;
            rest = after;
            let add = |sum: usize, byte: &u8| sum.checked_mul(256)?.checked_add(usize::from(*byte));
            bytes.iter().try_fold(0, add)?
        }
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

/// `YYMMDDHHMMSSZ` (tag 0x17, 1950 to 2049) or `YYYYMMDDHHMMSSZ` (tag 0x18). What lies before 1970
/// is as its first moment: as long ago as makes a difference.
fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (number(0)?, number(2)?);
    let (hour, minute, second) = (number(4)?, number(6)?, number(8)?);
    if year < 1_970 {
        return Some(Timestamp(0));
    }
    let days = days_since_1970(year, month, day)?;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000))
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_day = u64::from(is_leap && month > 2);
    let years = year.checked_sub(1_970)? * 365 + leaps(year - 1) - leaps(1_969);
    Some(years + before + leap_day + day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::doctor::Level;

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn dates_of_real_certificates_are_read_in_both_forms() {
        let dates = validity(&made((2024, 2, 29), (2049, 12, 31))).unwrap();
        assert_eq!(dates, (Timestamp(1_709_164_800_000), Timestamp(2_524_521_600_000)));
        let dates = validity(&made((1970, 1, 1), (2050, 3, 1))).unwrap();
        assert_eq!(dates, (Timestamp(0), Timestamp(2_529_705_600_000)));
        let dates = validity(&made((1950, 1, 1), (1969, 12, 31))).unwrap();
        assert_eq!(dates, (Timestamp(0), Timestamp(0)), "all that is so long ago is one");
    }

    #[test]
    fn the_end_is_known_although_the_beginning_is_not_understood() {
        let mut der = made((2024, 2, 29), (2030, 1, 1));
        let begin = der.windows(13).position(|it| it == b"240229000000Z").unwrap();
        der[begin] = b'x';
        assert_eq!(validity(&der), None);
        let base64 = BASE64.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        assert_eq!(ends(pem.as_bytes()), Some(Timestamp(1_893_456_000_000)));
        let end = der.windows(13).position(|it| it == b"300101000000Z").unwrap();
        der[end] = b'x';
        let base64 = BASE64.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        assert_eq!(ends(pem.as_bytes()), None);
    }

    #[test]
    fn a_certificate_that_is_cut_off_anywhere_has_no_dates_and_nothing_worse_happens() {
        let whole = made((2024, 1, 1), (2030, 1, 1));
        for length in 0..whole.len() {
            assert_eq!(validity(&whole[..length]), None, "{length}");
        }
        for at in 0..200 {
            let mut bent = whole.clone();
            bent[at] ^= 0xff;
            let _ = validity(&bent);
        }
    }

    #[test]
    fn ended_not_yet_begun_and_soon_to_end_are_told_apart() {
        let (from, to) = (Timestamp(100 * DAY_MS), Timestamp(200 * DAY_MS));
        for (day, level) in
            [(99, Level::Bad), (150, Level::Good), (190, Level::Warning), (201, Level::Bad)]
        {
            let mut out = Findings::default();
            judge((from, to), Timestamp(day * DAY_MS), &mut out);
            assert_eq!(out.0[0].level, level, "day {day}");
        }
    }
}
