use std::io::Write;

use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// What can be read, and what is wrong.
fn read(bytes: &[u8], is_named: bool) -> (Vec<u8>, Option<Trouble>) {
    let source = Box::new(io::Cursor::new(bytes.to_vec()));
    let trouble = |error: &io::Error| Trouble::of(error).cloned().unwrap();
    let mut reader = match unpack(source, is_named) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(trouble(&error))),
    };
    let mut text = Vec::new();
    let outcome = reader.read_to_end(&mut text);
    (text, outcome.err().as_ref().map(trouble))
}

#[test]
fn whatever_can_be_unpacked_is_and_the_rest_is_told() {
    let text: Vec<u8> =
        (0..200_000_u32).flat_map(|it| format!("line {it}\n").into_bytes()).collect();
    for pack in [gzip, zstd] {
        let packed = pack(&text);
        assert_eq!(read(&packed, true), (text.clone(), None));
        let twice = [&packed[..], &pack(b""), &packed].concat();
        assert_eq!(read(&twice, false), ([&text[..], &text].concat(), None));
        let with = |behind: &[u8]| read(&[&packed[..], behind].concat(), true);
        assert_eq!(with(&[0; 5000]), (text.clone(), Some(Trouble::Padded)));
        assert_eq!(with(b"garbage"), (text.clone(), Some(Trouble::Trailed)));
        assert_eq!(with(b"\0\0\0garbage"), (text.clone(), Some(Trouble::Trailed)));
        // What begins as a member does and is none.
        assert_eq!(with(&[packed[0], b'x', b'y', b'z', b'1', b'2']).1, Some(Trouble::Trailed));
        for length in [packed.len() / 2, packed.len() - 1, 20] {
            let (found, trouble) = read(&packed[..length], false);
            assert!(text.starts_with(&found) && found.len() < text.len() + 1, "{length}");
            assert!(matches!(trouble, Some(Trouble::Damaged(_))), "{length}: {trouble:?}");
        }
        for length in 1..packed.len().min(12) {
            let (found, trouble) = read(&packed[..length], true);
            assert!(found.is_empty(), "{length}");
            assert!(matches!(trouble, Some(Trouble::Damaged(_))), "{length}: {trouble:?}");
        }
        let mut broken = packed.clone();
        broken[packed.len() / 2..][..64].fill(0x55);
        let (found, trouble) = read(&broken, true);
        assert!(found.len() < text.len() * 2, "no more than it held");
        assert!(matches!(trouble, Some(Trouble::Damaged(_))), "{trouble:?}");
    }
    assert_eq!(read(b"", true), (Vec::new(), Some(Trouble::Empty)));
    assert_eq!(read(b"", false), (Vec::new(), None));
    assert_eq!(read(b"(\n", false), (b"(\n".to_vec(), None));
}

#[test]
fn what_is_packed_otherwise_is_named_with_what_unpacks_it() {
    for (magic, program, packing) in [
        (&b"\xfd7zXZ\0rest"[..], "xzcat", "xz"),
        (b"BZh91AY", "bzcat", "bzip2"),
        (b"\x1f\x9d\x90", "zcat", "compress"),
    ] {
        let (found, trouble) = read(magic, true);
        assert!(found.is_empty());
        let sentence = trouble.unwrap().sentence("a b's.log");
        assert!(sentence.contains(&format!("packed with {packing},")), "{sentence}");
        let command = format!(r"{program} 'a b'\''s.log' | phonebook-gateway report -");
        assert!(sentence.ends_with(&command), "{sentence}");
    }
}
