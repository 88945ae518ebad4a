//! The tables of a job's file, version by version; `docs/mtm.md` describes them for who reads them by `sqlite3`.

use super::LedgerError;
use rusqlite::{Connection, TransactionBehavior};

/// "mtm1" as a number, in the file's header (`PRAGMA application_id`): what the file is.
const APPLICATION: i32 = 0x6D74_6D31;

/// The steps from one version of the tables to the next; the first makes them.
const STEPS: &[&str] = &[FIRST, EXEC, FORMER, MOUNT, EDITIONS];

/// Whether something is mounted as the entry, where the system has told that.
const MOUNT: &str = "ALTER TABLE entries ADD COLUMN mount INTEGER CHECK (mount IN (0, 1));";

/// Which revision of its number each is; those of before have no row. And which one a receiver has told of that this file
/// knows nothing of: what is known of the receiver since then is known in spite of it.
const EDITIONS: &str = "
CREATE TABLE editions (revision INTEGER PRIMARY KEY, edition INTEGER NOT NULL) STRICT;
ALTER TABLE receivers ADD COLUMN lost INTEGER;
";

/// What became of the command of `--exec` at a receiver, and for which revision.
const EXEC: &str = "
ALTER TABLE receivers ADD COLUMN exec_revision INTEGER;
ALTER TABLE receivers ADD COLUMN exec_status TEXT;
";

/// Former names of what stands under other ones.
const FORMER: &str = "
CREATE TABLE former (
    path ANY NOT NULL,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'directory')),
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (path, dev, ino)
) STRICT, WITHOUT ROWID;
";

const FIRST: &str = "
CREATE TABLE job (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL CHECK (length(id) = 16),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    source ANY NOT NULL,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waiting', 'paused', 'cancelled', 'complete')),
    why TEXT,
    options TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    listen TEXT
) STRICT;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    path ANY NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'directory', 'link', 'other')),
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    version INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1))
) STRICT;
CREATE TABLE receivers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    instance BLOB CHECK (length(instance) = 16),
    late_since INTEGER,
    why TEXT,
    complete INTEGER NOT NULL DEFAULT 0,
    rate INTEGER,
    verify INTEGER NOT NULL DEFAULT 0 CHECK (verify IN (0, 1))
) STRICT;
CREATE TABLE reasons (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE runs (
    receiver INTEGER NOT NULL REFERENCES receivers (id) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    revision INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('announced', 'sent', 'done', 'failed')),
    failures INTEGER NOT NULL DEFAULT 0,
    reason INTEGER REFERENCES reasons (id),
    PRIMARY KEY (receiver, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE channel (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity BLOB NOT NULL CHECK (length(identity) = 64),
    channel BLOB NOT NULL CHECK (length(channel) = 32),
    private BLOB NOT NULL CHECK (length(private) = 32),
    incarnation INTEGER NOT NULL,
    below INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_reason ON runs (reason) WHERE reason IS NOT NULL;
CREATE VIEW status AS
SELECT entries.path AS entry, entries.version AS version, entries.gone AS gone, receivers.name AS receiver,
       coalesce(runs.status, 'pending') AS status,
       coalesce(runs.failures, 0) AS failures, reasons.text AS reason
FROM entries CROSS JOIN receivers
LEFT JOIN runs ON runs.receiver = receivers.id
    AND runs.first = (SELECT max(first) FROM runs AS before
                      WHERE before.receiver = receivers.id AND before.first <= entries.id)
    AND runs.last >= entries.id AND runs.revision >= entries.version
LEFT JOIN reasons ON reasons.id = runs.reason;
";

/// How many steps the tables of an open file are on; none of one that has no tables. Nothing is changed.
///
/// # Errors
///
/// They are not a job's, or are those of a newer program.
pub(super) fn version(db: &Connection) -> Result<usize, LedgerError> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (version, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match usize::try_from(version) {
        Ok(0) if tables == 0 && application == 0 => Ok(0),
        Ok(steps) if steps > 0 && application == APPLICATION => {
            if steps > STEPS.len() {
                Err(LedgerError::Newer(version))
            } else {
                Ok(steps)
            }
        }
        _ => Err(LedgerError::Foreign),
    }
}

/// Whether the tables are those of the newest version.
pub(super) fn is_newest(db: &Connection) -> Result<bool, LedgerError> {
    Ok(version(db)? == STEPS.len())
}

/// Brings the tables to the newest version, and does something else in the same transaction.
pub(super) fn migrate(
    db: &mut Connection,
    also: impl FnOnce(&Connection) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let steps = version(&change)?;
    for step in &STEPS[steps..] {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    also(&change)?;
    Ok(change.commit()?)
}
