//! The list of repositories, for people (HTML) and programs (JSON and raw, in the form of hgweb's `index` templates).

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

/// Said by hgweb of what nobody has written down.
const UNKNOWN: &str = "unknown";

/// Directory whose list is asked for at `path`; `index` below it is the same page, as with hgwebdir.
pub(crate) fn directory(path: &str) -> &str {
    let path = path.trim_matches('/');
    path.strip_suffix("index").filter(|above| above.is_empty() || above.ends_with('/')).unwrap_or(path)
}

pub(crate) fn answer(directory: &str, routes: &[&Route], query: &str, headers: &HeaderMap) -> Response<FrontBody> {
    match style(query, headers) {
        Style::Json => answers::page(StatusCode::OK, "application/json", json(directory, routes)),
        Style::Raw => answers::page(StatusCode::OK, "text/plain; charset=utf-8", raw(routes)),
        Style::Html => answers::page(StatusCode::OK, "text/html; charset=utf-8", html(directory, routes)),
    }
}

#[derive(Debug, PartialEq)]
enum Style {
    Html,
    Json,
    Raw,
}

fn style(query: &str, headers: &HeaderMap) -> Style {
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "style");
    match asked.as_ref().map(|(_, style)| style.as_ref()) {
        Some("json") => Style::Json,
        Some("raw") => Style::Raw,
        Some(_) => Style::Html,
        None => {
            let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_program = accepted.contains("application/json") && !accepted.contains("text/html");
            if is_program { Style::Json } else { Style::Html }
        }
    }
}

/// Addresses, one a line.
fn raw(routes: &[&Route]) -> String {
    let addresses: String = routes.iter().map(|route| format!("/{}/\n", route.path)).collect();
    format!("\n{addresses}\n")
}

/// Names are those below the directory.
fn json(directory: &str, routes: &[&Route]) -> String {
    let above = match directory.trim_matches('/') {
        "" => 0,
        directory => directory.len() + 1,
    };
    let entries = routes.iter().map(|route| Entry {
        name: route.path.as_str().get(above..).unwrap_or_default(),
        description: if route.description.is_empty() { UNKNOWN } else { &route.description },
        contact: UNKNOWN,
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
        let parsed: serde_json::Value = serde_json::from_str(&json("a", &[&evil])).unwrap();
        assert_eq!(parsed["entries"][0]["name"], "b");
        assert_eq!(parsed["entries"][0]["description"], evil.description);
        assert_eq!(parsed["entries"][0]["lastchange"], serde_json::Value::Null);
    }

    #[test]
    fn browsers_get_html_and_programs_what_they_ask_for() {
        let accept = |value: &str| HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]);
        assert_eq!(style("", &accept("text/html,application/json;q=0.9")), Style::Html);
        assert_eq!(style("", &accept("application/json")), Style::Json);
        assert_eq!(style("style=json", &HeaderMap::new()), Style::Json);
        assert_eq!(style("style=raw", &HeaderMap::new()), Style::Raw);
        assert_eq!(style("style=paper", &accept("application/json")), Style::Html);
    }

    /// As hgwebdir of 6.3.2 and 7.2.4 has it.
    #[test]
    fn the_index_is_also_what_hgwebdir_calls_so() {
        for (path, asked) in
            [("/", ""), ("/index", ""), ("/team", "team"), ("/team/index/", "team/"), ("/windex", "windex")]
        {
            assert_eq!(directory(path), asked, "{path}");
        }
        assert_eq!(raw(&[&route("hello"), &route("team/a")]), "\n/hello/\n/team/a/\n\n");
    }
}
