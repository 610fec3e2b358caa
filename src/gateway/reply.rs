//! What the gateway answers itself: who a caller is, and why it is refused.

use super::Exchange;
use super::record::Record;
use super::request_source::RequestSource;
use super::response_sink::{Disconnected, Disposition, Part, Persistence, ResponseSink};
use super::whoami::WhoAmI;
use crate::http1::Version;
use crate::http1::request::RequestHead;
use crate::refusal::Refusal;
use crate::response::problem::{self, Audience};
use crate::response::request_id::RequestId;
use crate::response::{Head, ResponseOptions};
use crate::worker::Worker;
use crate::worker::snapshot::Found;

impl Exchange<'_> {
    /// Tells a caller who it is.
    pub(super) async fn introduce(
        &self,
        options: &ResponseOptions,
        client: &mut impl ResponseSink,
        record: &mut Record<'_>,
    ) -> Result<Disposition, Refusal> {
        self.annotations.counted(self.below_ceiling())?;
        let RequestSource { caller, found, .. } = &self.source;
        let known = found.peer().is_some();
        let whoami = WhoAmI::new(caller, known, self.now, self.request_id.as_str());
        let (head, body) = whoami.answer(options);
        let sent = send_whole(self.worker, client, &head, &body, record).await;
        sent.map_err(|Disconnected| Refusal::ClientClosed)?;
        Ok(if options.keep_alive { Disposition::KeepAlive } else { Disposition::Close })
    }

    /// Sends a refusal.
    pub(super) async fn refuse(
        &self,
        refusal: &Refusal,
        options: &ResponseOptions,
        client: &mut impl ResponseSink,
        record: &mut Record<'_>,
    ) -> Result<(), Disconnected> {
        let audience = audience(&self.source.found, refusal);
        let takes = |length| client.takes_now(length);
        let (head, body) = problem::answer(refusal, audience, options, takes);
        send_whole(self.worker, client, &head, &body, record).await
    }
}

/// Sends a whole answer, and records that.
pub(super) async fn send_whole(
    worker: &Worker,
    client: &mut impl ResponseSink,
    head: &Head<'_>,
    body: &[u8],
    record: &mut Record<'_>,
) -> Result<(), Disconnected> {
    record.begin(head);
    client.begin(worker, head, body, Part::Last).await?;
    record.add_body_bytes(body.len());
    record.complete();
    Ok(())
}

/// How the request with this head is answered.
pub(crate) fn options(
    head: Option<&RequestHead<'_>>,
    persistence: Persistence,
    request_id: RequestId,
) -> ResponseOptions {
    ResponseOptions {
        version: head.map_or(Version::Http11, RequestHead::version),
        head_only: head.is_some_and(|head| head.method() == b"HEAD"),
        keep_alive: head.is_some_and(|head| head.persists() && !head.has_body())
            && persistence == Persistence::Offered,
        request_id,
    }
}

/// Who reads a refusal: a peer is one whatever it is refused for, and who only lacks the right
/// certificate is told so.
pub(crate) fn audience(found: &Found<'_>, refusal: &Refusal) -> Audience {
    match found {
        // Whoever mistook the scheme may know it: it tells nothing of anybody.
        _ if *refusal == Refusal::PlainOnTls => Audience::Peer,
        Found::Peer(_) | Found::CertificateMissing { .. } => Audience::Peer,
        Found::Unknown => Audience::Unknown,
    }
}
