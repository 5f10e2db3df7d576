//! Options of `doctor`.

use crate::output::ReportFormat;

#[derive(Clone, Copy, Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 when measuring works, else 1.\n\nExample:\n  rss-drift doctor --json | jq '.checks[] | select(.state != \"ok\")'"
)]
pub(super) struct Args {
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) const fn format(self) -> ReportFormat {
        if self.json { ReportFormat::Json } else { ReportFormat::Text }
    }
}
