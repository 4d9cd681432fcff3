//! The local AWS behind TLS, with a certificate of the bench's own.

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use crossfade_tests::{LocalAws, health::certified, paths};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// Takes TLS off what comes in, and hands it on.
#[derive(Debug)]
pub(crate) struct Https {
    /// Such as `https://localhost:8443`.
    pub(crate) endpoint: String,
    /// As many root certificates as a system has, and the bench's own after them.
    pub(crate) authorities: PathBuf,
    client: Arc<ClientConfig>,
    serving: JoinHandle<()>,
}

impl Https {
    /// Begins to serve.
    pub(crate) async fn start(local: &LocalAws) -> Self {
        let (authority, config) = certified();
        let authorities = local.dir().join("authorities.pem");
        let roots = fs::read_to_string(roots()).expect("the roots can be read");
        fs::write(&authorities, roots + "\n" + &authority).expect("a file can be written");
        let mut known = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(authority.as_bytes());
        known
            .add(authority.expect("it is PEM"))
            .expect("it is a certificate");
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(known)
            .with_no_client_auth();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = local.endpoint().trim_start_matches("http://").to_owned();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, address) = (acceptor.clone(), address.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true)?;
                    let mut inside = acceptor.accept(stream).await?;
                    let mut outside = TcpStream::connect(address).await?;
                    outside.set_nodelay(true)?;
                    copy_bidirectional(&mut inside, &mut outside).await
                });
            }
        });
        Self {
            endpoint: format!("https://localhost:{port}"),
            authorities,
            client: Arc::new(client),
            serving,
        }
    }
}

impl Https {
    /// How long a connection and its TLS take by themselves, milliseconds: by a client that has its
    /// roots already, and only the one that it needs.
    pub(crate) async fn handshake_ms(&self) -> f64 {
        let address = self.endpoint.trim_start_matches("https://");
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let name = "localhost".try_into().expect("it is a name");
        let begun = Instant::now();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let stream = connector.connect(name, stream).await;
        let took = begun.elapsed();
        drop(stream.expect("it is trusted"));
        took.as_secs_f64() * 1e3
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Mozilla's root certificates, as the Python environment has them: about as many as Amazon Linux has.
fn roots() -> PathBuf {
    let python = paths::tool("python");
    let venv = python.parent().and_then(|bin| bin.parent());
    let lib = venv.expect("it is in bin").join("lib");
    let found = fs::read_dir(lib).expect("a Python environment has packages");
    found
        .flatten()
        .map(|python| python.path().join("site-packages/certifi/cacert.pem"))
        .find(|roots| roots.exists())
        .expect("certifi is there")
}
