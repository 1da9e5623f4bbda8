//! The layers of the configuration, and what stands at its top.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mainstay_app::Environment;
use mainstay_core::Rng;
use mainstay_core::seal::RootKey;
use mainstay_core::settings::{Sources, expose};

mainstay_core::settings! {
    /// What stands above the sections.
    pub struct RootSettings in "" {
        /// What the server is run for. In production a missing, default or short `secret_key`, a public URL
        /// without TLS, and demo data are refused.
        environment: Environment = Environment::Development;
        /// The installation's root secret, at least 32 characters: signing keys and other secrets at rest are
        /// encrypted under keys derived from it. Keep a copy: without it they are lost. In development it is
        /// made once and kept beside the database.
        secret_key: Option<secrecy::SecretString> = None, env "SECRET_KEY";
    }
}

mainstay_core::settings! {
    /// Redis: what several nodes share besides the database. Limits count there and the cache has its second
    /// level there.
    pub struct RedisSettings in "redis" {
        /// `redis://[[user]:password@]host[:port][/database]`. Unset: each node counts and caches for itself, which
        /// is right for one node.
        url: Option<secrecy::SecretString> = None, env "REDIS_URL";
        /// What the names of all keys begin with. Deployments that share one Redis need one each.
        prefix: String = "mainstay".to_owned();
    }
}

/// Where settings come from, before they are read.
#[derive(Debug, Default)]
pub struct Config {
    pub(crate) sources: Sources,
    /// Nothing is opened and no secret is made: for commands that only describe.
    pub(crate) offline: bool,
}

/// The file that is read when no other is named.
const FILE: &str = "mainstay.toml";

impl Config {
    /// No layer: the defaults.
    #[must_use]
    pub fn defaults() -> Self {
        Self::default()
    }

    /// The defaults, with nothing opened and no secret made, to describe what there is.
    #[must_use]
    pub(crate) fn offline() -> Self {
        Self { sources: Sources::new(), offline: true }
    }

    /// Reads the file and the environment. `aliases` are well-known names of
    /// variables and the keys they set.
    ///
    /// # Errors
    /// If a file that was named can't be read.
    pub fn load(file: Option<&Path>, aliases: &[(String, String)]) -> anyhow::Result<Self> {
        // Variables that are set already win over the file's.
        match dotenvy::from_path(".env") {
            Ok(_) => {}
            Err(error) if error.not_found() => {}
            Err(error) => return Err(error).context("reading .env"),
        }
        let mut sources = Sources::new();
        let path = file.unwrap_or(Path::new(FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => sources.add_toml(&text, &path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        // Names and values that are not text are not ours.
        let variables = std::env::vars_os();
        let texts =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        sources.add_environment(texts, aliases);
        Ok(Self { sources, offline: false })
    }

    /// Sets one key unless something else does: a default of the caller's own.
    #[must_use]
    pub fn or_set(self, key: &str, value: impl Into<String>, origin: &str) -> Self {
        if self.sources.is_given(key) { self } else { self.set(key, value, origin) }
    }

    /// Sets one key, above every other layer. `origin` is shown in messages.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<String>, origin: &str) -> Self {
        self.sources.set_flag(key, value, origin);
        self
    }
}

/// The root key: from the settings, or in development from a file made once.
pub(crate) fn root_key(
    settings: &RootSettings,
    database_url: &str,
    rng: &dyn Rng,
    sources: &mut Sources,
) -> anyhow::Result<RootKey> {
    const SHORTEST: usize = 32;
    let given = settings.secret_key.as_ref().map(expose);
    match (settings.environment, given) {
        (Environment::Production, None) => {
            sources.fault("secret_key is missing: production needs one (SECRET_KEY or SECRET_KEY_FILE); make one with `openssl rand -hex 32`");
        }
        (Environment::Production, Some(key)) if key.chars().count() < SHORTEST => {
            sources.fault(format!(
                "secret_key has fewer than {SHORTEST} characters; make one with `openssl rand -hex 32`"
            ));
        }
        (Environment::Production, Some(key))
            if key.chars().all(|c| key.starts_with(c)) || key.to_lowercase().contains("change") =>
        {
            sources.fault("secret_key is an example's; make one with `openssl rand -hex 32`");
        }
        (_, Some(key)) => return Ok(RootKey::new(key)),
        (Environment::Development, None) => return kept_key(database_url, rng),
    }
    Ok(RootKey::new(""))
}

fn kept_key(database_url: &str, rng: &dyn Rng) -> anyhow::Result<RootKey> {
    let file = key_file(database_url);
    let read = || std::fs::read_to_string(&file).map(|text| text.trim().to_owned());
    let failed = || format!("the development secret in {}", file.display());
    if let Ok(key) = read().with_context(failed)
        && !key.is_empty()
    {
        return Ok(RootKey::new(&key));
    }
    if let Some(folder) = file.parent() {
        mainstay_db::create_private_folder(folder).with_context(failed)?;
    }
    let key: String = rng.bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
    // Written beside and then linked: the name never leads to half a key, and of
    // processes that start together the first one's key is everybody's.
    let draft = file.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut handle = options.open(&draft).with_context(failed)?;
    std::io::Write::write_all(&mut handle, key.as_bytes()).with_context(failed)?;
    handle.sync_all().with_context(failed)?;
    let linked = std::fs::hard_link(&draft, &file);
    std::fs::remove_file(&draft).with_context(failed)?;
    match linked {
        Ok(()) => Ok(RootKey::new(&key)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let key = read().with_context(failed)?;
            anyhow::ensure!(
                !key.is_empty(),
                "the development secret in {} is empty; delete the file",
                file.display()
            );
            Ok(RootKey::new(&key))
        }
        Err(error) => Err(error).with_context(failed),
    }
}

fn key_file(database_url: &str) -> PathBuf {
    let path = database_url.strip_prefix("sqlite:").map(|rest| rest.trim_start_matches("//"));
    let database = path.map(|path| Path::new(path.split('?').next().unwrap_or_default()));
    let folder = database.and_then(Path::parent).unwrap_or(Path::new("data"));
    folder.join("secret_key")
}
