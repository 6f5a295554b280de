//! TLS: who is trusted, and who may come in.

use std::sync::Arc;

use bytes::Bytes;
use lifecycle::wire::Signal;
use otlp::{Client, Endpoint, EndpointError, Pem, Protocol, SendError, Sent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::receiver::{Answer, Receiver, frame};

/// A certificate and its key, in PEM form.
type Identity = (Vec<u8>, Vec<u8>);

/// An authority made for one test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    /// A receiver called localhost that speaks both protocols, and lets in everyone or only whom the authority knows.
    async fn receiver(&self, everyone: bool) -> Receiver {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if everyone {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&self.pem()).unwrap()).unwrap();
            builder
                .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap())
        };
        let (certificate, key) = self.identity("localhost");
        let chain = vec![CertificateDer::from_pem_slice(&certificate).unwrap()];
        let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(&key).unwrap()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let answer = |_| Answer::grpc(frame(b""), &[("grpc-status", "0")]);
        Receiver::start_with(Some(TlsAcceptor::from(Arc::new(config))), answer).await
    }
}

fn endpoint(receiver: &Receiver, protocol: Protocol) -> Endpoint {
    Endpoint::parse(&format!("https://localhost:{}", receiver.port()), protocol).unwrap()
}

fn trusting(receiver: &Receiver, protocol: Protocol, authority: &Authority, identity: Option<Identity>) -> Client {
    let pem = Pem { authority: Some(authority.pem()), identity };
    Client::new(endpoint(receiver, protocol).with_tls(&pem).unwrap())
}

#[tokio::test]
async fn a_receiver_whose_authority_is_trusted_is_spoken_to_over_both_protocols() {
    let authority = Authority::new();
    let receiver = authority.receiver(true).await;
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let sent = trusting(&receiver, protocol, &authority, None).send(Signal::Logs, Bytes::from_static(b"request")).await;
        assert_eq!(sent, Ok(Sent::default()), "{protocol:?}");
    }
    assert_eq!(receiver.requests(), 2);
}

#[tokio::test]
async fn a_receiver_of_an_unknown_authority_gets_nothing() {
    let receiver = Authority::new().receiver(true).await;
    let client = Client::new(endpoint(&receiver, Protocol::Grpc));
    let stranger = trusting(&receiver, Protocol::Grpc, &Authority::new(), None);
    for client in [client, stranger] {
        let error = client.send(Signal::Logs, Bytes::from_static(b"request")).await.unwrap_err();
        assert!(matches!(&error, SendError::Unreachable(why) if why.contains("invalid peer certificate")), "{error:?}");
        assert!(error.retryable(), "the certificate may be put right");
    }
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test]
async fn a_receiver_that_wants_a_certificate_is_shown_ours() {
    let authority = Authority::new();
    let receiver = authority.receiver(false).await;
    let known = trusting(&receiver, Protocol::Grpc, &authority, Some(authority.identity("agent")));
    assert_eq!(known.send(Signal::Logs, Bytes::new()).await, Ok(Sent::default()));
    let unknown = trusting(&receiver, Protocol::Grpc, &authority, None);
    assert!(unknown.send(Signal::Logs, Bytes::new()).await.unwrap_err().retryable());
    assert_eq!(receiver.requests(), 1);
}

#[tokio::test]
async fn files_that_are_no_certificates_are_refused_at_once() {
    let authority = Authority::new();
    let (certificate, key) = authority.identity("agent");
    let refused = |authority: Option<Vec<u8>>, identity: Option<Identity>| {
        let endpoint = Endpoint::parse("https://localhost", Protocol::Grpc).unwrap();
        let error = endpoint.with_tls(&Pem { authority, identity }).unwrap_err();
        assert!(matches!(error, EndpointError::Tls(_)));
        error.to_string()
    };
    assert!(refused(Some(b"nothing".to_vec()), None).contains("certificate authorities"));
    assert!(refused(None, Some((b"nothing".to_vec(), key.clone()))).contains("client's certificate"));
    assert!(refused(None, Some((certificate.clone(), b"nothing".to_vec()))).contains("client's key"));
    let other_key = authority.identity("other").1;
    assert!(refused(None, Some((certificate, other_key))).contains("cannot be used"));
}
