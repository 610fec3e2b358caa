use super::huffman::tests::{codes, encode};
use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Fault> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok(fields)
}

fn texts(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// RFC 7541, appendix C.3 and C.4: three requests on one connection, without and with Huffman's code.
#[test]
fn the_examples_of_the_rfc_are_read() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        let first = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ];
        assert_eq!(decode(&mut decoder, &bytes(blocks[0])).unwrap(), texts(&first));
        let second = [&first[..], &[("cache-control", "no-cache")]].concat();
        assert_eq!(decode(&mut decoder, &bytes(blocks[1])).unwrap(), texts(&second));
        let third = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ];
        assert_eq!(decode(&mut decoder, &bytes(blocks[2])).unwrap(), texts(&third));
    }
}

#[test]
fn what_does_not_fit_the_table_drives_the_oldest_out() {
    let mut decoder = Decoder::new();
    let kept = |name: &str, value: &str| {
        let mut block = vec![0x40];
        write_string(name.as_bytes(), &mut block);
        write_string(value.as_bytes(), &mut block);
        block
    };
    // Room for 100 entries of 41 bytes, less one byte.
    decode(&mut decoder, &[0x3f, 0xe1 - 0x20 + 0x20, 0x1f]).unwrap();
    for number in 0..150 {
        decode(&mut decoder, &kept("n", &format!("{number:08}"))).unwrap();
    }
    assert!(decoder.held() <= 2 * TABLE_SIZE, "{}", decoder.held());
    assert_eq!(decode(&mut decoder, &[0x80 | 62]).unwrap(), texts(&[("n", "00000149")]));
    let mut oldest = Vec::new();
    write_integer(0x80, 7, 62 + 98, &mut oldest);
    assert_eq!(decode(&mut decoder, &oldest).unwrap(), texts(&[("n", "00000051")]));
    let mut gone = Vec::new();
    write_integer(0x80, 7, 62 + 99, &mut gone);
    assert_eq!(decode(&mut decoder, &gone), Err(Fault::Broken));
    // One that is too large for it empties it.
    decode(&mut decoder, &kept("n", &"x".repeat(5000))).unwrap();
    assert_eq!(decode(&mut decoder, &[0x80 | 62]), Err(Fault::Broken));
    // And so does the client's word; nothing is held then.
    decode(&mut decoder, &kept("n", "x")).unwrap();
    decode(&mut decoder, &[0x20]).unwrap();
    assert_eq!(decoder.held(), 0);
    assert_eq!(decode(&mut decoder, &[0x80 | 62]), Err(Fault::Broken));
}

#[test]
fn what_no_encoder_writes_is_broken() {
    for block in [
        &[0x80][..],
        // An index that is not there.
        &[0x80 | 62],
        &[0xff, 0x80, 0x01],
        &[0x7f, 0x80, 0x01, 0x00],
        // A number without an end.
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
        // A table larger than it may be, and a change of its size behind a field.
        &[0x3f, 0xe2, 0x1f],
        &[0x82, 0x20],
        // A string that is not filled up with ones.
        &[0x00, 0x81, 0x00, 0x00],
    ] {
        assert_eq!(decode(&mut Decoder::new(), block), Err(Fault::Broken), "{block:x?}");
    }
    for block in
        [&[0x00][..], &[0x00, 0x01], &[0x00, 0x01, b'a'], &[0x00, 0x01, b'a', 0x02, b'b'], &[0xff]]
    {
        assert_eq!(decode(&mut Decoder::new(), block), Err(Fault::Cut), "{block:x?}");
    }
}

#[test]
fn what_is_written_is_read() {
    let fields = [
        (":status", "200"),
        (":status", "429"),
        ("content-type", "application/json"),
        ("content-length", ""),
        ("x-request-id", "0123456789abcdef"),
        ("retry-after", &"9".repeat(300)),
    ];
    let mut block = Vec::new();
    write_no_table(&mut block);
    for (name, value) in fields {
        write(name.as_bytes(), value.as_bytes(), &mut block);
    }
    assert_eq!(decode(&mut Decoder::new(), &block).unwrap(), texts(&fields));
}

/// A second reader of the same blocks, as slow and plain as can be: what it and the decoder make of
/// blocks from a grammar, and of broken ones, is the same.
#[test]
fn random_blocks_are_read_as_a_plain_model_reads_them() {
    let mut random = fastrand::Rng::with_seed(9113);
    let (mut decoder, mut model) = (Decoder::new(), Model::default());
    let (mut well, mut broken) = (0, 0);
    for _ in 0..3000 {
        let mut block = Vec::new();
        if random.u8(..8) == 0 {
            write_integer(0x20, 5, random.usize(..5000), &mut block);
        }
        for _ in 0..random.usize(..6) {
            random_field(&mut random, &model, &mut block);
        }
        if random.u8(..50) == 0 {
            let at = random.usize(..=block.len());
            block.splice(at..at, [random.u8(..)]);
        }
        let found = decode(&mut decoder, &block);
        assert_eq!(found.is_ok(), model.decode(&block).is_some(), "{block:x?}");
        match found {
            Ok(fields) => {
                assert_eq!(fields, model.fields);
                well += 1;
            }
            Err(_) => {
                broken += 1;
                (decoder, model) = (Decoder::new(), Model::default());
            }
        }
        assert!(decoder.held() <= 2 * TABLE_SIZE, "{}", decoder.held());
    }
    assert!(well > 1500 && broken > 50, "{well} {broken}");
}

fn random_field(random: &mut fastrand::Rng, model: &Model, block: &mut Vec<u8>) {
    let known = 61 + model.table.len();
    let string = |random: &mut fastrand::Rng, block: &mut Vec<u8>| {
        let length = if random.u8(..20) == 0 { random.usize(..3000) } else { random.usize(..20) };
        let text: Vec<u8> = (0..length).map(|_| random.u8(b'a'..b'e')).collect();
        if random.bool() {
            write_string(&text, block);
        } else {
            let coded = encode(&text);
            write_integer(0x80, 7, coded.len(), block);
            block.extend(coded);
        }
    };
    if random.u8(..3) == 0 {
        let most = known + usize::from(random.u8(..40) == 0);
        return write_integer(0x80, 7, random.usize(1..=most), block);
    }
    let (first, bits) = [(0x40, 6), (0, 4), (0x10, 4)][random.usize(..3)];
    if random.bool() {
        write_integer(first, bits, random.usize(1..=known), block);
    } else {
        block.push(first);
        string(random, block);
    }
    string(random, block);
}

#[derive(Default)]
struct Model {
    table: Vec<(Vec<u8>, Vec<u8>)>,
    max: Option<usize>,
    fields: Fields,
}

impl Model {
    fn decode(&mut self, mut block: &[u8]) -> Option<()> {
        self.fields.clear();
        while let Some(&first) = block.first() {
            if first >> 5 == 1 {
                let size = number(&mut block, 5)?;
                if size > 4096 || !self.fields.is_empty() {
                    return None;
                }
                self.max = Some(size);
                self.evict();
                continue;
            }
            if first >= 0x80 {
                let index = number(&mut block, 7)?;
                let field = self.entry(index)?;
                self.fields.push(field);
                continue;
            }
            let index = number(&mut block, if first >= 0x40 { 6 } else { 4 })?;
            let name = if index == 0 { text(&mut block)? } else { self.entry(index)?.0 };
            let field = (name, text(&mut block)?);
            self.fields.push(field.clone());
            if first >= 0x40 {
                self.table.insert(0, field);
                self.evict();
            }
        }
        Some(())
    }

    fn evict(&mut self) {
        let size = |table: &[(Vec<u8>, Vec<u8>)]| {
            table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
        };
        while size(&self.table) > self.max.unwrap_or(4096) {
            self.table.pop();
        }
    }

    fn entry(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        if index == 0 || index > 61 {
            return self.table.get(index.checked_sub(62)?).cloned();
        }
        let (mut name, mut value) = (Vec::new(), Vec::new());
        Table::new(0).copy(index, &mut name, Some(&mut value)).unwrap();
        Some((name, value))
    }
}

fn number(block: &mut &[u8], bits: u8) -> Option<usize> {
    let (&first, mut rest) = block.split_first()?;
    let most = (1 << bits) - 1;
    let mut sum = usize::from(first & most);
    if sum == usize::from(most) {
        for nth in 0.. {
            let (&next, disposition) = rest.split_first()?;
            rest = disposition;
            sum += usize::from(next & 127) << (7 * nth);
            if next < 128 {
                break;
            }
            if nth == 3 {
                return None;
            }
        }
    }
    *block = rest;
    Some(sum)
}

fn text(block: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = *block.first()? >= 128;
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    if !coded {
        return Some(text.to_vec());
    }
    let codes = codes();
    let (mut found, mut pending) = (Vec::new(), String::new());
    for bit in text.iter().flat_map(|byte| format!("{byte:08b}").chars().collect::<Vec<_>>()) {
        pending.push(bit);
        if let Some(byte) = codes.get(&pending) {
            found.push(*byte);
            pending.clear();
        }
    }
    (pending.len() < 8 && !pending.contains('0')).then_some(found)
}
