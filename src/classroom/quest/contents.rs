//! The bytes of quest files.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::credentials::{ADJECTIVES, NOUNS};
use super::super::seed::Seed;

/// Bytes that TYPE A changes on the way, whatever the client does with them: a CR in front of an LF is taken for the
/// network's line end, and a NUL behind a CR for Telnet's.
const FRAGILE: [u8; 6] = [b'\r', b'\n', b'\r', 0, b'\n', 0];

/// A text whose second line has the student's word in it, filled up with nonsense to `size` bytes or a little more.
pub(super) fn text(seed: &Seed, user: &str, size: u64) -> Vec<u8> {
    let mut text = format!("This file was made for {user}.\nIts word is {}\n", seed.word());
    let [adjectives, nouns] = [ADJECTIVES, NOUNS].map(|words| words.split(' ').collect::<Vec<_>>());
    let mut bytes = seed.bytes();
    let mut choose = |words: &[&'static str]| {
        let [high, low] = [(); 2].map(|()| usize::from(bytes.next().unwrap_or_default()));
        words[(high << 8 | low) % words.len()]
    };
    while (text.len() as u64) < size {
        text += &format!(
            "The {} {} has a {} {}.\n",
            choose(&adjectives),
            choose(&nouns),
            choose(&adjectives),
            choose(&nouns)
        );
    }
    text.into_bytes()
}

/// `size` bytes that are no text.
pub(super) fn binary(seed: &Seed, size: u64) -> Vec<u8> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    FRAGILE.into_iter().chain(seed.bytes()).take(size).collect()
}

/// `size` bytes, nearly all of them zero, which take no place on the disk, with the student's word at their very end.
pub(super) fn slow(seed: &Seed, size: u64) -> Vec<u8> {
    let end = format!("\nThe word at the end is {}\n", seed.word());
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(end.len())];
    bytes.extend_from_slice(end.as_bytes());
    bytes
}

/// The width and height of a picture's cells, in pixels, and how many there are in a row.
const CELL: usize = 8;
const CELLS: usize = 8;

/// A picture: cells in three colours, the right half a mirror of the left.
///
/// Its pixels are the numbers 0, 10 and 13, which is what TYPE A changes. It is not compressed, so that its bytes are
/// the same whatever a later library would make of them.
pub(super) fn png(seed: &Seed) -> Vec<u8> {
    let mut random = seed.bytes();
    let colours: Vec<u8> = random.by_ref().take(3 * 14).collect();
    let mut pixels = Vec::new();
    for row in 0..CELLS {
        let half: Vec<u8> = match row {
            // Whatever chance does, these are there.
            0 => vec![b'\r', 0, b'\r', b'\n'],
            _ => random.by_ref().take(CELLS / 2).map(|byte| [0, b'\n', b'\r'][usize::from(byte) % 3]).collect(),
        };
        let cells = half.iter().chain(half.iter().rev());
        let line: Vec<u8> = cells.flat_map(|cell| [*cell; CELL]).collect();
        for _ in 0..CELL {
            // No filter.
            pixels.push(0);
            pixels.extend_from_slice(&line);
        }
    }
    let side = ((CELL * CELLS) as u32).to_be_bytes();
    // Eight bits a pixel, which is the number of a colour.
    let header = [&side[..], &side, &[8, 3, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", stored(&pixels)), (b"IEND", Vec::new())] {
        png.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let chunk = [&kind[..], &data].concat();
        png.extend_from_slice(&chunk);
        png.extend_from_slice(&crc32fast::hash(&chunk).to_be_bytes());
    }
    png
}

/// Fewer than 65,536 bytes as a zlib stream of one block that is not compressed (RFC 1950 and 1951).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    let adler = (high << 16 | low).to_be_bytes();
    [&[0x78, 0x01, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes, &adler].concat()
}

/// An archive of these files, not compressed.
pub(super) fn archive<'a>(files: impl Iterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o644);
    let write = || -> zip::result::ZipResult<()> {
        for (name, contents) in files {
            writer.start_file(name, options)?;
            writer.write_all(&contents)?;
        }
        Ok(())
    };
    write().and_then(|()| writer.finish()).expect("a vector takes every write, and names differ").into_inner()
}
