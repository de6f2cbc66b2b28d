//! One small FTP client for every server: blocking sockets, large buffers, nothing between it and the kernel.
//!
//! It must never be the slower end. Downloads can therefore be discarded inside the kernel (`MSG_TRUNC`), and
//! every command is one write on a socket with `TCP_NODELAY`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvFlags, recv};

/// Set by SIGINT and SIGTERM: whatever runs gives up at its next step, so that all is cleaned up on the way out.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// No server may hold the benchmark up for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes asked for at a time from a data connection. Larger ones fall out of the CPU's cache and are slower.
const PIECE: usize = 256 * 1024;

/// Fails once the user wants to stop.
pub fn go_on() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// One logged-in control connection.
pub struct Session {
    control: BufReader<TcpStream>,
    line: String,
    buffer: Vec<u8>,
}

impl Session {
    /// Connects and logs in as `anonymous`, in binary mode.
    pub fn login(server: SocketAddr) -> Result<Self> {
        let control = connect(server)?;
        let mut session = Self { control: BufReader::new(control), line: String::new(), buffer: Vec::new() };
        session.expect(220).context("greeting")?;
        session.send("USER anonymous")?;
        match session.reply()? {
            230 => {}
            331 => session.ask("PASS bench@example.org", 230)?,
            _ => bail!("USER was answered {:?}", session.line.trim_end()),
        }
        session.ask("TYPE I", 200)?;
        Ok(session)
    }

    /// Says goodbye and waits for the answer.
    pub fn quit(mut self) -> Result<()> {
        self.ask("QUIT", 221)
    }

    /// Sends one command and reads its one reply, which must have this code.
    pub fn ask(&mut self, command: &str, code: u16) -> Result<()> {
        self.send(command)?;
        self.expect(code).with_context(|| command.to_owned())
    }

    /// `RETR`: returns how many bytes came, having thrown them away.
    pub fn discard(&mut self, path: &str) -> Result<u64> {
        self.receive(&format!("RETR {path}"), |data, buffer| {
            let mut total = 0;
            loop {
                go_on()?;
                // For TCP, MSG_TRUNC means: take the bytes off the queue and copy none of them.
                let (_, taken) = recv(&*data, &mut buffer[..], RecvFlags::TRUNC)?;
                if taken == 0 {
                    return Ok(total);
                }
                total += taken as u64;
            }
        })
    }

    /// `RETR` or a listing: every piece that comes goes to `sink`. Returns how many bytes came.
    pub fn read(&mut self, command: &str, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        self.receive(command, |data, buffer| {
            let mut total = 0;
            loop {
                go_on()?;
                let taken = data.read(buffer)?;
                if taken == 0 {
                    return Ok(total);
                }
                sink(&buffer[..taken])?;
                total += taken as u64;
            }
        })
    }

    /// `STOR`: sends `block` over and over until `size` bytes are on their way.
    pub fn store(&mut self, path: &str, block: &[u8], size: u64) -> Result<()> {
        let mut data = self.open_data()?;
        self.transfer(&format!("STOR {path}"))?;
        let mut left = size;
        while left > 0 {
            go_on()?;
            let piece = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            data.write_all(&block[..piece]).with_context(|| format!("STOR {path}"))?;
            left -= piece as u64;
        }
        // The end of the file is the end of the stream; the server must have seen it before it answers.
        data.shutdown(Shutdown::Write)?;
        self.expect(226)
    }

    /// One transfer towards us: PASV, connect, command, 150, the data to its end, 226.
    fn receive(&mut self, command: &str, drain: impl FnOnce(&mut TcpStream, &mut [u8]) -> Result<u64>) -> Result<u64> {
        let mut data = self.open_data()?;
        self.transfer(command)?;
        self.buffer.resize(PIECE, 0);
        let total = drain(&mut data, &mut self.buffer).with_context(|| command.to_owned())?;
        drop(data);
        self.expect(226)?;
        Ok(total)
    }

    /// Sends a transfer's command and reads the reply that begins it.
    fn transfer(&mut self, command: &str) -> Result<()> {
        self.send(command)?;
        match self.reply()? {
            125 | 150 => Ok(()),
            _ => bail!("{command} was answered {:?}", self.line.trim_end()),
        }
    }

    /// PASV and the connection that it invites to.
    fn open_data(&mut self) -> Result<TcpStream> {
        self.ask("PASV", 227)?;
        connect(parse_pasv(&self.line).with_context(|| format!("no address in {:?}", self.line))?)
    }

    fn send(&mut self, command: &str) -> Result<()> {
        let control = self.control.get_mut();
        control.write_all(format!("{command}\r\n").as_bytes()).with_context(|| command.to_owned())
    }

    fn expect(&mut self, code: u16) -> Result<()> {
        let got = self.reply()?;
        ensure!(got == code, "expected {code}, the server said {:?}", self.line.trim_end());
        Ok(())
    }

    /// Reads one reply, of one line or many. Its last line stays in `self.line`.
    fn reply(&mut self) -> Result<u16> {
        loop {
            self.line.clear();
            ensure!(self.control.read_line(&mut self.line)? > 0, "the server closed the control connection");
            let bytes = self.line.as_bytes();
            if bytes.len() > 3 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b' ' {
                return Ok(self.line[..3].parse()?);
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The address in `227 Entering Passive Mode (127,0,0,1,200,13).`
fn parse_pasv(line: &str) -> Option<SocketAddr> {
    let numbers = line.get(4..)?.trim_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.rsplit(|c: char| !c.is_ascii_digit()).map(str::parse::<u8>);
    let mut next = || numbers.next()?.ok();
    let (low, high) = (next()?, next()?);
    let (d, c, b, a) = (next()?, next()?, next()?, next()?);
    Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))))
}
