//! pgbench: 100 clients at a Postgres server of our own, on a Unix socket in a temporary folder.

use std::{
    cmp::Reverse,
    ffi::OsString,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::{
    group::{self, Group, Stop},
    software::{self, user, version},
    workload::{Round, Workload},
};

/// Who runs it: Postgres refuses root, and its package has made this user.
const USER: &str = "postgres";
/// Where Debian's packages put the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// As in the RFC.
const CLIENTS: &str = "100";
/// 15 MiB of tables each.
const SCALE: &str = "20";
/// How long a server may take to answer, on a busy host.
const START: Duration = Duration::from_secs(120);

/// The server's settings. The disk is not to decide, and nothing of the cluster has to survive.
const SETTINGS: [&str; 4] = ["max_connections=110", "fsync=off", "listen_addresses=", "shared_buffers=256MB"];

/// A server and pgbench at it, from its start to its end: `rss-drift run` measures what descends from its command.
/// The server leads a session of its own: it is stopped, never killed with the others, which would leave shared memory behind.
/// $1 folder of programs, $2 folder of the cluster and its socket, $3 clients, $4 threads, $5 seconds, then the server's words.
const WHOLE: &str = r#"
programs=$1 dir=$2 clients=$3 threads=$4 seconds=$5
shift 5
log=$dir/log-of-whole
setsid "$programs/postgres" "$@" >"$log" 2>&1 &
server=$!
client=
trap 'kill $client 2>/dev/null; kill -INT $server; wait; exit 143' INT TERM
until "$programs/pg_isready" -q -h "$dir" -U bench -d postgres; do
    kill -0 $server 2>/dev/null || { cat "$log"; exit 1; }
    sleep 0.1
done
"$programs/pgbench" -h "$dir" -U bench -c "$clients" -j "$threads" -T "$seconds" postgres &
client=$!
wait $client
status=$?
kill -INT $server
wait $server || exit
exit $status
"#;

/// The workload: a cluster of its own. Dropping it stops and deletes it.
#[derive(Debug)]
pub(crate) struct Pgbench {
    programs: PathBuf,
    version: String,
    ids: (u32, u32),
    seconds: u32,
    server: Option<Group>,
    dir: TempDir,
}

impl Pgbench {
    /// Makes the cluster and its tables.
    pub(crate) fn prepare(seconds: u32, stop: &Stop) -> Result<Self> {
        let (version, programs) = newest()?;
        let ids = user(USER)?;
        let dir = tempfile::Builder::new().prefix("rss-drift-pgbench-").tempdir();
        let dir = dir.context("cannot make a temporary folder")?;
        chown(dir.path(), Some(ids.0), Some(ids.1))
            .with_context(|| format!("cannot give {} to user {USER}", dir.path().display()))?;
        let mut cluster = Self { programs, version, ids, seconds, server: None, dir };
        let mut initdb = cluster.program("initdb");
        initdb.arg("-D").arg(cluster.data());
        initdb.args(["-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        group::run(&mut initdb, "initdb", stop)?;
        cluster.begin(stop)?;
        let mut fill = cluster.client("pgbench");
        fill.args(["-i", "-q", "-s", SCALE, "postgres"]);
        group::run(&mut fill, "filling pgbench's tables", stop)?;
        cluster.end()?;
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// One of Postgres's programs, as its user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.uid(self.ids.0).gid(self.ids.1).current_dir(self.dir.path()).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            // Another server's address, a service file.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
    }

    /// A client of the server.
    fn client(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.arg("-h").arg(self.dir.path()).args(["-U", "bench"]);
        command
    }

    /// Whether a server answers.
    fn is_ready(&self) -> bool {
        let mut command = self.client("pg_isready");
        command.args(["-q", "-d", "postgres"]).status().is_ok_and(|status| status.success())
    }

    /// What the server is started with.
    fn server_words(&self) -> Vec<OsString> {
        let mut socket = OsString::from("unix_socket_directories=");
        socket.push(self.dir.path());
        let settings = SETTINGS.into_iter().map(OsString::from).chain([socket]);
        let settings = settings.flat_map(|setting| ["-c".into(), setting]);
        ["-D".into(), self.data().into()].into_iter().chain(settings).collect()
    }

    /// Stops whatever server has the cluster: not all of its processes are in the group of the one that was started.
    fn stop_server(&self) -> Result<()> {
        if !self.data().join("postmaster.pid").exists() {
            return Ok(());
        }
        let mut command = self.program("pg_ctl");
        command.arg("stop").arg("-D").arg(self.data()).args(["-m", "fast", "-w", "-s"]);
        let output = command.output().context("cannot run pg_ctl")?;
        // One that was killed leaves its file behind.
        if !output.status.success() && self.is_ready() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("the server in {} cannot be stopped: {}", self.dir.path().display(), why.trim());
        }
        Ok(())
    }
}

impl Workload for Pgbench {
    fn name(&self) -> &'static str {
        "pgbench"
    }

    fn describe(&self) -> Result<String> {
        Ok(format!(
            "PostgreSQL {}, {CLIENTS} clients, scale {SCALE}, {} s each, over a Unix socket, fsync off so that the disk \
             does not decide; its transactions per second",
            version(&format!("postgresql-{}", self.version))?,
            self.seconds
        ))
    }

    fn once(&mut self, _stop: &Stop, run: &mut dyn FnMut(&[OsString]) -> Result<()>) -> Result<()> {
        let (uid, gid) = self.ids;
        let mut words: Vec<OsString> = ["setpriv", "--clear-groups"].map(OsString::from).into();
        words.extend([format!("--reuid={uid}").into(), format!("--regid={gid}").into()]);
        words.extend(["sh", "-c", WHOLE, "pgbench.sh"].map(OsString::from));
        words.extend([self.programs.clone().into(), self.dir.path().into()]);
        words.extend([CLIENTS.into(), threads().into(), self.seconds.to_string().into()]);
        words.extend(self.server_words());
        let done = run(&words);
        // Also where it was interrupted.
        self.stop_server()?;
        done
    }

    fn begin(&mut self, stop: &Stop) -> Result<()> {
        let log = self.dir.path().join("log");
        let file = std::fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let error_file = file.try_clone().with_context(|| format!("cannot open {}", log.display()))?;
        let mut command = self.program("postgres");
        command.args(self.server_words()).stdout(file).stderr(error_file);
        self.server = Some(Group::start(&mut command, "PostgreSQL")?);
        let begin = Instant::now();
        loop {
            stop.check()?;
            let ended = self.server.as_ref().map_or(Ok(true), Group::has_ended)?;
            if ended || begin.elapsed() > START {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let how = if ended { "ended" } else { "does not answer" };
                bail!("the PostgreSQL server {how}:\n{}", text.trim_end());
            }
            if self.is_ready() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn round(&mut self, stop: &Stop) -> Result<Round> {
        let mut command = self.client("pgbench");
        command.args(["-c", CLIENTS, "-j", &threads(), "-T", &self.seconds.to_string(), "postgres"]);
        let text = group::run(&mut command, "pgbench", stop)?;
        let (rate, latency) = parse(&text).with_context(|| format!("pgbench printed no rate: {text}"))?;
        Ok(Round { seconds: 1.0 / rate, latency: Some(latency) })
    }

    fn end(&mut self) -> Result<()> {
        self.stop_server()?;
        if let Some(mut server) = self.server.take() {
            server.wait_for_a_while()?;
        }
        Ok(())
    }

    fn show(&self, seconds: f64) -> String {
        format!("{:.0} TPS", 1.0 / seconds)
    }
}

impl Drop for Pgbench {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("error: {error:#}");
        }
    }
}

/// pgbench's own threads: as many as there are CPUs.
fn threads() -> String {
    thread::available_parallelism().map_or(1, usize::from).to_string()
}

/// The newest version that is installed, and the folder of its programs.
fn newest() -> Result<(String, PathBuf)> {
    let mut versions = software::list(Path::new(VERSIONS)).unwrap_or_default();
    versions.sort_by_key(|version| Reverse(version.parse::<u32>().unwrap_or(0)));
    let mut folders =
        versions.into_iter().map(|version| (Path::new(VERSIONS).join(&version).join("bin"), version));
    folders
        .find(|(folder, _)| ["initdb", "postgres", "pgbench"].iter().all(|name| folder.join(name).exists()))
        .map(|(folder, version)| (version, folder))
        .with_context(|| format!("no version of PostgreSQL in {VERSIONS}: apt-get install postgresql"))
}

/// Transactions per second, and the mean latency in milliseconds.
fn parse(text: &str) -> Option<(f64, f64)> {
    let after = |words: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(words))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    let rate = after("tps = ")?;
    (rate > 0.0).then_some((rate, after("latency average = ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_latency_are_found() {
        let text = "number of clients: 100\nlatency average = 12.500 ms\ninitial connection time = 90.1 ms\n\
            tps = 8000.5 (without initial connection time)\n";
        assert_eq!(parse(text), Some((8000.5, 12.5)));
        assert_eq!(parse("latency average = 1 ms\ntps = 0.0\n"), None);
        assert_eq!(parse(""), None);
    }
}
