//! The kernel's TCP, to be measured beside: this program itself, started again in a host.

use crate::network::Lab;
use crate::shell::find;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Port of the receiving end.
const PORT: u16 = 5001;
/// Bytes written or read at once.
const CHUNK: usize = 64 << 10;

/// What the receiving end says when it listens.
const READY: &str = "ready\n";

/// The first word of the command line of such a process.
const ROLE: &str = "--tcp";

/// A process that sends, and the one that it sends to.
pub(crate) struct Flow {
    receiver: Child,
    said: BufReader<ChildStdout>,
    sender: Child,
}

impl Flow {
    /// From host 0 to another, under an algorithm of the kernel's, for so long.
    pub(crate) fn start(lab: &Lab, to: usize, algorithm: &str, lasts: Duration) -> Self {
        let role = |host: usize, words: &[&str]| {
            Command::new(find("ip").unwrap())
                .args(["netns", "exec", &lab.ns(host)])
                .arg(std::env::current_exe().unwrap())
                .arg(ROLE)
                .args(words)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let addr = format!("{}:{PORT}", lab.v4(to));
        let mut receiver = role(to, &["receive", &addr]);
        let mut said = BufReader::new(receiver.stdout.take().unwrap());
        let mut ready = String::new();
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, READY, "the receiver listens");
        let seconds = lasts.as_secs_f64().to_string();
        let sender = role(0, &["send", &addr, algorithm, &seconds]);
        Self { receiver, said, sender }
    }

    /// Waits for the end; bytes per second that arrived.
    pub(crate) fn rate(mut self) -> f64 {
        let sender = self.sender.wait().unwrap();
        assert!(sender.success(), "the kernel's sender failed: has it this algorithm?");
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        self.receiver.wait().unwrap();
        text.trim().parse().unwrap()
    }
}

/// If this process is one of these: plays its part and gives `true`.
pub(crate) fn play() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [ROLE, "receive", addr] => receive(addr).unwrap(),
        [ROLE, "send", addr, algorithm, seconds] => {
            send(addr, algorithm, Duration::from_secs_f64(seconds.parse().unwrap())).unwrap();
        }
        _ => return false,
    }
    true
}

/// Says that it listens, then prints bytes per second, from the first byte to the last.
fn receive(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    print!("{READY}");
    io::stdout().flush()?;
    let (mut stream, _) = listener.accept()?;
    let (mut buf, mut bytes) = (vec![0; CHUNK], 0_u64);
    let mut begin = None;
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            n => bytes += n as u64,
        }
        begin.get_or_insert_with(Instant::now);
    }
    let took = begin.map_or(Duration::ZERO, |begin| begin.elapsed());
    println!("{}", bytes as f64 / took.as_secs_f64());
    Ok(())
}

fn send(addr: &str, algorithm: &str, lasts: Duration) -> io::Result<()> {
    let socket = socket2::Socket::from(TcpStream::connect(addr)?);
    socket.set_tcp_congestion(algorithm.as_bytes())?;
    let mut stream = TcpStream::from(socket);
    let (begin, chunk) = (Instant::now(), vec![0; CHUNK]);
    while begin.elapsed() < lasts {
        stream.write_all(&chunk)?;
    }
    Ok(())
}
