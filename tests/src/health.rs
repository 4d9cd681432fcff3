//! An HTTPS server on loopback whose answers are a test's to choose, with a certificate of an authority
//! of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// What the server does with requests for a path.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What is answered next, one each.
    next: VecDeque<u16>,
    /// What is answered after those.
    then: u16,
    /// Where a redirect leads.
    location: Option<String>,
    /// The heads of the requests that came.
    heads: Vec<String>,
}

type Paths = Arc<Mutex<BTreeMap<String, Known>>>;

/// The server.
#[derive(Debug)]
pub struct HealthServer {
    /// Such as `127.0.0.1:8443`.
    pub address: String,
    /// Its authority's certificate, as PEM.
    pub authority: PathBuf,
    paths: Paths,
    serving: JoinHandle<()>,
}

impl HealthServer {
    /// Begins to serve, and puts its authority's certificate into a folder.
    pub async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (authority, config) = certified();
        let file = folder.join("health-authority.pem");
        fs::write(&file, authority).expect("a file can be written");
        let paths = Paths::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let known = Arc::clone(&paths);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, known) = (acceptor.clone(), Arc::clone(&known));
                // A client that does not like what it sees is its own affair.
                tokio::spawn(async move { drop(serve(acceptor, stream, known).await) });
            }
        });
        Self {
            address: address.to_string(),
            authority: file,
            paths,
            serving,
        }
    }

    /// The URL of a path, by the server's address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Answers requests for a path so from now on.
    pub fn answer(&self, path: &str, status: u16) {
        self.change(path, |known| {
            known.next.clear();
            known.then = status;
        });
    }

    /// Answers the next requests for a path so, one each, and then as before.
    pub fn answer_next(&self, path: &str, statuses: &[u16]) {
        self.change(path, |known| known.next.extend(statuses));
    }

    /// Sends those who ask for a path elsewhere.
    pub fn redirect(&self, path: &str, location: &str) {
        self.answer(path, 302);
        self.change(path, |known| known.location = Some(location.to_owned()));
    }

    /// The heads of the requests for a path so far.
    #[must_use]
    pub fn requests(&self, path: &str) -> Vec<String> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths
            .get(path)
            .map(|known| known.heads.clone())
            .unwrap_or_default()
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Known)) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        change(paths.entry(path.to_owned()).or_default());
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An authority's certificate, and what a server for loopback needs that it vouches for.
///
/// # Panics
/// When a key cannot be made.
#[must_use]
pub fn certified() -> (String, ServerConfig) {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new(Vec::new()).expect("no names are no wrong ones");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Called other than what it signs, which some clients would take for signed by itself.
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "an authority of the tests");
    let authority = params.self_signed(&key).expect("it signs itself");
    let issuer = Issuer::new(params, key);
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(names).expect("these are names");
    let own = params
        .signed_by(&key, &issuer)
        .expect("the authority signs");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)
        .expect("the key is the certificate's");
    (authority.pem(), config)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, paths: Paths) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, location) = {
        let mut paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
        let known = paths.entry(path).or_default();
        known.heads.push(head);
        let status = known.next.pop_front().unwrap_or(known.then);
        (status, known.location.clone())
    };
    let mut answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n");
    if let Some(location) = location {
        answer.extend(["location: ", location.as_str(), "\r\n"]);
    }
    answer.push_str("\r\nok");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
