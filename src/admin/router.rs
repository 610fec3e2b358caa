//! What the admin listener has at which path.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};

use super::guard::{self, Way};
use super::metrics::exposition::Exposition;
use super::metrics::{self, Sources};
use super::pace::Paced;
use super::ready::Readiness;
use super::status::source::StatusSource;
use super::status_page;
use super::stub_status::stub_status;
use super::tls::AdminTls;
use crate::diagnostics::LostDiagnostics;
use crate::limits::SeatCensus;
use crate::server::Server;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// All that is shown.
#[derive(Debug)]
pub(super) struct Site {
    server: Server,
    lost: LostDiagnostics,
    pub(super) tls: AdminTls,
    readiness: Readiness,
    status: StatusSource,
    census: Paced<Arc<SeatCensus>>,
    /// The figures in each form.
    open_metrics: Paced<Bytes>,
    prometheus: Paced<Bytes>,
    page: Paced<Bytes>,
    status_json: Paced<Bytes>,
    page_policy: HeaderValue,
}

impl Site {
    pub(super) fn new(server: Server, lost: LostDiagnostics) -> Self {
        Self {
            tls: AdminTls::new(server.clone()),
            readiness: Readiness::default(),
            status: StatusSource::new(server.clone()),
            census: Paced::default(),
            open_metrics: Paced::default(),
            prometheus: Paced::default(),
            page: Paced::default(),
            status_json: Paced::default(),
            // It is made of ASCII alone.
            page_policy: HeaderValue::try_from(status_page::page_policy())
                .unwrap_or(HeaderValue::from_static(NOTHING_ELSE)),
            server,
            lost,
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: &Request<B>, way: Way) -> Answer {
        let config = Arc::clone(&self.server.shared().snapshot().config);
        if let Err(answer) = guard::check(request, way, &config) {
            return *answer;
        }
        match request.uri().path() {
            "/" => self.page().await,
            "/status.json" => self.status().await,
            "/metrics" => self.metrics(request).await,
            "/live" => document(StatusCode::OK, TEXT, "live\n"),
            "/ready" => self.ready().await,
            "/stub_status" => {
                document(StatusCode::OK, TEXT, stub_status(&self.server, &*self.census().await))
            }
            _ => refused(StatusCode::NOT_FOUND, PATHS),
        }
    }

    async fn metrics<B>(&self, request: &Request<B>) -> Answer {
        let fields = request.headers().get_all(ACCEPT).iter();
        let exposition = Exposition::accepted_by(fields.filter_map(|field| field.to_str().ok()));
        let paced = match exposition {
            Exposition::OpenMetrics => &self.open_metrics,
            Exposition::Prometheus => &self.prometheus,
        };
        // Not among what is made at once: it has a pace of its own.
        let census = self.census().await;
        let text = paced.get(|| {
            let Self { server, lost, tls, .. } = self;
            let families = metrics::gather(&Sources { server, lost, tls, census: &census });
            Bytes::from(exposition.write(families))
        });
        let mut answer = document(StatusCode::OK, exposition.content_type(), text.await);
        answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        answer
    }

    async fn page(&self) -> Answer {
        let census = self.census().await;
        let page = self.page.get(|| status_page::page(&self.status.document(&census)).into());
        let mut answer = document(StatusCode::OK, "text/html; charset=utf-8", page.await);
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, self.page_policy.clone());
        answer
    }

    async fn status(&self) -> Answer {
        let census = self.census().await;
        let json = || serde_json::to_vec(&self.status.document(&census)).unwrap_or_default().into();
        document(StatusCode::OK, "application/json", self.status_json.get(json).await)
    }

    /// Looks now and then at what the page shows of the last hour and day; never returns.
    pub(super) async fn keep_history(&self) {
        self.status.keep_history().await;
    }

    async fn ready(&self) -> Answer {
        let obstacles = self.readiness.obstacles(&self.server).await;
        if obstacles.is_empty() {
            return document(StatusCode::OK, TEXT, "ready\n");
        }
        let lines: Vec<_> = obstacles.iter().map(|why| format!("not ready: {why}\n")).collect();
        document(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.concat())
    }

    /// Who has which connections now.
    async fn census(&self) -> Arc<SeatCensus> {
        let shared = self.server.shared();
        let look = || Arc::new(shared.seats.census(shared.moment(std::time::Instant::now())));
        self.census.get(look).await
    }
}

/// A document that is true at this moment only, and nobody's but its reader's.
pub(super) fn document(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let fields = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // For a page, what it holds itself is to be added.
        (CONTENT_SECURITY_POLICY, NOTHING_ELSE),
    ];
    for (name, value) in fields {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// That a request is not answered as asked.
pub(super) fn refused(status: StatusCode, why: &str) -> Answer {
    let mut answer = document(status, TEXT, format!("{why}\n"));
    let field = match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "GET, HEAD")),
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer realm=\"phonebook-gateway\"")),
        _ => None,
    };
    if let Some((name, value)) = field {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

const TEXT: &str = "text/plain; charset=utf-8";

const NOTHING_ELSE: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What there is.
const PATHS: &str = "There is nothing here. There is:\n\
                     /             how the gateway is, for people\n\
                     /status.json  the same for programs\n\
                     /metrics      figures for Prometheus\n\
                     /ready        200 where lookups would be answered, else 503 and why\n\
                     /live         200 as long as the gateway runs\n\
                     /stub_status  what nginx's stub_status says";
