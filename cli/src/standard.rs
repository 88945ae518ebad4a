//! Standard input and output, as whoever has started the program gave them.

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, major, minor};
use std::os::fd::AsFd;

/// Number of the null device (Linux, Documentation/admin-guide/devices.txt).
const NULL: (u32, u32) = (1, 3);

/// Whether standard input or output was closed when the program began. The standard library then opens the null device
/// in its place, for both reading and writing, before `main` runs. Whoever means the null device has it open one way, as
/// `</dev/null` and `>/dev/null` do; a daemon that has it open both ways has no standard input or output either
/// (daemon(3)).
pub fn is_closed(standard: impl AsFd) -> bool {
    let Ok(stat) = fstat(&standard) else { return true };
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == NULL;
    let both = |flags: OFlags| flags & OFlags::RWMODE == OFlags::RDWR;
    is_null && fcntl_getfl(&standard).is_ok_and(both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_null_device_that_is_meant_is_open_one_way() {
        let null = |read, write| File::options().read(read).write(write).open("/dev/null").unwrap();
        assert!(is_closed(null(true, true)));
        assert!(!is_closed(null(true, false)) && !is_closed(null(false, true)));
        let zero = File::options().read(true).write(true).open("/dev/zero").unwrap();
        assert!(!is_closed(zero), "it is another device");
        assert!(!is_closed(std::io::pipe().unwrap().0));
    }
}
