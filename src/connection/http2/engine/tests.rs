use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Builder;

use super::*;
use crate::connection::http2::hpack;

/// Frames of a grammar, with the odd and the broken ones among them.
fn random_frames(random: &mut fastrand::Rng, last: &mut u32) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.usize(1..6) {
        if random.u8(..12) > 0 {
            sound_frame(random, last, &mut out);
            continue;
        }
        let kind = random.u8(..11);
        let mut stream = random.u32(..12);
        let mut payload: Vec<u8> = match kind {
            frames::HEADERS | frames::CONTINUATION => random_block(random),
            frames::SETTINGS => {
                let id = random.u8(..8);
                [0, id, 0, 0, random.u8(..=64), random.u8(..)].repeat(random.usize(..3))
            }
            PING | frames::GOAWAY => vec![random.u8(..); 8],
            frames::PRIORITY => vec![0, 0, 0, random.u8(..4), 1],
            frames::RST_STREAM | frames::WINDOW_UPDATE => vec![0, 0, random.u8(..), random.u8(..)],
            _ => vec![b'x'; random.usize(..40)],
        };
        if kind == frames::HEADERS && random.u8(..4) > 0 {
            *last += 2;
            stream = *last - 1;
        }
        if matches!(kind, frames::SETTINGS | PING) && random.u8(..20) > 0 {
            stream = 0;
        }
        if random.u8(..30) == 0 {
            payload.resize(random.usize(..3000), random.u8(..));
        }
        let flags = [0x5, 0x4, 0x1, 0x0, 0xd, 0x25][random.usize(..6)];
        frames::write(&mut out, kind, flags, stream, &payload);
    }
    if random.u8(..40) == 0 {
        let at = random.usize(..=out.len());
        out.insert(at, random.u8(..));
    }
    out
}

/// A frame that keeps the rules, as long as those before it did.
fn sound_frame(random: &mut fastrand::Rng, last: &mut u32, out: &mut Vec<u8>) {
    let stream = last.saturating_sub(1);
    match random.u8(..8) {
        0 => frames::write(out, PING, 0, 0, &[7; 8]),
        1 => frames::write(out, frames::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        2 => frames::write_settings(out, &[(frames::INITIAL_WINDOW_SIZE, random.u32(..9))]),
        3 if stream > 0 => frames::write(out, frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        4 if stream > 0 => frames::write(out, frames::DATA, random.u8(..2), stream, b"body"),
        _ => {
            *last += 2;
            let flags = [0x5, 0x4][usize::from(random.u8(..3) == 0)];
            let block = random_block(random);
            frames::write(out, frames::HEADERS, flags, *last - 1, &block);
        }
    }
}

fn random_block(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "https"), (":path", "/x"), (":authority", "gw")]
    {
        if random.u8(..30) > 0 {
            hpack::write(name.as_bytes(), value.as_bytes(), &mut block);
        }
    }
    if random.u8(..3) == 0 {
        hpack::write(b"x-odd", &vec![b'y'; random.usize(..500)], &mut block);
    }
    if random.u8(..10) == 0 {
        block.push(random.u8(..));
    }
    block
}

/// Serves to the end: each request is answered at once, or a little later, or never.
async fn serve(io: DuplexStream, mut random: fastrand::Rng) -> (u32, usize) {
    let wire = Rc::new(Wire::new(CAPS.room));
    let mut engine = Engine::new(io, Rc::clone(&wire), CAPS);
    let (mut requests, mut most) = (0, 0);
    if poll_fn(|context| engine.poll_preface(context)).await.is_err() {
        return (0, 0);
    }
    loop {
        let step = poll_fn(|context| engine.poll(context)).await;
        most = most.max(engine.held());
        match step {
            Step::Request(opened) => {
                requests += 1;
                let id = opened.stream;
                let head = |out: &mut Vec<u8>| hpack::write(b":status", b"404", out);
                if random.u8(..8) == 0 {
                    engine.announce_end();
                }
                let sent = wire.send_head(id, false, head);
                let whole = sent.is_ok() && wire.send_data(id, b"body", true) == Ok(4);
                wire.finish(id, whole);
            }
            Step::Flood(_) => {
                engine.give_up(Reason::EnhanceYourCalm);
                engine.flush_goaway().await;
                return (requests, most);
            }
            Step::Broken | Step::Ended => return (requests, most),
        }
    }
}

#[test]
fn whatever_comes_is_survived_and_bounded() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = fastrand::Rng::with_seed(0x4832);
    let (mut all, mut most) = (0, 0);
    for _ in 0..700 {
        let (near, mut far) = duplex(4096);
        let (mut input, mut last) = (PREFACE.to_vec(), 0);
        frames::write_settings(&mut input, &[]);
        for _ in 0..random.usize(1..12) {
            input.extend(random_frames(&mut random, &mut last));
        }
        let step = random.usize(1..300);
        let served = serve(near, random.fork());
        let client = async move {
            let mut came = [0; 4096];
            for piece in input.chunks(step) {
                if far.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
                let read = far.read(&mut came);
                let _ = tokio::time::timeout(std::time::Duration::ZERO, read).await;
            }
            let _ = far.shutdown().await;
            while far.read(&mut came).await.is_ok_and(|count| count > 0) {}
        };
        let ((requests, held), ()) = runtime.block_on(async { tokio::join!(served, client) });
        all += requests;
        most = most.max(held);
    }
    assert!(all > 500, "{all}");
    // A head and its padding, the table, and what is to be sent.
    assert!(most <= CAPS.block + MAX_HEAD_OVERHEAD + 2 * hpack::TABLE_SIZE + 8192, "{most}");
}

const MAX_HEAD_OVERHEAD: usize = 262 + CHUNK;

const CAPS: Caps =
    Caps { streams: 4, block: 2000, head: 1500, list: 2000, room: 1024, unsent: 4096 };
