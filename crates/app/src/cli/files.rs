//! Resource files named on the command line: files, directories, standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis_control::view::ResourceFile;
use portcullis_resources::{MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, is_test_file};

use crate::failure::Failure;

/// Deepest directory looked into.
const MAX_DEPTH: usize = 16;

/// Reads everything `paths` name: a directory stands for the `.yaml` and `.yml` files in and
/// below it, `-` for standard input. Hidden files, links to directories and tests are left out.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<ResourceFile>, Failure> {
    let is_resource =
        |path: &Path| path.file_name().is_none_or(|name| !is_test_file(&name.to_string_lossy()));
    read_those(paths, is_resource)
}

/// [`read`], with the files of tests.
pub(crate) fn read_with_tests(paths: &[PathBuf]) -> Result<Vec<ResourceFile>, Failure> {
    read_those(paths, |_| true)
}

fn read_those(
    paths: &[PathBuf],
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<ResourceFile>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(bounded("<standard input>", std::io::stdin())?);
            continue;
        }
        let mut files = Vec::new();
        if path.is_dir() {
            collect(path, 0, &mut files)?;
            files.retain(|file| wanted(file));
            if files.is_empty() {
                return Err(Failure::Usage(format!(
                    "`{}` has no .yaml file; name a directory with resources",
                    path.display()
                )));
            }
        } else {
            files.push(path.clone());
        }
        files.sort();
        for file in files {
            let opened = std::fs::File::open(&file).map_err(|error| unreadable(&file, &error))?;
            found.push(bounded(&file.display().to_string(), opened)?);
        }
    }
    let total: usize = found.iter().map(|file| file.text.len()).sum();
    if found.len() > MAX_FILES || total > MAX_TOTAL_BYTES {
        return Err(Failure::Usage(format!(
            "{} files with {total} bytes are too many; at most {MAX_FILES} files and {MAX_TOTAL_BYTES} bytes go into one plan",
            found.len()
        )));
    }
    Ok(found)
}

fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::Usage(format!(
            "`{}` is more than {MAX_DEPTH} directories deep",
            directory.display()
        )));
    }
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(directory, &error))?;
        let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Failure::Usage(format!(
                "`{}` has more than {MAX_FILES} resource files",
                directory.display()
            )));
        }
    }
    Ok(())
}

fn bounded(name: &str, from: impl Read) -> Result<ResourceFile, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(Path::new(name), &error))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Failure::Usage(format!("`{name}` is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("`{name}` is not UTF-8; resources are text")))?;
    Ok(ResourceFile { name: name.to_owned(), text })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be read", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_yaml_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("deep")).unwrap();
        for name in ["b.yaml", "a.yml", "deep/c.yaml", "note.txt", ".hidden.yaml", "b.test.yaml"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        let found = read(&[root.to_owned()]).unwrap();
        let texts: Vec<_> = found.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b.yaml", "deep/c.yaml"]);
        assert_eq!(read_with_tests(&[root.to_owned()]).unwrap().len(), 4);
    }

    #[test]
    fn what_cannot_be_resources_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(&[directory.path().to_owned()]), Err(Failure::Usage(_))));
        let binary = directory.path().join("x.yaml");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&[binary]), Err(Failure::Usage(_))));
        assert!(matches!(read(&[directory.path().join("absent")]), Err(Failure::Failed(_))));
    }
}
