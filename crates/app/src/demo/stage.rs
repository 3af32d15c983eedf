//! The directory of a demo and everything in it: configuration, store, hosts, resources, and a
//! home and a command for each person.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use portcullis_control::view::ResourceFile;
use portcullis_domain::UserName;
use portcullis_identity::random::{OsRandom, Random};

use super::host::{Host, current_user};
use super::people::{self, Person};
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::home::write_private;
use crate::node::{Addresses, Listeners, Node};
use crate::serve::log;

/// Name, environment and label of each host.
const HOSTS: [(&str, &str, &str); 4] = [
    ("dev-web", "development", "web"),
    ("staging-web", "staging", "web"),
    ("prod-web", "production", "web"),
    ("prod-db", "production", "db"),
];
const FILES: [(&str, &str); 3] = [
    ("environments.yaml", include_str!("../../demo/environments.yaml")),
    ("people.yaml", include_str!("../../demo/people.yaml")),
    ("roles.yaml", include_str!("../../demo/roles.yaml")),
];
/// Example requests, written down beside the resources: `portcullis test` runs them.
const TESTS: (&str, &str) = ("access.test.yaml", include_str!("../../demo/access.test.yaml"));
const TARGET: &str = include_str!("../../demo/target.yaml");
/// How much of the node's log is shown where something went wrong, in bytes.
const LOG_END_BYTES: usize = 4000;

/// A demo that is set up.
pub(super) struct Stage {
    directory: PathBuf,
    keep: bool,
    ssh_address: String,
    api_url: String,
    login: String,
    people: Vec<Person>,
    hosts: Vec<Host>,
}

impl Stage {
    /// Sets everything up but does not serve yet.
    pub(super) async fn set(
        keep: Option<&Path>,
        port_base: Option<u16>,
    ) -> Result<(Self, Node, Listeners), Failure> {
        let directory = new_directory(keep)?;
        let set = Self::set_in(&directory, keep.is_some(), port_base).await;
        if set.is_err() && keep.is_none() {
            let _ = std::fs::remove_dir_all(&directory);
        }
        set
    }

    async fn set_in(
        directory: &Path,
        keep: bool,
        port_base: Option<u16>,
    ) -> Result<(Self, Node, Listeners), Failure> {
        let port = |offset: u16| port_base.map_or(0, |base| base.saturating_add(offset));
        let asked = configuration(directory, port(0), port(1))?;
        log::install_to_file(&asked.log_level, &directory.join("node.log"))?;
        let listeners = Listeners::bind(&asked).await?;
        let (ssh, api) = (listeners.ssh_address()?.port(), listeners.api_address()?.port());
        // Read again with the ports there are: where passkeys count names one, for example.
        let config = configuration(directory, ssh, api)?;
        write(&directory.join("portcullis.toml"), &configuration_text(directory, ssh, api))?;
        let ssh_address = config.ssh_listen.to_string();
        let node =
            Node::open(&config, Addresses { ssh: ssh_address.clone(), postgres: None }).await?;
        let authority = node.gateway().target_authority().public_key_line();
        let authority =
            authority.map_err(|error| Failure::because("the authority is unusable", &error))?;
        let mut hosts = Vec::new();
        for (offset, (name, ..)) in (2..).zip(HOSTS) {
            let place = directory.join("hosts").join(name);
            let port = port_base.map(|_| port(offset));
            hosts.push(Host::start(&place, name, &authority, port).await?);
        }
        let stage = Self {
            directory: directory.to_owned(),
            keep,
            ssh_address,
            api_url: format!("http://{}", config.api_listen),
            login: current_user()?,
            people: people::cast()?,
            hosts,
        };
        stage.people_files()?;
        stage.first_resources(&node).await?;
        Ok((stage, node, listeners))
    }

    /// Stops the hosts and, unless it is to be kept, removes everything.
    pub(super) fn strike(self) {
        let Self { directory, keep, hosts, .. } = self;
        drop(hosts);
        if !keep && let Err(error) = std::fs::remove_dir_all(&directory) {
            eprintln!("`{}` could not be removed: {error}", directory.display());
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn ssh_address(&self) -> &str {
        &self.ssh_address
    }

    pub(super) fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The account on every host.
    pub(super) fn login(&self) -> &str {
        &self.login
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    pub(super) fn person(&self, name: &str) -> Result<&Person, Failure> {
        let found = self.people.iter().find(|person| person.name == name);
        found.ok_or_else(|| Failure::Failed(format!("`{name}` is not in the cast")))
    }

    pub(super) fn host_names(&self) -> Vec<&'static str> {
        self.hosts.iter().map(|host| host.name).collect()
    }

    /// Somebody's home for the command line.
    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.directory.join("home").join(name)
    }

    /// Everything, for `--json`.
    pub(super) fn facts(&self) -> serde_json::Value {
        let hosts: Vec<_> = self
            .hosts
            .iter()
            .map(|host| serde_json::json!({"name": host.name, "port": host.port}))
            .collect();
        serde_json::json!({
            "directory": self.directory, "ssh": self.ssh_address, "api": self.api_url,
            "login": self.login, "people": self.people, "hosts": hosts,
        })
    }

    /// The last lines of the node's log.
    pub(super) fn log_end(&self) -> String {
        let text = std::fs::read(self.directory.join("node.log")).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_END_BYTES);
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
    }

    /// A home and a shell function for each person, and what `demo code` reads.
    fn people_files(&self) -> Result<(), Failure> {
        people::write(&self.directory, &self.people)?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::because("this program does not know where it is", &error))?;
        let (program, directory) = (shell(&program), shell(&self.directory));
        let mut env = format!(
            "# source this file\nexport PORTCULLIS_DEMO={directory}\n\
             export PORTCULLIS_ADDRESS={}\nportcullis() {{ {program} \"$@\"; }}\n\
             code() {{ {program} demo code \"$1\"; }}\n",
            self.api_url
        );
        for person in &self.people {
            let home = self.home(&person.name);
            make_directory(&home)?;
            let (name, home) = (&person.name, shell(&home));
            env.push_str(&format!(
                "{name}() {{ PORTCULLIS_HOME={home} {program} \"$@\"; }}\n\
                 {name}_ssh() {{ ssh -F {home}/ssh_config \"$@\"; }}\n\
                 {name}_password={}\n",
                person.password
            ));
        }
        write(&self.directory.join("env"), &env)
    }

    /// Writes the resources down, for people to play with, and applies them.
    async fn first_resources(&self, node: &Node) -> Result<(), Failure> {
        let directory = self.directory.join("resources");
        make_directory(&directory)?;
        let mut files: Vec<ResourceFile> = FILES
            .into_iter()
            .map(|(name, text)| ResourceFile { name: name.to_owned(), text: text.to_owned() })
            .collect();
        files.push(ResourceFile { name: "targets.yaml".into(), text: self.targets() });
        for file in &files {
            write(&directory.join(&file.name), &file.text)?;
        }
        write(&directory.join(TESTS.0), TESTS.1)?;
        let users = self.people.iter().map(Person::bootstrap).collect::<Result<Vec<_>, _>>()?;
        let author = UserName::new("demo")
            .map_err(|error| Failure::because("the demo's author is wrong", &error))?;
        node.control()
            .bootstrap(&author, files, users)
            .await
            .map_err(|error| Failure::Failed(format!("the demo was not set up: {}", chain(&error))))
    }

    fn targets(&self) -> String {
        let documents = self.hosts.iter().zip(HOSTS).map(|(host, (name, environment, app))| {
            TARGET
                .replace("{{NAME}}", name)
                .replace("{{APP}}", app)
                .replace("{{ENVIRONMENT}}", environment)
                .replace("{{PORT}}", &host.port.to_string())
                .replace("{{LOGIN}}", &self.login)
                .replace("{{KEY}}", &host.key)
        });
        documents.collect::<Vec<_>>().join("---\n")
    }
}

fn configuration(directory: &Path, ssh: u16, api: u16) -> Result<Config, Failure> {
    let text = configuration_text(directory, ssh, api);
    Config::parse(&text, &directory.join("portcullis.toml"))
        .map_err(|error| Failure::Failed(chain(&error)))
}

fn configuration_text(directory: &Path, ssh: u16, api: u16) -> String {
    let data = serde_json::Value::from(directory.join("data").display().to_string());
    format!(
        "[node]\nname = \"demo\"\ndata_dir = {data}\n\n\
         [ssh]\nlisten = \"127.0.0.1:{ssh}\"\n\n[api]\nlisten = \"127.0.0.1:{api}\"\n"
    )
}

/// The directory to keep, which must be new, or one that is nobody else's.
fn new_directory(keep: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match keep {
        Some(path) => path.to_owned(),
        None => {
            let mut random = [0_u8; 4];
            OsRandom
                .fill(&mut random)
                .map_err(|error| Failure::because("cannot name a directory", &error))?;
            let number = u32::from_be_bytes(random);
            std::env::temp_dir().join(format!("portcullis-demo-{number:08x}"))
        }
    };
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::because("the directory is unusable", &error))?;
    // Not recursive: it must not exist yet, so that nobody has prepared it for us.
    std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
        Failure::because(
            format!("`{}` cannot be made; name a directory that is new", path.display()),
            &error,
        )
    })?;
    Ok(path)
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::because(format!("`{}` cannot be made", path.display()), &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_private(path, text.as_bytes()).map_err(|error| {
        Failure::because(format!("`{}` cannot be written", path.display()), &error)
    })
}

/// Writes a script only its owner can read and run.
pub(super) fn write_script(path: &Path, text: &str) -> Result<(), Failure> {
    write(path, text)?;
    let runnable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, runnable).map_err(|error| {
        Failure::because(format!("`{}` cannot be made runnable", path.display()), &error)
    })
}

/// A path as one word of a shell.
pub(super) fn shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resources_of_the_demo_are_valid_together() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF";
        let mut texts: Vec<(String, String)> =
            FILES.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        for (port, (name, environment, app)) in (2000..).zip(HOSTS) {
            let text = TARGET
                .replace("{{NAME}}", name)
                .replace("{{APP}}", app)
                .replace("{{ENVIRONMENT}}", environment)
                .replace("{{PORT}}", &format!("{port}"))
                .replace("{{LOGIN}}", "root")
                .replace("{{KEY}}", key);
            texts.push((name.into(), text));
        }
        let files: Vec<_> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let found = portcullis_resources::parse(&files).unwrap();
        assert!(found.len() > 15);
        let file =
            |(name, text): (&str, &str)| ResourceFile { name: name.into(), text: text.into() };
        let resources: Vec<_> = files.into_iter().map(file).collect();
        let now = portcullis_domain::Timestamp::from_millis(1_795_000_000_000);
        let ran = portcullis_control::run_access_tests(&resources, &[file(TESTS)], now).unwrap();
        assert_eq!(ran.failed, 0, "{ran:#?}");
    }

    #[test]
    fn the_configuration_of_the_demo_is_valid() {
        let config = configuration(Path::new("/tmp/x y"), 1, 2).unwrap();
        assert_eq!(config.data_dir, Path::new("/tmp/x y/data"));
    }

    #[test]
    fn a_directory_that_exists_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        assert!(new_directory(Some(directory.path())).is_err());
    }
}
