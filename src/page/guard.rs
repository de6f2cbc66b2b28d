//! What every request must show, and what every answer says to the browser.
//!
//! A page on a private address can be reached by any web page that somebody in that network opens: through a name that
//! comes to mean this address (DNS rebinding), or by a form that is sent here. So names must be known, and whatever
//! changes something must come from the page itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

/// No script, style or picture but the page's own files, and nothing that makes markup out of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// How long something that is sent may take, with what is done about it.
const POST_LIMIT: Duration = Duration::from_secs(30);

/// The names besides addresses and `localhost` by which the page may be called.
pub(super) type Hosts = Arc<[String]>;

/// Refuses what must not be, and has every answer say what browsers shall keep to.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.method(), request.headers(), &hosts) {
        Some((status, why)) => (status, why).into_response(),
        // Only a feed may take as long as it likes, and nobody sends one.
        None if *request.method() == Method::POST => match timeout(POST_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        },
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(method: &Method, headers: &HeaderMap, hosts: &[String]) -> Option<(StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_known(host, hosts) {
        let why = "this page is not known by that name; call it by its address, or list the name in page.hosts\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    let is_own = |origin: &str| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(|of| of == host)
    };
    let changes = method != Method::GET && method != Method::HEAD;
    let origin = text(header::ORIGIN);
    // A browser always sends it with what changes something.
    let is_foreign = match origin {
        Some(origin) => !is_own(origin),
        None => changes,
    };
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let navigates = text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate") && !changes;
    let is_from_elsewhere = !navigates && matches!(site, Some("cross-site" | "same-site"));
    (is_foreign || is_from_elsewhere).then_some((StatusCode::FORBIDDEN, "only the page itself may ask for this\n"))
}

/// A name that means somebody else's server today may mean this one tomorrow; an address never does.
fn is_known(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    };
    is_address || name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_known_name() {
        let hosts = ["Class.example.org".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:8021", true),
            ("192.168.1.5", true),
            ("[fe80::1]:8021", true),
            ("localhost:8021", true),
            ("LOCALHOST", true),
            ("class.example.org:80", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:8021", false),
            ("localhost.evil.example", false),
            ("fe80::1", false),
            ("[127.0.0.1]", false),
            ("", false),
        ] {
            assert_eq!(is_known(host, &hosts), expected, "{host}");
        }
    }

    #[test]
    fn what_changes_something_comes_from_the_page_itself() {
        let asked = |method: Method, lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("10.0.0.1:8021"));
            for (name, value) in lines {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            refusal(&method, &headers, &[]).map(|(status, _)| status.as_u16())
        };
        let own = ("origin", "http://10.0.0.1:8021");
        assert_eq!(asked(Method::POST, &[own]), None);
        assert_eq!(asked(Method::POST, &[own, ("sec-fetch-site", "same-origin")]), None);
        assert_eq!(asked(Method::POST, &[]), Some(403));
        assert_eq!(asked(Method::POST, &[("origin", "http://10.0.0.1:80")]), Some(403));
        assert_eq!(asked(Method::POST, &[("origin", "null")]), Some(403));
        assert_eq!(asked(Method::POST, &[own, ("sec-fetch-site", "cross-site")]), Some(403));
        assert_eq!(asked(Method::GET, &[]), None);
        assert_eq!(asked(Method::GET, &[("origin", "http://evil.example")]), Some(403));
        assert_eq!(asked(Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]), Some(403));
        assert_eq!(asked(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), None);
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(asked(Method::POST, &link), Some(403));
    }
}
