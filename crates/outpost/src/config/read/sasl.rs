//! Who may log in with SASL, and as whom we do: sections of a JAAS file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::findings::{Complaints, Place};
use super::super::jaas::{self, Module, Section};
use super::super::settings::Settings;
use super::super::{QuorumLogin, ReadFile, SaslAuth, SaslUsers, Secret};

/// Where Java looks for the file.
const LOGIN_CONFIG: &str = "java.security.auth.login.config";
/// The section with the users of the client port where nothing else is set, as in ZooKeeper.
const CLIENTS_SECTION: &str = "Server";
/// The section that learners log in with where nothing else is set, as in ZooKeeper.
const LEARNER_SECTION: &str = "QuorumLearner";
/// Options that name a user begin with this.
const USER_PREFIX: &str = "user_";
/// The user whose password may stand elsewhere.
const SUPER: &str = "super";
const PROVIDER: &str =
    "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// A JAAS file.
pub(super) struct Jaas {
    file: PathBuf,
    sections: Vec<Section>,
}

impl Jaas {
    /// Reads the file that is configured, if one is.
    pub(super) fn read(settings: &mut Settings, read_file: &ReadFile<'_>) -> Option<Jaas> {
        let setting = settings.get(LOGIN_CONFIG)?;
        let file = PathBuf::from(without_url(&setting.value));
        let bytes = match read_file(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                settings.complain(&setting, &format!("cannot be read: {error}"));
                return None;
            }
        };
        Some(Jaas::parse(settings, file, &bytes))
    }

    fn parse(settings: &mut Settings, file: PathBuf, bytes: &[u8]) -> Jaas {
        let (sections, errors) = jaas::parse(&String::from_utf8_lossy(bytes));
        for error in errors {
            settings.complain_at(Place::Line(file.clone(), error.line), &error.text);
        }
        Jaas { file, sections }
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    fn place(&self, line: usize) -> Place {
        Place::Line(self.file.clone(), line)
    }
}

/// Java takes a path or a URL, and a `=` in front to say that no other file counts.
fn without_url(value: &str) -> &str {
    let value = value.strip_prefix('=').unwrap_or(value);
    let Some(path) = value.strip_prefix("file:") else {
        return value;
    };
    path.strip_prefix("//").unwrap_or(path)
}

/// SASL towards clients; `provider` says whether ACLs know the scheme.
pub(super) fn clients(settings: &mut Settings, jaas: Option<&Jaas>, provider: bool) -> SaslAuth {
    let users = users(settings, jaas);
    if provider && users.is_none() {
        settings.warn_of_file(
            "the ACL scheme sasl is known, but no client can log in: there is no JAAS file with a section for it",
        );
    }
    if let Some(users) = users.as_ref().filter(|_| !provider) {
        let text = format!(
            "clients can log in with section {}, but ACL entries of scheme sasl mean nobody here; add {PROVIDER}",
            users.section
        );
        settings.warn_of_file(&text);
    }
    let mut super_users = settings.family("superUser.*");
    super_users.extend(settings.get("superUser"));
    SaslAuth {
        provider,
        users,
        super_users: super_users.into_iter().map(|user| user.value).collect(),
        any_user: settings.text("letAnySaslUserDoX"),
        keeps_failed: settings.flag("allowSaslFailedClients", false),
    }
}

fn users(settings: &mut Settings, jaas: Option<&Jaas>) -> Option<SaslUsers> {
    let named = settings.get("sasl.serverconfig");
    let super_password = settings.get("SASLAuthenticationProvider.superPassword");
    let name = named.as_ref().map_or(CLIENTS_SECTION, |named| &named.value);
    let section = jaas.and_then(|jaas| Some((jaas, jaas.section(name)?)));
    let Some((jaas, section)) = section else {
        if let Some(named) = &named {
            let text = "there is no such section in a JAAS file, so no client can log in";
            settings.warn(named, text);
        }
        return None;
    };
    let mut passwords = passwords(settings, jaas, section);
    if passwords.is_empty() {
        let text = format!("section {name} has no user; add {USER_PREFIX}NAME=\"PASSWORD\"");
        settings.warn_at(jaas.place(section.line), &text);
    }
    if let Some(setting) = &super_password {
        match passwords.get_mut(SUPER) {
            Some(password) => *password = Secret(setting.value.clone()),
            None => settings.warn(
                setting,
                "has no effect: the JAAS file has no user_super whose password it could be",
            ),
        }
    }
    Some(SaslUsers {
        file: jaas.file.clone(),
        section: name.to_owned(),
        passwords,
        super_password: super_password.map(|setting| Secret(setting.value)),
    })
}

/// The users of a section as its file has them.
fn passwords(settings: &mut Settings, jaas: &Jaas, section: &Section) -> BTreeMap<String, Secret> {
    let mut passwords = BTreeMap::new();
    for module in &section.modules {
        check_module(settings, jaas, module, "clients");
        for option in &module.options {
            if let Some(user) = option.name.strip_prefix(USER_PREFIX) {
                passwords.insert(user.to_owned(), Secret(option.value.clone()));
            }
        }
    }
    passwords
}

/// See [`SaslUsers::read_again`].
pub(in super::super) fn users_again(users: &SaslUsers) -> Result<BTreeMap<String, Secret>, String> {
    let read = |settings: &mut Settings, jaas: &Jaas, section: &Section| {
        let mut passwords = passwords(settings, jaas, section);
        if let (Some(ours), Some(password)) = (&users.super_password, passwords.get_mut(SUPER)) {
            *password = ours.clone();
        }
        Some(passwords)
    };
    again(&users.file, &users.section, read)
}

/// See [`QuorumLogin::read_again`].
pub(in super::super) fn login_again(login: &QuorumLogin) -> Result<QuorumLogin, String> {
    again(&login.file, &login.section, learner)
}

fn again<T>(
    file: &Path,
    name: &str,
    read: impl FnOnce(&mut Settings, &Jaas, &Section) -> Option<T>,
) -> Result<T, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let mut settings = Settings::new(file);
    let jaas = Jaas::parse(&mut settings, file.to_owned(), &bytes);
    let section = jaas
        .section(name)
        .ok_or_else(|| format!("has no section {name}"))?;
    match read(&mut settings, &jaas, section) {
        Some(value) if settings.complaints.is_empty() => Ok(value),
        _ => Err(Complaints(settings.complaints).to_string()),
    }
}

/// SASL towards the ensemble: as whom we log in, if we are to.
pub(super) fn quorum(settings: &mut Settings, jaas: Option<&Jaas>) -> Option<QuorumLogin> {
    let enabled = settings.flag("quorum.auth.enableSasl", false);
    let logs_in = settings.flag("quorum.auth.learnerRequireSasl", false);
    let asks = settings.flag("quorum.auth.serverRequireSasl", false);
    let named = settings.get("quorum.auth.learner.saslLoginContext");
    let name = named.map_or(LEARNER_SECTION.to_owned(), |named| named.value);
    for (wanted, key) in [
        (logs_in, "quorum.auth.learnerRequireSasl"),
        (asks, "quorum.auth.serverRequireSasl"),
    ] {
        if wanted && !enabled {
            settings.complain_of_file(&format!("{key}=true needs quorum.auth.enableSasl=true too"));
        }
    }
    if asks && !logs_in {
        settings.complain_of_file(
            "quorum.auth.serverRequireSasl=true needs quorum.auth.learnerRequireSasl=true too",
        );
    }
    fips_mode(settings, enabled && logs_in);
    if !enabled || !logs_in {
        return None;
    }
    let Some(jaas) = jaas else {
        settings.complain_of_file(&format!(
            "quorum.auth.learnerRequireSasl=true needs a JAAS file with a section {name}; name it with {LOGIN_CONFIG}"
        ));
        return None;
    };
    let Some(section) = jaas.section(&name) else {
        let text = format!("has no section {name}, with which learners log in; add it");
        settings.complain_at(Place::File(jaas.file.clone()), &text);
        return None;
    };
    learner(settings, jaas, section)
}

/// It forbids a Java learner to log in with DIGEST-MD5, and is the default there since 3.9. Here it counts where it is
/// set, since whoever writes it down means it.
fn fips_mode(settings: &mut Settings, logs_in: bool) {
    let on = settings.flag("fips-mode", false);
    let Some(setting) = settings.get("fips-mode").filter(|_| on) else {
        return;
    };
    if logs_in {
        let text = "forbids DIGEST-MD5, and with quorum.auth.learnerRequireSasl=true nothing else is left to log in with, as \
            on a Java server; set fips-mode=false, or let certificates (sslQuorum) say who we are";
        settings.complain(&setting, text);
    } else {
        let text = "Outpost's cryptography is not certified after FIPS 140; what is asked of certificates and host names \
            is the same in either mode";
        settings.warn(&setting, text);
    }
}

fn learner(settings: &mut Settings, jaas: &Jaas, section: &Section) -> Option<QuorumLogin> {
    for module in &section.modules {
        if !check_module(settings, jaas, module, "the ensemble") {
            return None;
        }
        let option = |name| module.options.iter().rfind(|option| option.name == name);
        let (Some(user), Some(password)) = (option("username"), option("password")) else {
            continue;
        };
        return Some(QuorumLogin {
            user: user.value.clone(),
            password: Secret(password.value.clone()),
            place: jaas.place(user.line),
            file: jaas.file.clone(),
            section: section.name.clone(),
        });
    }
    let text = format!(
        "section {} needs username=\"…\" and password=\"…\", known to the voters as user_…",
        section.name
    );
    settings.complain_at(jaas.place(section.line), &text);
    None
}

/// Complains of a module that is no `DigestLoginModule`.
fn check_module(settings: &mut Settings, jaas: &Jaas, module: &Module, whom: &str) -> bool {
    let class = module.class.rsplit('.').next().unwrap_or_default();
    let text = match class {
        "DigestLoginModule" => return true,
        "Krb5LoginModule" => format!(
            "Outpost does not speak Kerberos (GSSAPI) with {whom}; use DigestLoginModule, or stay with a Java observer"
        ),
        _ => format!(
            "Outpost cannot run {}; only DigestLoginModule is known",
            module.class
        ),
    };
    settings.complain_at(jaas.place(module.line), &text);
    false
}
