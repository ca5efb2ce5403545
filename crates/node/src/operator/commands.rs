//! `klatch user` and `klatch token`: what an operator does on the machine of a running server.

use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::ask::ask;
use crate::cli::ConfigArgs;
use crate::config::{self, Config};
use crate::host;

/// Which server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data directory of the running server [default: ./data].
    #[arg(long, value_name = "DIRECTORY", global = true)]
    data_dir: Option<PathBuf>,
}

/// Flags of `user`.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// List accounts, oldest first.
    List,
    /// Make an account; prints the link that sets its first password.
    Create {
        /// User name.
        name: String,
        /// E-mail address.
        #[arg(long)]
        email: Option<String>,
        /// Shown name.
        #[arg(long)]
        display_name: Option<String>,
        /// `guest`, `member` or `admin`.
        #[arg(long, default_value = "member")]
        role: String,
        /// A user for a program: it has no password, and tokens by `klatch token create`.
        #[arg(long, conflicts_with = "email")]
        bot: bool,
    },
    /// Change an account's role on the server.
    Role {
        /// User name or address.
        name: String,
        /// `guest`, `member` or `admin`.
        role: String,
    },
    /// Lock an account out: its sessions end, its connections close.
    Ban {
        /// User name or address.
        name: String,
    },
    /// Let an account in again.
    Unban {
        /// User name or address.
        name: String,
    },
    /// Print a link that sets a new password, once, within 30 minutes.
    Reset {
        /// User name or address.
        name: String,
    },
}

/// Flags of `token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token with which a program acts in a user's name; prints it, this once.
    Create {
        /// User name or address; a bot is best.
        name: String,
        /// What it is for.
        #[arg(long, default_value = "made on the server")]
        label: String,
        /// What it may be used for: read, write, admin. May be given again.
        #[arg(long = "scope", value_name = "SCOPE", default_values = ["read", "write"])]
        scopes: Vec<String>,
        /// When it ends, as 2027-01-31T00:00:00Z; never when absent.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List a user's tokens, newest first.
    List {
        /// User name or address.
        name: String,
    },
    /// Let a fresh key sign access tokens; what older ones signed stays good until it ends.
    RotateKeys {
        /// Forget the older keys at once, because one got out: everyone signs in again.
        #[arg(long)]
        forget_old: bool,
    },
    /// End a token.
    Revoke {
        /// User name or address.
        name: String,
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// `klatch user`.
pub(crate) fn user(args: UserArgs) -> anyhow::Result<()> {
    args.place.run(async move |server| match args.command {
        UserCommand::List => server.list().await,
        UserCommand::Create { name, email, display_name, role, bot } => {
            let who = json!({ "username": name, "displayName": display_name, "role": role });
            if bot {
                let made = server.ask(Method::POST, "bots", Some(who)).await?;
                host::say(&format!("made the bot {}", text(&made, "username")));
                return Ok(());
            }
            let mut who = who;
            if let Some(fields) = who.as_object_mut() {
                fields.insert("email".to_owned(), email.into());
            }
            let made = server.ask(Method::POST, "users", Some(who)).await?;
            let user = made.get("user").cloned().unwrap_or_default();
            host::say(&format!("made {}; the first password is set at", text(&user, "username")));
            host::say(&server.reset_link(text(&made, "resetToken")));
            Ok(())
        }
        UserCommand::Role { name, role } => server.change(&name, json!({ "role": role })).await,
        UserCommand::Ban { name } => server.change(&name, json!({ "banned": true })).await,
        UserCommand::Unban { name } => server.change(&name, json!({ "banned": false })).await,
        UserCommand::Reset { name } => {
            let path = format!("users/{}/reset", server.id_of(&name).await?);
            let made = server.ask(Method::POST, &path, None).await?;
            host::say("works once, within 30 minutes:");
            host::say(&server.reset_link(text(&made, "token")));
            Ok(())
        }
    })
}

/// `klatch token`.
pub(crate) fn token(args: TokenArgs) -> anyhow::Result<()> {
    args.place.run(async move |server| match args.command {
        TokenCommand::Create { name, label, scopes, expires } => {
            let path = format!("bots/{}/tokens", server.id_of(&name).await?);
            let wish = json!({ "name": label, "scopes": scopes, "expiresAt": expires });
            let made = server.ask(Method::POST, &path, Some(wish)).await?;
            host::say(text(&made, "token"));
            Ok(())
        }
        TokenCommand::List { name } => {
            let path = format!("bots/{}/tokens", server.id_of(&name).await?);
            let page = server.ask(Method::GET, &path, None).await?;
            for token in items(&page) {
                let scopes = token.get("scopes").map(ToString::to_string).unwrap_or_default();
                let ends = token.get("expiresAt").and_then(Value::as_str).unwrap_or("never");
                host::say(&format!(
                    "{}  {scopes}  ends {ends}  {}",
                    text(token, "tokenId"),
                    text(token, "name")
                ));
            }
            Ok(())
        }
        TokenCommand::RotateKeys { forget_old } => {
            let wish = json!({ "forgetOld": forget_old });
            server.ask(Method::POST, "keys/rotate", Some(wish)).await?;
            host::say("a fresh key signs from now on");
            Ok(())
        }
        TokenCommand::Revoke { name, id } => {
            let path = format!("bots/{}/tokens/{id}", server.id_of(&name).await?);
            server.ask(Method::DELETE, &path, None).await?;
            host::say("ended");
            Ok(())
        }
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page.get("items").and_then(Value::as_array).into_iter().flatten()
}

impl Where {
    fn run<F: Future<Output = anyhow::Result<()>>>(
        &self,
        command: impl FnOnce(Server) -> F,
    ) -> anyhow::Result<()> {
        let mut config = config::load(&self.config)?;
        if let Some(dir) = &self.data_dir {
            config.server.data_dir.clone_from(dir);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(command(Server { config }))
    }
}

/// A running server on this machine.
struct Server {
    config: Config,
}

impl Server {
    /// Asks for what is below `/api/v1/admin/`.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let socket = super::path(&self.config.server.data_dir);
        let stream = UnixStream::connect(&socket).await.with_context(|| {
            format!(
                "no server answers at {}: start it, name its directory with --data-dir, and run \
                 this as the user it runs as",
                socket.display()
            )
        })?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/admin/{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json");
        // Fields that were not given are left out.
        let body = body.map(|mut body| {
            if let Some(fields) = body.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            body.to_string()
        });
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        ask(stream, request).await
    }

    async fn id_of(&self, name: &str) -> anyhow::Result<String> {
        let path = format!("users?login={}", percent(name));
        let page = self.ask(Method::GET, &path, None).await?;
        let found = items(&page).next().with_context(|| format!("there is no {name}"))?;
        Ok(text(found, "userId").to_owned())
    }

    async fn change(&self, name: &str, wish: Value) -> anyhow::Result<()> {
        let path = format!("users/{}", self.id_of(name).await?);
        let account = self.ask(Method::PATCH, &path, Some(wish)).await?;
        show(&account);
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<()> {
        let mut path = "users?limit=200".to_owned();
        loop {
            let page = self.ask(Method::GET, &path, None).await?;
            items(&page).for_each(show);
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => path = format!("users?limit=200&cursor={cursor}"),
                None => return Ok(()),
            }
        }
    }

    fn reset_link(&self, token: &str) -> String {
        format!("{}/#/reset/{token}", self.config.address())
    }
}

fn show(account: &Value) {
    let is = |key: &str| account.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut line = format!(
        "{}  {:6}  {}",
        text(account, "userId"),
        text(account, "role"),
        text(account, "username")
    );
    for (key, word) in [("bot", "bot"), ("banned", "locked out")] {
        if is(key) {
            line.push_str("  ");
            line.push_str(word);
        }
    }
    host::say(&line);
}

/// A text as it may stand in a query.
fn percent(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let write = |byte: u8| {
        if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(write).collect()
}
