//! What is wrong with a request that is not HTTP as this gateway reads it.

use thiserror::Error;

use crate::http1::request;

/// Why a request is malformed: one variant a fault, with what its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Its head, by the rules of HTTP/1, by which every head is read.
    #[error(transparent)]
    Head(#[from] request::Malformed),
    /// It ended before its head did.
    #[error("the connection ended before the head did")]
    EndedEarly,
    /// By the rules that HTTP/2 has besides.
    #[error(transparent)]
    Http2(#[from] Http2Fault),
}

/// A rule of HTTP/2 that a request or its connection breaks (RFC 9113).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Http2Fault {
    /// The connection's first bytes are no preface.
    #[error("the connection does not begin as HTTP/2 does")]
    NoPreface,
    /// Of the connection itself.
    #[error("the connection breaks a rule of HTTP/2 (RFC 9113)")]
    Connection,
    /// The client sends too many frames without requests.
    #[error(transparent)]
    Flood(#[from] Flood),
    /// RFC 9113, section 5.3.1.
    #[error("its stream depends on itself (RFC 9113, section 5.3.1)")]
    DependsOnItself,
    /// The fields do not begin with the pseudo-header fields.
    #[error("a pseudo-header field comes behind another field")]
    LatePseudoHeader,
    /// Such as `:status`.
    #[error("it has a pseudo-header field that no request has")]
    UnknownPseudoHeader,
    /// A pseudo-header field came before.
    #[error("it has a pseudo-header field twice")]
    RepeatedPseudoHeader,
    /// A name that HTTP/2 does not have.
    #[error("a field name is not a token in lower case")]
    FieldName,
    /// A value with blanks around it.
    #[error("a field value begins or ends with a blank")]
    BlankAroundValue,
    /// A value that would end its line.
    #[error("a field value holds a line end or a NUL")]
    LineEndInValue,
    /// Such as `Connection`, which HTTP/2 says in frames.
    #[error("it has a field about the connection")]
    ConnectionField,
    /// No `:method`.
    #[error("it has no :method")]
    NoMethod,
    /// A `:method` that is not a token.
    #[error("its :method is not a token")]
    MethodNotToken,
    /// A CONNECT has an `:authority` alone.
    #[error("it is a CONNECT with a :scheme or a :path")]
    ConnectWithTarget,
    /// No `:scheme`.
    #[error("it has no :scheme")]
    NoScheme,
    /// No `:path`, or an empty one.
    #[error("it has no :path")]
    NoPath,
    /// Neither a path nor `*`.
    #[error("its :path does not begin with `/`")]
    RelativePath,
    /// A `:path` with a blank or control byte, which would end the HTTP/1 target early.
    #[error("its :path holds a blank or a control byte")]
    ByteInPath,
    /// A method or a path with a line end.
    #[error("its method or its path holds a line end")]
    LineEndInRequestLine,
    /// `http` over TLS.
    #[error("its :scheme is not the one that the connection speaks")]
    OtherScheme,
    /// An `:authority` that is no host.
    #[error("its :authority is not a valid host")]
    BadAuthority,
    /// The `host` field and `:authority` differ.
    #[error("its host field is not its :authority")]
    OtherHost,
    /// Written as HTTP/1, it would be read as something else.
    #[error("its head does not end where it should")]
    HeadEnd,
}

/// A client that sends too many frames without requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Flood {
    /// Such as PING.
    #[error("a flood of HTTP/2 frames that ask nothing")]
    IdleFrames,
    /// RST_STREAM (CVE-2023-44487).
    #[error("a flood of HTTP/2 requests that were taken back")]
    TakenBack,
    /// More streams than SETTINGS allow.
    #[error("a flood of HTTP/2 streams beyond those that may be open at once")]
    RefusedStreams,
    /// Streams that make this side reset them (CVE-2025-8671).
    #[error("a flood of HTTP/2 streams that break a rule of HTTP/2")]
    BrokenStreams,
    /// Streams after GOAWAY.
    #[error("the client goes on asking after it was told to stop (GOAWAY)")]
    AfterGoAway,
}
