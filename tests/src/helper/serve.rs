//! The helper's side: one line in, something done, one line out.

use std::{
    ffi::{CString, OsString},
    io::{self, BufRead as _, Write as _},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::{Command, ExitCode},
};

use nix::unistd::execv;

use super::{
    AS_HELPER, Kind, Life, NAME, SERVE, flood, hog, interrupt, io_worker,
    regions::{self, Mapped},
    storm, tasks, userfaultfd,
};

/// What a helper has.
#[derive(Debug, Default)]
pub(super) struct Server {
    regions: Vec<Mapped>,
}

/// What an order was about, in numbers.
pub(super) type Answer = io::Result<Vec<u64>>;

/// Takes orders until their pipe is closed.
pub(super) fn main(name: Option<&OsString>) -> ExitCode {
    tasks::die_with_the_parent();
    regions::no_huge_pages();
    let name = CString::new(name.map_or(NAME.as_bytes(), |name| name.as_bytes())).unwrap_or_default();
    // SAFETY: a name that ends with a zero; the kernel cuts it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    say("ready\n");
    Server::default().serve()
}

impl Server {
    /// Takes orders on the calling thread.
    pub(super) fn serve(mut self) -> ExitCode {
        let mut line = String::with_capacity(256);
        loop {
            line.clear();
            match io::stdin().lock().read_line(&mut line) {
                Ok(0) => return ExitCode::SUCCESS,
                Ok(_) => {}
                Err(_) => return ExitCode::FAILURE,
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() == Some(&"lose-leader") {
                return tasks::hand_over(self);
            }
            let answer = self.obey(&words);
            reply(&answer);
        }
    }

    fn obey(&mut self, words: &[&str]) -> Answer {
        let number = |index: usize| -> io::Result<usize> {
            words
                .get(index)
                .and_then(|word| word.parse().ok())
                .ok_or_else(|| io::Error::other("a number is missing"))
        };
        let region = |index: usize| -> io::Result<Mapped> {
            self.regions.get(number(index)?).copied().ok_or_else(|| io::Error::other("no such region"))
        };
        let done = |result: io::Result<()>| result.map(|()| Vec::new());
        match *words {
            ["map", kind, _, path] => {
                let kind = Kind::parse(kind).ok_or_else(|| io::Error::other("no such kind"))?;
                let mapped = Mapped::new(kind, number(2)?, path)?;
                self.regions.push(mapped);
                Ok(vec![self.regions.len() as u64 - 1, mapped.start as u64])
            }
            ["write", ..] => {
                region(1)?.write(number(2)?, number(3)?);
                Ok(Vec::new())
            }
            ["read", ..] => {
                region(1)?.read(number(2)?, number(3)?);
                Ok(Vec::new())
            }
            ["advise", ..] => {
                let advice = number(1)?.try_into().map_err(io::Error::other)?;
                done(region(2)?.advise(number(3)?, number(4)?, advice))
            }
            ["userfaultfd", ..] => done(userfaultfd::fill(region(1)?, number(2)?)),
            ["mlock", ..] => done(region(1)?.lock()),
            ["munmap", ..] => done(region(1)?.unmap(number(2)?, number(3)?)),
            ["protect", ..] => done(region(1)?.protect(number(2)?, number(3)?)),
            ["io-worker", "fill", ..] => {
                let (region, pages) = (region(2)?, number(3)?);
                io_worker::fill(region, pages, &regions::memfd(region.bytes(pages) as u64)?)
            }
            ["io-worker", "give-up", ..] => io_worker::give_up(region(2)?, number(3)?),
            ["pin", _] => done(tasks::pin(number(1)?)),
            ["threads", ..] => done(tasks::threads(number(1)?, region(2)?, number(3)?)),
            ["hop", ..] => tasks::hop(number(1)?, region(2)?, number(3)?),
            ["fork", ..] => tasks::fork_child(region(1)?, number(2)?),
            ["seccomp", ..] => tasks::sandbox(region(1)?, number(2)?),
            ["clone-vm", ..] => tasks::share_memory(region(1)?, number(2)?),
            ["vfork", ..] => tasks::vfork(region(1)?, number(2)?),
            ["pid-namespace", ..] => tasks::fork_into_pid_namespace(region(1)?, number(2)?),
            ["zombie"] => tasks::zombie(),
            ["storm", _] => storm::run(number(1)?),
            ["flood", life, ..] => flood::run(Life::parse(life)?, number(2)?, region(3)?, number(4)?),
            ["interrupt"] => interrupt::run(),
            ["churn", ..] => hog::churn(region(1)?, number(2)?),
            ["spin", ..] => hog::spin(region(1)?, number(2)?, number(3)?),
            ["enough"] => Ok(Vec::new()),
            // On success it does not come back: the new program says that it is ready.
            ["exec", ..] => {
                let more = vec!["x".repeat(number(2)?); number(1)?];
                Err(Command::new("/proc/self/exe").args([AS_HELPER, SERVE, NAME]).args(more).exec())
            }
            ["exec-of", path, ..] => {
                let arguments = vec![CString::new("x".repeat(number(3)?))?; number(2)?];
                // On success it does not come back, as below. Command would try a shell.
                let Err(error) = execv(&CString::new(path)?, &arguments);
                Ok(vec![u64::from((error as i32).unsigned_abs())])
            }
            _ => Err(io::Error::other("no such order")),
        }
    }
}

pub(super) fn reply(answer: &Answer) {
    match answer {
        Ok(numbers) => {
            let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
            say(&format!("ok {}\n", words.join(" ")));
        }
        Err(error) => say(&format!("failed: {error}\n")),
    }
}

fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    // Without a reader the test is over, and so is the helper.
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(1);
    }
}
