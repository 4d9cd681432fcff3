//! The smallest HTTP client that does, to loopback.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body))
        })
    }
}

/// Sends `body` to `http://address/path`. A header `host` is sent instead of the address.
pub async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let headers: Vec<_> = headers
        .iter()
        .copied()
        .chain([("connection", "close")])
        .collect();
    Connection::open(address)
        .await?
        .send(method, path, &headers, body)
        .await
}

/// A connection that takes one request after the other.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: TcpStream,
}

impl Connection {
    /// Connects to an address, such as `127.0.0.1:4566`.
    pub async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address: address.to_owned(),
            stream,
        })
    }

    /// Sends a request, in one write, and waits for its answer. A header `host` is sent instead of the
    /// address.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.extend(["host: ", &self.address, "\r\n"]);
        }
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.stream
            .write_all(&[head.as_bytes(), body].concat())
            .await?;
        let mut answer = Vec::new();
        // Some servers, a browser's driver among them, keep the connection whatever they are asked.
        while !is_whole(&answer) && self.stream.read_buf(&mut answer).await? > 0 {}
        parse(&answer).ok_or_else(|| {
            std::io::Error::other(format!(
                "{method} {path}: no HTTP answer: {:?}",
                String::from_utf8_lossy(&answer)
            ))
        })
    }
}

/// A body that came in chunks, put together; none when it is not whole.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(chunks.get(end + 2..end + 2 + size)?);
        chunks = chunks.get(end + 2 + size + 2..)?;
    }
}

/// Whether all has come that the answer's head promises.
fn is_whole(answer: &[u8]) -> bool {
    parse(answer).is_some_and(|seen| {
        let length = seen
            .headers
            .iter()
            .find(|(name, _)| name == "content-length");
        length.is_some_and(|(_, value)| value.parse::<usize>() == Ok(seen.body.len()))
    })
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let headers = head.split("\r\n").skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let headers: Vec<_> = headers.collect();
    let body = &answer[end + 4..];
    let chunked = |(name, value): &(String, String)| {
        name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked")
    };
    Some(Answer {
        status,
        body: if headers.iter().any(chunked) {
            joined(body)?
        } else {
            body.to_vec()
        },
        headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_chunked_bodies() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let whole = format!("{head}5\r\n{{\"a\":\r\nA;x=y\r\n\"1234567\"}}\r\n0\r\n\r\n");
        let answer = parse(whole.as_bytes()).expect("it is whole");
        assert_eq!(answer.json(), serde_json::json!({"a": "1234567"}));
        for part in [&whole[..head.len()], &whole[..whole.len() - 8]] {
            assert!(parse(part.as_bytes()).is_none(), "{part:?}");
        }
    }
}
