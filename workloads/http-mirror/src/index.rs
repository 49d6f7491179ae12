//! The list of repositories, for people (HTML) and programs (JSON in the form of hgweb's `index` template).

use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use crate::answers;
use crate::body::FrontBody;
use crate::routes::Route;

#[derive(Serialize)]
struct Index<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    description: &'a str,
    contact: &'static str,
    /// Seconds since 1970 and the offset from UTC, as Mercurial writes dates.
    lastchange: Option<[u64; 2]>,
    labels: [&'static str; 0],
}

pub(crate) fn answer(directory: &str, routes: &[&Route], query: &str, headers: &HeaderMap) -> Response<FrontBody> {
    if wants_json(query, headers) {
        return answers::page(StatusCode::OK, "application/json", json(routes));
    }
    answers::page(StatusCode::OK, "text/html; charset=utf-8", html(directory, routes))
}

fn wants_json(query: &str, headers: &HeaderMap) -> bool {
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "style") {
        Some((_, style)) => style == "json",
        None => {
            let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            accepted.contains("application/json") && !accepted.contains("text/html")
        }
    }
}

fn json(routes: &[&Route]) -> String {
    let entries = routes.iter().map(|route| Entry {
        name: route.path.as_str(),
        description: &route.description,
        contact: "",
        lastchange: route.last_push.map(|seconds| [seconds, 0]),
        labels: [],
    });
    // Strings and numbers can always be written.
    serde_json::to_string(&Index { entries: entries.collect() }).unwrap_or_default()
}

fn html(directory: &str, routes: &[&Route]) -> String {
    let title = match directory.trim_matches('/') {
        "" => "Repositories".to_owned(),
        directory => format!("Repositories below {}", escape(directory)),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"color-scheme\" content=\"light dark\"></head><body>\n<h1>{title}</h1>\n<table>\n\
         <tr><th align=\"left\">Name</th><th align=\"left\">Description</th></tr>\n"
    );
    for route in routes {
        let name = escape(route.path.as_str());
        let description = escape(&route.description);
        page += &format!("<tr><td><a href=\"/{name}/\">{name}</a></td><td>{description}</td></tr>\n");
    }
    page += "</table>\n</body></html>\n";
    page
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::tests::route;

    #[test]
    fn descriptions_cannot_become_markup() {
        let mut evil = route("a/b");
        evil.description = "<script>alert('x')</script> & \"more\"".into();
        let page = html("<i>", &[&evil]);
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"), "{page}");
        assert!(page.contains("below &lt;i&gt;") && page.contains("<a href=\"/a/b/\">a/b</a>"));
        let parsed: serde_json::Value = serde_json::from_str(&json(&[&evil])).unwrap();
        assert_eq!(parsed["entries"][0]["description"], evil.description);
        assert_eq!(parsed["entries"][0]["lastchange"], serde_json::Value::Null);
    }

    #[test]
    fn browsers_get_html_and_programs_json() {
        let accept = |value: &str| HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]);
        assert!(!wants_json("", &accept("text/html,application/json;q=0.9")));
        assert!(wants_json("", &accept("application/json")));
        assert!(wants_json("style=json", &HeaderMap::new()));
        assert!(!wants_json("style=paper", &accept("application/json")));
    }
}
