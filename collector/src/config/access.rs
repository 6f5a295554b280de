//! Who may report and who may read, and what connections must show: the settings, and what follows from them together.
//!
//! Reports are for those who authenticate. Without that the ports of OTLP are for this machine only, unless someone says `none` in so many words.

use std::path::PathBuf;

use ::http::HeaderName;
use clap::{Args, ValueEnum};

use super::{ConfigError, Switch};
use crate::{
    auth::{Guard, accounts::Rules},
    http::report::Reach,
    listen::Address,
    proxies::{ParseNetworkError, Proxies},
    tls::{Identity, TlsFiles},
};

/// Everything about access that can be set.
#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// Address of OTLP/gRPC; all addresses if agents are authenticated, else only this machine
    #[arg(long, env = "PULLTRACE_OTLP_GRPC_ADDR")]
    otlp_grpc_addr: Option<Address>,

    /// Address of OTLP/HTTP; all addresses if agents are authenticated, else only this machine
    #[arg(long, env = "PULLTRACE_OTLP_HTTP_ADDR")]
    otlp_http_addr: Option<Address>,

    /// How agents show that they may report; token if one is given, else none
    #[arg(long, env = "PULLTRACE_AUTH")]
    auth: Option<Auth>,

    /// Tokens that agents may show, separated by commas
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN", hide_env_values = true)]
    agent_token: Option<String>,

    /// File with tokens that agents may show, one a line; read again when it changes
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN_FILE")]
    agent_token_file: Option<PathBuf>,

    /// Service accounts that may report, as NAMESPACE/NAME, separated by commas
    #[arg(long, env = "PULLTRACE_AGENT_ACCOUNTS", value_delimiter = ',', value_name = "NAMESPACE/NAME", value_parser = account)]
    agent_accounts: Vec<String>,

    /// Whom the tokens of service accounts must be meant for
    #[arg(long, env = "PULLTRACE_AGENT_AUDIENCE", default_value = "pulltrace")]
    agent_audience: String,

    /// File with the certificate to show on the ports of OTLP, PEM; read again when it changes
    #[arg(long, env = "PULLTRACE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// File with the key of that certificate, PEM; read again when it changes
    #[arg(long, env = "PULLTRACE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// File with the authorities one of which must have signed an agent's certificate, PEM; read again when it changes
    #[arg(long, env = "PULLTRACE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Whether the port of API, event stream and page shows that certificate too
    #[arg(long, env = "PULLTRACE_HTTP_TLS", default_value = "off")]
    http_tls: Switch,

    /// Tokens one of which readers of API and event stream must show, separated by commas
    #[arg(long, env = "PULLTRACE_READ_TOKEN", hide_env_values = true)]
    read_token: Option<String>,

    /// File with tokens for readers, one a line; read again when it changes
    #[arg(long, env = "PULLTRACE_READ_TOKEN_FILE")]
    read_token_file: Option<PathBuf>,

    /// Addresses or networks of proxies that know people, separated by commas; who comes through them needs no token
    #[arg(long, env = "PULLTRACE_READ_PROXIES", value_delimiter = ',')]
    read_proxies: Vec<String>,

    /// Header in which these proxies name the person
    #[arg(long, env = "PULLTRACE_READ_USER_HEADER", default_value = "x-forwarded-user", value_parser = header_name)]
    read_user_header: HeaderName,
}

/// How agents show that they may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Token,
    #[value(name = "serviceaccount")]
    ServiceAccount,
}

/// How agents are known.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// By what is given to us.
    Guard(Guard),
    /// By their service accounts.
    Accounts(Rules),
}

/// What follows from the settings.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) otlp_grpc_addr: Address,
    pub(crate) otlp_http_addr: Address,
    /// Who may report.
    pub(crate) agents: Known,
    /// Who may read.
    pub(crate) readers: Guard,
    /// Who names those who read.
    pub(crate) proxies: Proxies,
    /// From where lists of other agents are taken on the port of the API.
    pub(crate) reach: Reach,
    /// Who we are to agents.
    pub(crate) otlp_tls: Option<Identity>,
    /// Who we are to readers.
    pub(crate) http_tls: Option<Identity>,
}

impl AccessArguments {
    /// Reads the files, and refuses what does not go together.
    pub(super) fn resolve(self) -> Result<Access, ConfigError> {
        let files =
            self.tls_cert.zip(self.tls_key).map(|(certificate, key)| TlsFiles { certificate, key, client_authority: None });
        let wrong = |variable: &str, problem: &dyn std::fmt::Display| ConfigError::Wrong(format!("{variable}: {problem}"));
        let identity = |files: TlsFiles| Identity::new(files).map_err(|error| wrong("PULLTRACE_TLS_CERT", &error));
        let http_tls = match (self.http_tls, &files) {
            (Switch::Off, _) => None,
            (Switch::On, Some(files)) => Some(identity(files.clone())?),
            (Switch::On, None) => return Err(wrong("PULLTRACE_HTTP_TLS", &"on needs PULLTRACE_TLS_CERT and PULLTRACE_TLS_KEY")),
        };
        let mutual = self.tls_client_ca.is_some();
        let otlp_tls = files.map(|files| identity(TlsFiles { client_authority: self.tls_client_ca, ..files })).transpose()?;
        let tokens = || {
            let guard = Guard::new(self.agent_token.as_deref(), self.agent_token_file.as_deref());
            guard.map_err(|error| wrong("PULLTRACE_AGENT_TOKEN", &error))
        };
        let agents = match self.auth {
            Some(Auth::None) => Known::Guard(Guard::Everyone),
            None => Known::Guard(tokens()?),
            Some(Auth::Token) => match tokens()? {
                guard @ Guard::Token(_) => Known::Guard(guard),
                Guard::Everyone => {
                    return Err(wrong("PULLTRACE_AUTH", &"token needs PULLTRACE_AGENT_TOKEN or PULLTRACE_AGENT_TOKEN_FILE"));
                }
            },
            Some(Auth::ServiceAccount) if self.agent_accounts.is_empty() => {
                return Err(wrong("PULLTRACE_AUTH", &"serviceaccount needs PULLTRACE_AGENT_ACCOUNTS"));
            }
            Some(Auth::ServiceAccount) => Known::Accounts(Rules { audience: self.agent_audience, accounts: self.agent_accounts }),
        };
        let readers = Guard::new(self.read_token.as_deref(), self.read_token_file.as_deref());
        let readers = readers.map_err(|error| wrong("PULLTRACE_READ_TOKEN", &error))?;
        let proxies = proxies(&self.read_proxies, self.read_user_header)?;
        let authenticated = mutual || !matches!(agents, Known::Guard(Guard::Everyone));
        let reach = reach(&agents, self.auth, mutual);
        let address = |given: Option<Address>, port, variable| match given {
            None => Ok(if authenticated { Address::everywhere(port) } else { Address::here(port) }),
            Some(given) if !authenticated && self.auth.is_none() && !given.0.ip().is_loopback() => Err(wrong(
                variable,
                &format!(
                    "{given} can be reached from other machines, and agents are not authenticated: give PULLTRACE_AGENT_TOKEN_FILE or \
                 PULLTRACE_TLS_CLIENT_CA, or say PULLTRACE_AUTH=none"
                ),
            )),
            Some(given) => Ok(given),
        };
        Ok(Access {
            otlp_grpc_addr: address(self.otlp_grpc_addr, 4317, "PULLTRACE_OTLP_GRPC_ADDR")?,
            otlp_http_addr: address(self.otlp_http_addr, 4318, "PULLTRACE_OTLP_HTTP_ADDR")?,
            agents,
            readers,
            proxies,
            reach,
            otlp_tls,
            http_tls,
        })
    }
}

/// From where lists of other agents are taken on the port of the API, which asks for no certificate.
const fn reach(agents: &Known, auth: Option<Auth>, mutual: bool) -> Reach {
    match (agents, auth) {
        (Known::Accounts(_) | Known::Guard(Guard::Token(_)), _) | (Known::Guard(Guard::Everyone), Some(Auth::None)) => {
            Reach::Everywhere
        }
        (Known::Guard(Guard::Everyone), _) if mutual => Reach::Nowhere,
        (Known::Guard(Guard::Everyone), _) => Reach::Here,
    }
}

/// The proxies that are trusted.
fn proxies(networks: &[String], user: HeaderName) -> Result<Proxies, ConfigError> {
    let network = |text: &str| {
        text.parse().map_err(|error: ParseNetworkError| {
            ConfigError::Wrong(format!("PULLTRACE_READ_PROXIES: {text:?} is not allowed; it must be {error}"))
        })
    };
    let networks = networks.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    Ok(Proxies::new(networks.map(network).collect::<Result<_, _>>()?, user))
}

fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "the name of a header, such as x-forwarded-user")
}

/// Reads `NAMESPACE/NAME`.
fn account(text: &str) -> Result<String, &'static str> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let named = text.trim().split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
    named.map(|_| text.trim().to_owned()).ok_or("the namespace and name of a service account, such as monitoring/pulltrace-agent")
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn read(arguments: &[&str]) -> Result<(String, String), String> {
        let config = Config::read(["pulltrace-collector"].iter().chain(arguments).map(Into::into)).map_err(|e| e.to_string())?;
        Ok((config.access.otlp_grpc_addr.to_string(), format!("{:?}", config.access.agents)))
    }

    #[test]
    fn only_authenticated_agents_are_listened_to_from_afar_unless_none_is_said() {
        let here = ("127.0.0.1:4317".to_owned(), "Guard(Everyone)".to_owned());
        assert_eq!(read(&[]), Ok(here.clone()));
        assert_eq!(read(&["--auth", "none"]), Ok(here));
        let known = ("0.0.0.0:4317".to_owned(), "Guard(Token(Tokens(..)))".to_owned());
        assert_eq!(read(&["--agent-token", "secret"]), Ok(known.clone()));
        assert_eq!(read(&["--agent-token", "secret", "--auth", "token"]), Ok(known));
        assert!(
            read(&["--otlp-grpc-addr", ":4317"])
                .unwrap_err()
                .starts_with("PULLTRACE_OTLP_GRPC_ADDR: 0.0.0.0:4317 can be reached")
        );
        let said = read(&["--otlp-grpc-addr", ":4317", "--auth", "none", "--agent-token", "secret"]);
        assert_eq!(said, Ok(("0.0.0.0:4317".to_owned(), "Guard(Everyone)".to_owned())));
        let (address, agents) = read(&["--auth", "serviceaccount", "--agent-accounts", "a/b, c/d"]).unwrap();
        assert_eq!(address, "0.0.0.0:4317");
        assert_eq!(agents, r#"Accounts(Rules { audience: "pulltrace", accounts: ["a/b", "c/d"] })"#);
    }

    #[test]
    fn what_does_not_go_together_is_one_sentence() {
        for (arguments, says) in [
            (&["--auth", "token"][..], "PULLTRACE_AUTH: token needs"),
            (&["--auth", "maybe"], "PULLTRACE_AUTH (--auth): \"maybe\" is not allowed; it must be none, token, serviceaccount"),
            (&["--auth", "serviceaccount"], "PULLTRACE_AUTH: serviceaccount needs PULLTRACE_AGENT_ACCOUNTS"),
            (&["--agent-accounts", "agent"], "PULLTRACE_AGENT_ACCOUNTS (--agent-accounts): \"agent\" is not allowed; it must be"),
            (
                &["--auth", "serviceaccount", "--agent-accounts", "a/b", "--kubernetes", "off"],
                "PULLTRACE_AUTH: serviceaccount needs PULLTRACE_KUBERNETES",
            ),
            (&["--http-tls", "on"], "PULLTRACE_HTTP_TLS: on needs"),
            (&["--tls-cert", "/none", "--tls-key", "/none"], "PULLTRACE_TLS_CERT: \"/none\" cannot be read"),
            (&["--agent-token-file", "/none"], "PULLTRACE_AGENT_TOKEN: \"/none\" cannot be read"),
            (&["--agent-token", "two words"], "PULLTRACE_AGENT_TOKEN: 1 to 16 tokens"),
            (
                &["--read-proxies", "10.0.0.1,proxy"],
                "PULLTRACE_READ_PROXIES: \"proxy\" is not allowed; it must be an IP address, or a network such as 10.0.0.0/8",
            ),
            (
                &["--read-user-header", "a b"],
                "PULLTRACE_READ_USER_HEADER (--read-user-header): \"a b\" is not allowed; it must be the name of a header",
            ),
        ] {
            let told = read(arguments).unwrap_err();
            assert!(told.starts_with(says) && !told.contains('\n') && !told.contains("two words"), "{told}");
        }
    }
}
