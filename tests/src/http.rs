//! The smallest HTTP client that does: one request a connection, to loopback.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body))
        })
    }
}

/// Sends `body` to `http://address/path`. A header `host` is sent instead of the address.
pub(crate) async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.extend(["host: ", address, "\r\n"]);
    }
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    // Some servers, a browser's driver among them, keep the connection whatever they are asked.
    while !is_whole(&answer) && stream.read_buf(&mut answer).await? > 0 {}
    parse(&answer).ok_or_else(|| {
        std::io::Error::other(format!(
            "{method} {path}: no HTTP answer: {:?}",
            String::from_utf8_lossy(&answer)
        ))
    })
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
    Some(Answer {
        status,
        headers: headers.collect(),
        body: answer[end + 4..].to_vec(),
    })
}
