//! The mailer and a mail server that talk over a real connection.
#![cfg(test)]

mod smtp;
