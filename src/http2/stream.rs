//! One request's stream, as the outlet of its answer.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::timeout;

use crate::answer::{Gone, Head, Outlet};
use crate::client::After;
use crate::worker::Worker;

/// A stream on which one answer is sent.
#[derive(Debug)]
pub(super) struct Stream {
    respond: SendResponse<Bytes>,
    /// There once the head was sent.
    body: Option<SendStream<Bytes>>,
    write_timeout: Duration,
}

impl Stream {
    pub(super) fn new(respond: SendResponse<Bytes>, write_timeout: Duration) -> Self {
        Self { respond, body: None, write_timeout }
    }

    /// Ends the stream; it is reset where its answer is not whole.
    pub(super) fn end(mut self, after: After) {
        if after == After::Reset {
            match &mut self.body {
                Some(body) => body.send_reset(Reason::INTERNAL_ERROR),
                None => self.respond.send_reset(Reason::INTERNAL_ERROR),
            }
        }
    }
}

impl Outlet for Stream {
    async fn begin(
        &mut self,
        worker: &Worker,
        head: &Head<'_>,
        data: &[u8],
        last: bool,
    ) -> Result<(), Gone> {
        let response = response(worker, head).ok_or(Gone)?;
        let ended = last && data.is_empty();
        let body = self.respond.send_response(response, ended).map_err(|_| Gone)?;
        self.body = Some(body);
        if data.is_empty() {
            return Ok(());
        }
        self.send(data, last).await
    }

    async fn send(&mut self, mut data: &[u8], last: bool) -> Result<(), Gone> {
        let body = self.body.as_mut().ok_or(Gone)?;
        while !data.is_empty() {
            body.reserve_capacity(data.len());
            if body.capacity() == 0 {
                // Each bit of room is progress, as a byte that was taken is over HTTP/1.
                let room = poll_fn(|context| body.poll_capacity(context));
                match timeout(self.write_timeout, room).await {
                    Ok(Some(Ok(_))) => continue,
                    Ok(Some(Err(_)) | None) | Err(_) => return Err(Gone),
                }
            }
            let (now, rest) = data.split_at(body.capacity().min(data.len()));
            let ended = last && rest.is_empty();
            body.send_data(Bytes::copy_from_slice(now), ended).map_err(|_| Gone)?;
            if ended {
                return Ok(());
            }
            data = rest;
        }
        match last {
            true => body.send_data(Bytes::new(), true).map_err(|_| Gone),
            false => Ok(()),
        }
    }

    /// Waits until the stream was reset, by either side, or the connection ended.
    async fn gone(&mut self) {
        let _ = poll_fn(|context| match &mut self.body {
            Some(body) => body.poll_reset(context),
            None => self.respond.poll_reset(context),
        })
        .await;
    }
}

/// A head as HTTP/2 has it: names in lower case, and nothing about the connection.
fn response(worker: &Worker, head: &Head<'_>) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).ok()?;
    let fields = response.headers_mut();
    let mut text = Vec::new();
    for (name, value) in head.fields() {
        text.clear();
        value.write(&mut text);
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        fields.insert(name, HeaderValue::from_bytes(&text).ok()?);
    }
    text.clear();
    worker.log.write_http_date(&mut text);
    fields.insert(http::header::DATE, HeaderValue::from_bytes(&text).ok()?);
    let id = HeaderValue::from_str(head.manner().request_id.as_str()).ok()?;
    fields.insert(HeaderName::from_static("x-request-id"), id);
    Some(response)
}

/// The outlet of a request that nobody can be answered to.
#[derive(Debug)]
pub(super) struct Nobody;

impl Outlet for Nobody {
    async fn begin(&mut self, _: &Worker, _: &Head<'_>, _: &[u8], _: bool) -> Result<(), Gone> {
        Err(Gone)
    }

    async fn send(&mut self, _: &[u8], _: bool) -> Result<(), Gone> {
        Err(Gone)
    }

    async fn gone(&mut self) {}
}
