//! What the sample XiVO answers: nginx's part (400, redirect, 404), then the phonebook's script.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::PoisonError;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::{Arrival, Site};
use crate::demo::phonebook::Phonebook;
use crate::demo::routing::php::{PhpQuery, php_query};
use crate::demo::routing::{Act, Place, Reading, read_url};

type Answer = Response<Full<Bytes>>;

/// Why a request does not get to the phonebook's script.
enum Refusal {
    /// nginx answers this status.
    ByNginx(StatusCode),
    /// nginx sends the caller to https.
    Redirect { host: String },
    /// XiVO's web service answers this status.
    ByXivo(StatusCode),
}

/// Answers one request and records it.
pub(super) async fn answer(site: &Site, from: SocketAddr, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let target = parts.uri.to_string();
    let reading = read_url(target.as_bytes()).ok();
    let place = reading.as_ref().and_then(Reading::place);
    let (answer, act) = match admit(&parts, reading, from.ip()) {
        Err(refusal) => (refuse(&parts, refusal), None),
        Ok(reading) => match Limited::new(body, MAX_BODY).collect().await {
            Err(_) => (empty(StatusCode::PAYLOAD_TOO_LARGE), None),
            Ok(body) => {
                let body = body.to_bytes();
                let arguments = arguments(&parts, &reading, &body);
                let act = Act::of(&arguments);
                let mut book = site.phonebook.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = perform(&mut book, act, &arguments, &body);
                (from_script(answer), Some(act))
            }
        },
    };
    if let Some(recorder) = &site.recorder {
        recorder.record(Arrival {
            from,
            method: parts.method.to_string(),
            target,
            headers: parts.headers,
            place,
            act,
            status: answer.status().as_u16(),
        });
    }
    answer
}

/// Lets a request through to the phonebook's script, in nginx's and XiVO's order of tests.
fn admit(parts: &Parts, reading: Option<Reading>, from: IpAddr) -> Result<Reading, Refusal> {
    let bad_request = Refusal::ByNginx(StatusCode::BAD_REQUEST);
    let Some(reading) = reading else {
        return Err(bad_request);
    };
    match host(parts) {
        Some(host) if host == "127.0.0.1" || host == "localhost" => {}
        Some(host) => return Err(Refusal::Redirect { host }),
        None => return Err(bad_request),
    }
    match reading.place() {
        None => Err(Refusal::ByNginx(StatusCode::NOT_FOUND)),
        Some(Place::Private) if !is_private(from) => Err(Refusal::ByXivo(StatusCode::FORBIDDEN)),
        Some(_) if reading.is_phonebook() => Ok(reading),
        Some(_) => Err(Refusal::ByXivo(StatusCode::NOT_FOUND)),
    }
}

fn refuse(parts: &Parts, refusal: Refusal) -> Answer {
    match refusal {
        Refusal::ByNginx(status) => empty(status),
        Refusal::ByXivo(status) => from_script(empty(status)),
        Refusal::Redirect { host } => {
            let path = parts.uri.path_and_query().map_or("/", |both| both.as_str());
            let Ok(location) = HeaderValue::from_str(&format!("https://{host}{path}")) else {
                return empty(StatusCode::BAD_REQUEST);
            };
            let mut answer = empty(StatusCode::FOUND);
            answer.headers_mut().insert(LOCATION, location);
            answer
        }
    }
}

/// XiVO's only test for `private`. An IPv4-mapped address fails it, as the text `::ffff:127.0.0.1`
/// does there.
fn is_private(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// nginx's `$host`: of an absolute target, else of the field; lower case and without the port.
/// An HTTP/1.0 request may go without for nginx; here it may not.
fn host(parts: &Parts) -> Option<String> {
    let text = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(HOST)?.to_str().ok()?,
    };
    let name = match text.find(']') {
        Some(end) if text.starts_with('[') => &text[..=end],
        _ => text.split(':').next().unwrap_or_default(),
    };
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// The request's variables as XiVO's web services take them: only of GET and POST, and a form
/// body's before the query's.
fn arguments(parts: &Parts, reading: &Reading, body: &[u8]) -> PhpQuery {
    if parts.method != Method::GET && parts.method != Method::POST {
        return PhpQuery::default();
    }
    let mut arguments = reading.arguments();
    let is_form = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if parts.method == Method::POST && is_form {
        arguments.overlay(php_query(body));
    }
    arguments
}

/// What the script does and answers.
fn perform(book: &mut Phonebook, act: Act, arguments: &PhpQuery, body: &[u8]) -> Answer {
    let text = |name: &[u8]| {
        let bytes = arguments.text(name)?;
        std::str::from_utf8(bytes).ok()
    };
    let id = || text(b"id")?.parse::<u32>().ok();
    let done = |done: bool, otherwise| empty(if done { StatusCode::OK } else { otherwise });
    match act {
        Act::Search => array(&book.search(text(b"search").unwrap_or_default())),
        Act::List => array(book.list()),
        Act::View => match id().and_then(|id| book.view(id)) {
            Some(contact) => json(contact),
            None => empty(StatusCode::NOT_FOUND),
        },
        Act::Add => done(book.add(body).is_some(), StatusCode::BAD_REQUEST),
        Act::Delete => done(id().is_some_and(|id| book.delete(id)), StatusCode::NOT_FOUND),
    }
}

/// A JSON array, or 204 where it would be empty.
fn array<T: Serialize>(contacts: &[T]) -> Answer {
    if contacts.is_empty() {
        return empty(StatusCode::NO_CONTENT);
    }
    json(contacts)
}

fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
    let Ok(text) = serde_json::to_vec(value) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// Marks an answer as one of XiVO's web services.
fn from_script(mut answer: Answer) -> Answer {
    answer.headers_mut().insert("x-xivo-ws-version", HeaderValue::from_static("1.0"));
    answer
}

/// nginx's `client_max_body_size` as Debian ships it.
const MAX_BODY: usize = 1 << 20;
