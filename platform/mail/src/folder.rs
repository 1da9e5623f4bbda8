//! Mails as files, while there is no server for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use mainstay_core::Timestamp;
use mainstay_db::create_private_folder;
use uuid::Uuid;

/// A name that sorts by time and that every file system takes.
pub(crate) fn file_name(id: Uuid, created_at: Timestamp) -> String {
    format!("{}-{id}.eml", created_at.to_string().replace([':', '-'], ""))
}

/// Writes a mail whole or not at all; again over what an earlier attempt wrote.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    create_private_folder(folder)?;
    let unfinished = folder.join(format!(".{name}.part"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // A mail may hold a link that signs somebody in.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, folder.join(name))?;
    // The name is on the disk only when the folder is.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_one_private_file_however_often_it_is_written() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let name = file_name(Uuid::from_u128(7), Timestamp::from_millis(1_769_851_800_000));
        assert_eq!(name, "20260131T093000.000Z-00000000-0000-0000-0000-000000000007.eml");
        for text in ["first, longer", "second"] {
            write(&folder, &name, text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.join(&name)).unwrap(), "second");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join(&name))), (0o700, 0o600));
        }
    }
}
