//! Calls recorded as packets.

use super::*;
use crate::{Codec, Container, measure};

/// What a telephone sends in 20 ms, in a capture of raw IP.
struct Packet {
    at_ms: u64,
    /// The telephone's port; the recorder's is 10,000 above.
    port: u16,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

/// A tone of A-law that is as loud as the telephone's port says.
fn speech(port: u16, at_ms: u64, sequence: u16, timestamp: u32) -> Packet {
    let level = if port == 1 { 0x80 } else { 0x95 };
    let payload = (0..160).map(|i| if i % 20 < 10 { level } else { level ^ 0x80 }).collect();
    Packet { at_ms, port, payload_type: 8, sequence, timestamp, ssrc: u32::from(port), payload }
}

fn capture(packets: &[Packet]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0];
    for packet in packets {
        let mut rtp = vec![0x80, packet.payload_type];
        rtp.extend(packet.sequence.to_be_bytes());
        rtp.extend(packet.timestamp.to_be_bytes());
        rtp.extend(packet.ssrc.to_be_bytes());
        rtp.extend(&packet.payload);
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        ip.extend(packet.port.to_be_bytes());
        ip.extend((packet.port + 10_000).to_be_bytes());
        ip.extend((rtp.len() as u16 + 8).to_be_bytes());
        ip.extend([0, 0]);
        ip.extend(rtp);
        file.extend((1_795_247_657 + packet.at_ms / 1_000).to_le_bytes()[..4].iter());
        file.extend(((packet.at_ms % 1_000 * 1_000) as u32).to_le_bytes());
        file.extend((ip.len() as u32).to_le_bytes());
        file.extend((ip.len() as u32).to_le_bytes());
        file.extend(ip);
    }
    file
}

/// The same capture as pcapng: a section, an interface with times of nanoseconds, a block a packet.
pub(super) fn next_generation(capture: &[u8]) -> Vec<u8> {
    fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
        let len = 12 + body.len().next_multiple_of(4) as u32;
        file.extend(kind.to_le_bytes());
        file.extend(len.to_le_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(len.to_le_bytes());
    }
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let mut file = Vec::new();
    block(&mut file, 0x0a0d_0d0a, b"\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    block(&mut file, 1, b"\x65\0\0\0\0\0\x04\0\x09\0\x01\0\x09\0\0\0\0\0\0\0");
    // Statistics of the interface: of no interest.
    block(&mut file, 5, &[0; 12]);
    let mut at = 24;
    while at < capture.len() {
        let len = word(at + 8) as usize;
        let nanos = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4)) * 1_000;
        let mut body = vec![0; 4];
        body.extend(((nanos >> 32) as u32).to_le_bytes());
        body.extend((nanos as u32).to_le_bytes());
        body.extend([(len as u32).to_le_bytes(); 2].concat());
        body.extend(&capture[at + 16..at + 16 + len]);
        block(&mut file, 6, &body);
        at += 16 + len;
    }
    file
}

/// The legs of a capture, and whether it was whole.
fn legs(packets: &[Packet]) -> (Vec<i16>, Vec<i16>, bool) {
    let (_folder, path) = file_of("call.pcap", &capture(packets));
    let (probe, all) = samples(&path, "call.pcap").unwrap();
    assert_eq!((probe.container, probe.channels), (Container::Pcap, 2));
    let truncated = measure(&path, "call.pcap").unwrap().truncated;
    let leg = |channel: usize| all.iter().skip(channel).step_by(2).copied().collect();
    (leg(0), leg(1), truncated)
}

/// The milliseconds of a leg in which something is heard.
fn heard(leg: &[i16], rate: usize) -> Vec<(usize, usize)> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for (ms, window) in leg.chunks(rate / 1_000).enumerate() {
        if window.iter().any(|sample| sample.unsigned_abs() > 500) {
            match stretches.last_mut().filter(|stretch| stretch.1 == ms) {
                Some(stretch) => stretch.1 += 1,
                None => stretches.push((ms, ms + 1)),
            }
        }
    }
    stretches
}

/// `count` packets of a telephone, from a time on.
fn talk(port: u16, from_ms: u64, count: u16) -> Vec<Packet> {
    let packet = |i: u16| {
        // Both counters wrap around on the way.
        let timestamp = (u32::MAX - 400).wrapping_add(u32::from(i) * 160);
        speech(port, from_ms + u64::from(i) * 20, 65_500_u16.wrapping_add(i), timestamp)
    };
    (0..count).map(packet).collect()
}

fn in_time(mut packets: Vec<Packet>) -> Vec<Packet> {
    packets.sort_by_key(|packet| packet.at_ms);
    packets
}

#[test]
fn a_capture_of_rtpengine_is_both_legs_in_stereo() {
    let fixture = fixture(".pcap");
    let measured = measure(&fixture.path(), &fixture.file).unwrap();
    assert_eq!((measured.samples_per_channel, measured.sample_rate, measured.channels), (80_000, 8_000, 2));
    assert_eq!(measured.source_format, "pcap/pcm_alaw");
    assert!(!measured.truncated && !measured.quality.one_way);
    // As loud as the legs of a call of the same voices that rtpengine recorded as two files.
    for (channel, end) in
        measured.quality.channels.iter().zip(["0b32494fb3fc4d1e-2f8a1f96.wav", "0b32494fb3fc4d1e-551b1318.wav"])
    {
        let leg = super::fixture(end);
        let leg = measure(&leg.path(), &leg.file).unwrap().quality.channels[0].clone();
        assert!((channel.rms_dbfs - leg.rms_dbfs).abs() < 3.0, "{} {}", channel.rms_dbfs, leg.rms_dbfs);
    }
    // No packet is missing: a leg is the payloads of its port, one behind the other.
    let bytes = std::fs::read(fixture.path()).unwrap();
    let (_, all) = samples(&fixture.path(), &fixture.file).unwrap();
    for channel in 0..2 {
        let payloads = bytes[24..].chunks_exact(216).skip(channel).step_by(2).flat_map(|packet| &packet[56..]);
        let expected: Vec<i16> = payloads.map(|&byte| crate::g711::from_alaw(byte)).collect();
        let leg: Vec<i16> = all.iter().skip(channel).step_by(2).copied().collect();
        assert!(leg == expected, "leg {channel}");
    }
}

#[test]
fn a_capture_of_the_next_generation_is_decoded_as_the_classic_one() {
    let fixture = fixture(".pcap");
    let (_, classic) = samples(&fixture.path(), &fixture.file).unwrap();
    let file = next_generation(&std::fs::read(fixture.path()).unwrap());
    let (_folder, path) = file_of("call.pcapng", &file);
    let (probe, all) = samples(&path, "call.pcapng").unwrap();
    assert_eq!((probe.container, probe.codec, probe.truncated), (Container::Pcap, Codec::PcmALaw, false));
    assert!(all == classic);
    let (_folder, path) = file_of("call.pcapng", &file[..file.len() / 2]);
    let half = measure(&path, "call.pcapng").unwrap();
    assert!(half.truncated && (4_900..5_100).contains(&half.duration_ms), "{}", half.duration_ms);
}

#[test]
fn what_was_not_sent_is_silence_of_the_same_length() {
    let mut packets = talk(1, 0, 200);
    // The other one answers after a second, and pauses between the third and the fourth.
    let mut other = talk(2, 1_000, 150);
    other.retain(|packet| !(2_000..3_000).contains(&packet.at_ms));
    packets.append(&mut other);
    let (left, right, truncated) = legs(&in_time(packets));
    assert_eq!((left.len(), right.len(), truncated), (32_000, 32_000, false));
    assert_eq!(heard(&left, 8_000), [(0, 4_000)]);
    assert_eq!(heard(&right, 8_000), [(1_000, 2_000), (3_000, 4_000)]);
}

#[test]
fn packets_out_of_order_or_twice_are_put_where_they_belong() {
    let mut packets = in_time(talk(1, 0, 100).into_iter().chain(talk(2, 0, 100)).collect());
    let (left, right, _) = legs(&packets);
    for at in (10..180).step_by(10) {
        let (a, b) = (packets[at].at_ms, packets[at + 3].at_ms);
        packets.swap(at, at + 3);
        (packets[at].at_ms, packets[at + 3].at_ms) = (a, b);
    }
    let again = speech(packets[50].port, packets[50].at_ms, packets[50].sequence, packets[50].timestamp);
    packets.insert(51, again);
    assert!(legs(&packets) == (left, right, false));
}

#[test]
fn a_leg_that_begins_anew_goes_on_where_it_arrives() {
    let mut packets = talk(1, 0, 200);
    packets.extend(talk(2, 0, 50));
    // After a transfer: another port, source and clock.
    let transferred =
        talk(3, 2_000, 100).into_iter().map(|packet| Packet { timestamp: packet.timestamp ^ 0x5555_0000, ..packet });
    packets.extend(transferred);
    let (left, right, truncated) = legs(&in_time(packets));
    assert!(!truncated);
    assert_eq!(heard(&left, 8_000), [(0, 4_000)]);
    assert_eq!(heard(&right, 8_000), [(0, 1_000), (2_000, 4_000)]);
}

#[test]
fn a_wideband_side_makes_both_wideband() {
    let wide = talk(2, 0, 100).into_iter().map(|packet| Packet { payload_type: 9, ..packet });
    let mut packets = talk(1, 0, 100);
    packets.extend(wide);
    let (_folder, path) = file_of("call.pcap", &capture(&in_time(packets)));
    let measured = measure(&path, "call.pcap").unwrap();
    assert_eq!((measured.sample_rate, measured.samples_per_channel), (16_000, 32_000));
    assert!(!measured.quality.channels[0].silent);
}

#[test]
fn key_presses_are_no_speech_and_speech_that_is_not_decoded_is_told() {
    let with = |payload_type: u8, bytes: usize| {
        let mut packets = talk(1, 0, 100);
        packets[50].payload_type = payload_type;
        packets[50].payload.truncate(bytes);
        legs(&packets).2
    };
    assert!(!with(101, 4), "a key press");
    assert!(with(96, 80), "Opus, say");
    let opus: Vec<_> = talk(1, 0, 10).into_iter().map(|packet| Packet { payload_type: 96, ..packet }).collect();
    let (_folder, path) = file_of("call.pcap", &capture(&opus));
    assert_eq!(
        measure(&path, "a").unwrap_err().to_string(),
        "cannot decode RTP of payload type 96 in a packet capture"
    );
    let (_folder, path) = file_of("call.pcap", &capture(&[]));
    assert!(matches!(measure(&path, "a"), Err(Error::Empty)));
}

#[test]
fn a_capture_in_progress_decodes_as_far_as_it_goes() {
    let bytes = capture(&talk(1, 0, 100));
    let (_folder, path) = file_of("call.pcap", &bytes[..bytes.len() - 10]);
    let measured = measure(&path, "call.pcap").unwrap();
    assert_eq!((measured.samples_per_channel, measured.truncated), (99 * 160, true));
}

/// A clock that jumps by a year must cost neither memory nor a year of silence.
#[test]
fn a_forged_time_is_not_filled_with_silence() {
    let mut packets = talk(1, 0, 100);
    packets[50].at_ms += 365 * 86_400_000;
    // More audio than time.
    packets.extend((0..500).map(|i| Packet { ssrc: i, payload: vec![0x80; 60_000], ..speech(2, 100, 0, 0) }));
    let (left, _, truncated) = legs(&packets);
    assert!(truncated && left.len() < 20 * 8_000, "{}", left.len());
}
