//! The entry points of the fuzz targets. Not part of the interface.

use portcullis_domain::Facts;

/// Anything as a file: no panic, and what is accepted reads back the same from its YAML.
///
/// # Panics
/// Where a resource that was accepted does not survive its own canonical form.
pub fn fuzz_parse(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match crate::parse(&[("fuzz.yaml", text)]) {
        Ok(resources) => {
            for problem in crate::check_references(&resources, &Facts::default()) {
                let _ = problem.to_string();
            }
            for located in resources {
                let yaml = crate::to_yaml(&located.value);
                let again = crate::parse(&[("again.yaml", &yaml)]);
                let again = again.ok().and_then(|mut found| found.pop()).map(|l| l.value);
                assert_eq!(again.as_ref(), Some(&located.value), "{yaml}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let _ = problem.to_string();
            }
        }
    }
}

/// Anything as a file of tests: no panic, and a problem or cases.
///
/// # Panics
/// Where nothing is said of a file that was refused.
pub fn fuzz_access_tests(bytes: &[u8]) {
    if let Err(problems) =
        crate::parse_access_tests(&[("fuzz.test.yaml", String::from_utf8_lossy(bytes))])
    {
        assert!(!problems.is_empty());
        for problem in problems {
            let _ = problem.to_string();
        }
    }
}
