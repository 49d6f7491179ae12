//! A client that speaks HTTP/1.1 itself over one connection that it keeps: thousands of requests cost no process and
//! no library.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer that takes longer is a failure.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

pub struct KeepAlive {
    host: String,
    connection: Option<BufReader<TcpStream>>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// With lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl KeepAlive {
    /// `base`: `http://host:port`.
    pub fn new(base: &str) -> KeepAlive {
        let host = base.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        KeepAlive { host, connection: None }
    }

    /// `GET`; a connection that the other side has ended meanwhile is made again, once.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
        let again = self.connection.is_some();
        match self.try_get(path, headers) {
            Ok(answer) => Ok(answer),
            Err(_) if again => self.try_get(path, headers),
            Err(error) => Err(error),
        }
    }

    fn try_get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
        // Taken, so that it is not used again after a failure.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = read(&mut connection)?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, Error> {
        let stream = TcpStream::connect(&self.host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(BufReader::with_capacity(64 * 1024, stream))
    }
}

fn read(connection: &mut BufReader<TcpStream>) -> Result<Answer, Error> {
    let status = line(connection)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| odd("status", &status))?;
    let mut answer = Answer { status, headers: Vec::new(), body: Vec::new() };
    loop {
        let header = line(connection)?;
        let Some((name, value)) = header.split_once(':') else { break };
        answer.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let text = line(connection)?;
            let size = usize::from_str_radix(text.trim(), 16).map_err(|_| odd("chunk", &text))?;
            take(connection, size, &mut answer.body)?;
            line(connection)?;
            if size == 0 {
                return Ok(answer);
            }
        }
    }
    let length = answer.header("content-length").unwrap_or("0");
    let length = length.parse().map_err(|_| odd("length", length))?;
    take(connection, length, &mut answer.body)?;
    Ok(answer)
}

fn take(connection: &mut BufReader<TcpStream>, size: usize, body: &mut Vec<u8>) -> Result<(), Error> {
    if body.len() + size > MAX_BODY_BYTES {
        return Err(odd("size", &size.to_string()));
    }
    let before = body.len();
    body.resize(before + size, 0);
    connection.read_exact(&mut body[before..])
}

fn line(connection: &mut BufReader<TcpStream>) -> Result<String, Error> {
    let mut text = String::new();
    if connection.read_line(&mut text)? == 0 {
        return Err(Error::other("the connection ended"));
    }
    Ok(text.trim_end().to_owned())
}

fn odd(what: &str, text: &str) -> Error {
    Error::other(format!("no HTTP {what}: {text:?}"))
}
