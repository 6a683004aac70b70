//! The little of XML that S3's answers to our own requests need: flat lists of plain texts.

/// What stands inside each `<name>…</name>`.
pub(super) fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

/// The text of the first `<name>`.
pub(super) fn text_of(xml: &str, name: &str) -> Option<String> {
    let text = elements(xml, name).next()?;
    Some(
        text.trim()
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_lists_are_read() {
        let xml = "<R><Upload><Key>a&amp;b</Key></Upload>\n<Upload><Key> c </Key></Upload><Uploads/></R>";
        let keys: Vec<Option<String>> = elements(xml, "Upload").map(|upload| text_of(upload, "Key")).collect();
        assert_eq!(keys, [Some("a&b".to_owned()), Some("c".to_owned())]);
        assert_eq!(text_of(xml, "Bucket"), None);
        assert_eq!(elements("<Upload>cut", "Upload").count(), 0);
    }
}
