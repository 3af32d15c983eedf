//! A QR code drawn with half blocks, for an authenticator application to scan off the terminal.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of silence around the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// Draws `text` in black on white whatever the terminal has, so that it scans on all of them;
/// `None` where it does not fit into a QR code.
pub(crate) fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let side = width + 2 * QUIET;
    let dark = |row: usize, column: usize| {
        let inside =
            (QUIET..QUIET + width).contains(&row) && (QUIET..QUIET + width).contains(&column);
        inside && colors.get((row - QUIET) * width + column - QUIET) == Some(&Color::Dark)
    };
    let mut out = String::new();
    for row in (0..side).step_by(2) {
        out.push_str("\u{1b}[30;107m");
        for column in 0..side {
            out.push(match (dark(row, column), dark(row + 1, column)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        out.push_str("\u{1b}[0m\n");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_totp_uri_fits_and_is_square_with_a_quiet_zone() {
        let uri = "otpauth://totp/Portcullis:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portcullis";
        let drawn = super::draw(uri).unwrap();
        let rows = drawn.lines().count();
        let first =
            drawn.lines().next().unwrap().replace("\u{1b}[30;107m", "").replace("\u{1b}[0m", "");
        assert!(first.chars().all(|c| c == ' '), "the first rows are the quiet zone");
        assert!(rows * 2 >= first.chars().count());
    }
}
