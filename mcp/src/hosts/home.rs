//! Paths that begin in the home folder of whoever is logged in, as scp(1) has them.

use super::HostError;

/// A path as it is meant, relative to the home folder unless it begins with a slash: `~` is that folder. Another user's
/// is not known here, nor where `..` would lead behind a folder that may be a symbolic link.
pub(super) fn path(text: &str, path: &str) -> Result<String, HostError> {
    if path.split('/').any(|part| part == "..") {
        return Err(HostError::UpByName(text.to_owned()));
    }
    match path.strip_prefix('~') {
        None => Ok(path.to_owned()),
        Some(below) if below.is_empty() || below.starts_with('/') => {
            match below.trim_start_matches('/') {
                "-" => Ok("./-".to_owned()), // a name, where alone it would be standard output
                below => Ok(below.to_owned()),
            }
        }
        Some(_) => Err(HostError::OtherHome(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_and_no_name() {
        for (typed, meant) in [
            ("~", ""),
            ("~/", ""),
            ("~/x/y", "x/y"),
            ("~//x/", "x/"),
            ("~/-", "./-"),
            ("~/-/", "-/"),
            ("-", "-"),
            ("./~/x", "./~/x"),
            ("x~", "x~"),
            ("/~", "/~"),
            ("", ""),
        ] {
            assert_eq!(path("h", typed), Ok(meant.to_owned()), "{typed}");
        }
        let refused = path("h:~u/x", "~u/x").unwrap_err().to_string();
        assert!(refused.starts_with("h:~u/x: ~ stands for"), "{refused}");
        for typed in ["..", "../x", "/x/..", "~/../x", "a/../b"] {
            let refused = path("h", typed).unwrap_err().to_string();
            assert!(refused.contains("write the path from / on"), "{refused}");
        }
    }
}
