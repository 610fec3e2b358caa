//! Unpacks gzip and zstd, and tells what is wrong with what is damaged or packed otherwise.
//!
//! Packed logs are cut by full disks, padded by tapes, and followed by what somebody has appended: whatever can be
//! unpacked is, and the rest is told as a [`Trouble`].

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What is wrong with a packed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) enum Trouble {
    /// It is packed in a way that is not read here: which, and what unpacks it.
    Foreign(&'static str, &'static str),
    /// Zeros stand behind it.
    Padded,
    /// Something else does.
    Trailed,
    /// It has no byte.
    Empty,
    /// It goes no further, or not in a way that can be.
    Damaged(String),
}

impl Trouble {
    /// The trouble that an error is.
    pub(in crate::report) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the last line may have gone on.
    pub(in crate::report) fn is_torn(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// What is said of the source of this name.
    pub(in crate::report) fn sentence(&self, name: &str) -> String {
        match self {
            Self::Foreign(packing, program) => format!(
                "{name} is packed with {packing}, which is not read here: {program} {} | phonebook-gateway report -",
                quoted(name)
            ),
            Self::Padded => {
                format!(
                    "Behind the packed content of {name} stand zeros; nothing of it is missing."
                )
            }
            Self::Trailed => format!(
                "Behind the packed content of {name} stands something that is not packed; it was left out."
            ),
            Self::Empty => format!("{name} is empty, and was to be a packed file."),
            Self::Damaged(why) => format!(
                "{name} could not be unpacked to its end: {why}. What came before is counted, a line that is torn is not."
            ),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence("it"))
    }
}

impl Error for Trouble {}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        Self::other(trouble)
    }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    match name {
        "standard input" => "…".to_owned(),
        name if name.chars().all(is_plain) => name.to_owned(),
        name => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

/// What `reader` holds, unpacked where it is packed; `is_named` says that its name is that of a packed file.
pub(in crate::report) fn unpack(
    mut reader: Box<dyn Read + Send>,
    is_named: bool,
) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(MAGIC as usize);
    reader.by_ref().take(MAGIC).read_to_end(&mut magic)?;
    if let Some((_, packing, program)) = FOREIGN.iter().find(|(known, ..)| magic.starts_with(known))
    {
        return Err(Trouble::Foreign(packing, program).into());
    }
    let is_gzip = magic.starts_with(&GZIP);
    let is_zstd = magic.starts_with(&ZSTD);
    // A file of two bytes, or one.
    let is_cut = |known: &[u8]| known.starts_with(&magic) && (magic.len() > 1 || is_named);
    if magic.is_empty() && is_named {
        return Ok(Box::new(Ends(Some(Trouble::Empty))));
    }
    if !is_gzip && !is_zstd && !magic.is_empty() && (is_cut(&GZIP) || is_cut(&ZSTD)) {
        return Ok(Box::new(Ends(Some(Trouble::Damaged("it ends within its first bytes".into())))));
    }
    let whole = io::Cursor::new(magic).chain(reader);
    let packed = |whole| BufReader::with_capacity(PACKED, whole);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(Gzip { state: Some(State::Between(packed(whole))), is_first: true }),
        (_, true) => Box::new(Zstd {
            packed: packed(whole),
            decoder: FrameDecoder::new(),
            is_within: false,
            is_first: true,
        }),
        _ => Box::new(whole),
    })
}

/// Ends with a trouble.
struct Ends(Option<Trouble>);

impl Read for Ends {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), |trouble| Err(trouble.into()))
    }
}

/// What stands behind a member of a packed file.
enum Behind {
    Nothing,
    /// What begins with this byte.
    Member(u8),
}

/// Passes over zeros behind a member.
fn behind(packed: &mut impl BufRead) -> io::Result<Behind> {
    let mut is_padded = false;
    loop {
        let held = packed.fill_buf()?;
        let Some(&first) = held.first() else {
            return if is_padded { Err(Trouble::Padded.into()) } else { Ok(Behind::Nothing) };
        };
        if first != 0 {
            return Ok(Behind::Member(first));
        }
        is_padded = true;
        let nuls = held.iter().take_while(|&&byte| byte == 0).count();
        packed.consume(nuls);
    }
}

/// An error that is not the reader's own, as a trouble.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind has dozens of kinds, and gets more"
)]
fn damage(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::Damaged("it ends too early".to_owned()).into(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Trouble::Damaged(error.to_string()).into()
        }
        _ => error,
    }
}

/// gzip members behind one another.
struct Gzip<R> {
    state: Option<State<R>>,
    is_first: bool,
}

enum State<R> {
    Between(R),
    Within(Box<GzDecoder<R>>),
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(State::Between(mut packed)) => match behind(&mut packed)? {
                    Behind::Nothing => return Ok(0),
                    Behind::Member(first) if first != GZIP[0] => {
                        return Err(Trouble::Trailed.into());
                    }
                    Behind::Member(_) => {
                        self.state = Some(State::Within(Box::new(GzDecoder::new(packed))));
                    }
                },
                Some(State::Within(mut decoder)) => match decoder.read(buffer) {
                    Ok(0) if !buffer.is_empty() => {
                        self.is_first = false;
                        self.state = Some(State::Between(decoder.into_inner()));
                    }
                    // What has no head of its own is no member.
                    Err(error) if decoder.header().is_none() && !self.is_first => {
                        return Err(match damage(error) {
                            error if Trouble::of(&error).is_some() => Trouble::Trailed.into(),
                            error => error,
                        });
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        self.state = Some(State::Within(decoder));
                        return Err(error);
                    }
                    Err(error) => return Err(damage(error)),
                    Ok(count) => {
                        self.state = Some(State::Within(decoder));
                        return Ok(count);
                    }
                },
            }
        }
    }
}

/// zstd frames behind one another; the library's own reader ends after one.
struct Zstd<R> {
    packed: R,
    decoder: FrameDecoder,
    is_within: bool,
    is_first: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame that holds something; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            match behind(&mut self.packed)? {
                Behind::Nothing => return Ok(false),
                // The first byte of a frame, or of one that is to be skipped.
                Behind::Member(first) if first != ZSTD[0] && first & 0xf0 != 0x50 => {
                    return Err(Trouble::Trailed.into());
                }
                Behind::Member(_) => {}
            }
            match self.decoder.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.packed).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(Trouble::Damaged("it ends too early".to_owned()).into());
                    }
                }
                Err(FrameDecoderError::ReadFrameHeaderError(
                    ReadFrameHeaderError::BadMagicNumber(_),
                )) if !self.is_first => return Err(Trouble::Trailed.into()),
                Err(error) => return Err(Trouble::Damaged(reason(&error)).into()),
            }
        }
    }
}

/// What is at the bottom of an error.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    match last.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => "it ends too early".to_owned(),
        _ => last.to_string(),
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            self.is_within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.packed, one)
                    .map_err(|error| Trouble::Damaged(reason(&error)))?;
            }
            match self.decoder.read(buffer)? {
                0 => (self.is_within, self.is_first) = (false, false),
                count => return Ok(count),
            }
        }
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first bytes of what is packed otherwise, what that is, and what unpacks it to its standard output.
const FOREIGN: [(&[u8], &str, &str); 6] = [
    (b"\xfd7zXZ\0", "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
    (b"\x5d\0\0", "lzma", "xzcat --format=lzma"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4cat"),
    (b"\x89LZO\0", "lzop", "lzop -dc"),
    (b"\x1f\x9d", "compress", "zcat"),
];
/// The number of bytes by which one is told from others.
const MAGIC: u64 = 6;
/// The number of packed bytes that are read at once.
const PACKED: usize = 256 << 10;

#[cfg(test)]
mod tests;
