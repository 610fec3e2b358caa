//! One request's stream, as the sink of its response.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use crate::connection::http2::hpack;
use crate::connection::http2::wire::Wire;
use crate::gateway::response_sink::{Disconnected, Disposition, Part, ResponseSink};
use crate::response::Head;
use crate::worker::Worker;

/// A stream on which one answer is sent. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    wire: Rc<Wire>,
    id: u32,
    write_timeout: Duration,
    whole: bool,
}

impl Stream {
    pub(super) fn new(wire: Rc<Wire>, id: u32, write_timeout: Duration) -> Self {
        Self { wire, id, write_timeout, whole: false }
    }

    /// Ends the stream; it is reset where its answer is not whole.
    pub(super) fn end(mut self, disposition: Disposition) {
        self.whole = disposition != Disposition::Reset;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.wire.finish(self.id, self.whole);
    }
}

impl ResponseSink for Stream {
    async fn begin(
        &mut self,
        worker: &Worker,
        head: &Head<'_>,
        data: &[u8],
        part: Part,
    ) -> Result<(), Disconnected> {
        let ended = part == Part::Last && data.is_empty();
        self.wire.send_head(self.id, ended, |out| write_head(worker, head, out))?;
        if data.is_empty() { Ok(()) } else { self.send(data, part).await }
    }

    async fn send(&mut self, mut data: &[u8], part: Part) -> Result<(), Disconnected> {
        loop {
            let sent = self.wire.send_data(self.id, data, part == Part::Last)?;
            data = data.get(sent..).unwrap_or_default();
            if data.is_empty() {
                return Ok(());
            }
            // Each bit of room is progress, as a byte that was taken is over HTTP/1.
            let room = poll_fn(|context| self.wire.poll_room(self.id, context));
            timeout(self.write_timeout, room).await.map_err(|_| Disconnected)??;
        }
    }

    /// Waits until the stream was reset, by either side, or the connection ended.
    async fn disconnected(&mut self) {
        poll_fn(|context| self.wire.poll_gone(self.id, context)).await;
    }

    fn takes_now(&self, length: usize) -> bool {
        length <= self.wire.room(self.id)
    }
}

/// A head as HTTP/2 has it: names in lower case, and nothing about the connection.
fn write_head(worker: &Worker, head: &Head<'_>, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    let mut status = [b'0'; 3];
    for (digit, unit) in status.iter_mut().zip([100, 10, 1]) {
        *digit += u8::try_from(head.status() / unit % 10).unwrap_or_default();
    }
    hpack::write(b":status", &status, out);
    for (name, value) in head.fields() {
        text.clear();
        value.write(&mut text);
        hpack::write(name.to_ascii_lowercase().as_bytes(), &text, out);
    }
    text.clear();
    worker.write_http_date(&mut text);
    hpack::write(b"date", &text, out);
    hpack::write(b"x-request-id", head.options().request_id.as_str().as_bytes(), out);
}

/// A sink for a request that cannot be answered.
#[derive(Debug)]
pub(super) struct Nobody;

impl ResponseSink for Nobody {
    async fn begin(
        &mut self,
        _: &Worker,
        _: &Head<'_>,
        _: &[u8],
        _: Part,
    ) -> Result<(), Disconnected> {
        Err(Disconnected)
    }

    async fn send(&mut self, _: &[u8], _: Part) -> Result<(), Disconnected> {
        Err(Disconnected)
    }

    async fn disconnected(&mut self) {}
}
