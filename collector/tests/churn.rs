//! Readers that come and go by the thousand leave nothing behind. Alone in its process, because it counts all its open files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use house::{House, eventually, pull};
use lifecycle::wire::Event::Started;

/// Readers that come and go.
const READERS: usize = 2_000;
/// Of them connected at a time.
const AT_ONCE: usize = 50;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn connect(house: &House) -> TcpStream {
    let mut stream = TcpStream::connect(house.http).unwrap();
    stream.set_read_timeout(Some(house::DEADLINE)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream
}

#[test]
fn readers_that_come_and_go_leave_no_file_and_no_place_behind() {
    let house = House::start(&[]);
    house.report(&[(Started, &pull("a", 1, 10))]);
    eventually("it is known", || (house.metric("pulltrace_pulls_active") == 1.0).then_some(()));
    let before = open_files();
    for _ in 0..READERS / AT_ONCE {
        let mut readers: Vec<_> = (0..AT_ONCE).map(|_| connect(&house)).collect();
        for (index, reader) in readers.iter_mut().enumerate() {
            match index % 4 {
                // Goes before it is answered, in the middle of the answer, says that it will say no more and reads on, or goes in order.
                0 => {}
                1 => _ = reader.read(&mut [0; 10]).unwrap(),
                2 => {
                    reader.shutdown(Shutdown::Write).unwrap();
                    // The end, or what was sent before it.
                    while reader.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
                }
                _ => {
                    _ = reader.read(&mut [0; 4096]).unwrap();
                    reader.shutdown(Shutdown::Both).unwrap();
                }
            }
        }
    }
    eventually("nobody reads", || (house.metric("pulltrace_sse_clients_active") == 0.0).then_some(()));
    eventually("their connections are closed", || (open_files() <= before + before / 20).then_some(()));
    let opened = house.metric("pulltrace_sse_opened_total{start=\"new\"}");
    assert!(opened > READERS as f64 / 2.0, "{opened} streams were opened");
}
