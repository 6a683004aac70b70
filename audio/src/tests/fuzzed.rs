//! What `make fuzz` failed with, or would have to be lucky to find.

use super::*;

fn mp4_box(name: &[u8; 4], fields: &[u32], inside: &[u8]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
    let len = (8 + fields.len() + inside.len()) as u32;
    [&len.to_be_bytes(), &name[..], &fields, inside].concat()
}

/// A fragment of an MPEG-4 file may say that it has millions of packets of no bytes each, and be 60 bytes long (ISO
/// 14496-12 §8.8.8).
#[test]
fn packets_without_bytes_are_no_endless_recording() {
    // By ffmpeg, up to its first fragment.
    let head = include_bytes!("fuzzed/fragments.m4a");
    // What there is of them begins behind the head of the box that follows.
    let run = [mp4_box(b"tfhd", &[0x2_0000, 1], &[]), mp4_box(b"trun", &[1, 4_000_000, 80], &[])].concat();
    let fragment = [mp4_box(b"mfhd", &[0, 1], &[]), mp4_box(b"traf", &[], &run)].concat();
    let file = [head.as_slice(), &mp4_box(b"moof", &[], &fragment), &mp4_box(b"mdat", &[], &[0; 8])].concat();
    let (_folder, path) = file_of("a.m4a", &file);
    let mut source = decode::open(&path, "a.m4a", &crate::Limits::default()).unwrap().source;
    let (mut samples, mut block) = (0, Vec::new());
    while source.next_block(&mut block).is_ok() && !block.is_empty() {
        samples += block.len();
        assert!(samples <= file.len() * 2_048, "more samples than {} bytes may hold", file.len());
    }
    assert!(source.truncated());
}
