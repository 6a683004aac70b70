//! An S3 bucket: how it is reached, and the requests that object_store has no call for, signed by its own credentials.

use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::signer::{HeaderMap, Method, SignedUrlOptions, Signer};
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::StoreConfig;
use super::secret::Credentials;
use super::settings::{Encryption, Settings};
use crate::error::{Error, Result};

/// How long a signature of ours is good.
const SIGNED_FOR: std::time::Duration = std::time::Duration::from_secs(300);

/// A bucket, and the part of it that is the store's.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    s3: AmazonS3,
    http: HttpClient,
    prefix: Key,
}

/// What a bucket answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Bucket {
    /// Opens the bucket, without asking the server anything yet.
    pub(super) fn open(config: &StoreConfig, settings: &Settings) -> Result<Self> {
        let complain = |what: String| Error::Invalid(format!("store \"{}\": {what}", config.name));
        let address = config.url.trim_start_matches("s3://");
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        let client = client_options(settings).map_err(complain)?;
        let http = ReqwestConnector::default().connect(&client).map_err(|error| complain(error.to_string()))?;
        // The environment's session token must not meet a key that it does not belong to.
        let mut builder = match &settings.access_key_id {
            Some(_) => AmazonS3Builder::new(),
            None => AmazonS3Builder::from_env(),
        };
        if let (Some(access_key_id), Some(secret_access_key)) = (&settings.access_key_id, &settings.secret_access_key) {
            let credentials = Credentials {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
                session_token: settings.session_token.clone(),
            };
            // What is not there now would fail at the first request only.
            credentials.read().map_err(|error| complain(error.to_string()))?;
            builder = builder.with_credentials(Arc::new(credentials));
        }
        builder = builder
            .with_bucket_name(bucket)
            .with_allow_http(settings.allow_http)
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_client_options(client)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: settings.max_retries,
                retry_timeout: settings.retry_timeout,
            });
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint_for(endpoint, bucket, settings.path_style));
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some(checksum) = settings.checksum_algorithm.checksum() {
            builder = builder.with_checksum_algorithm(checksum);
        }
        builder = encrypted(builder, settings)?;
        let s3 = builder.build().map_err(|error| complain(error.to_string()))?;
        let prefix = Key::parse(prefix.trim_matches('/')).map_err(|error| complain(error.to_string()))?;
        Ok(Self { s3, http, prefix })
    }

    /// The part of the bucket that is the store's.
    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        match self.prefix.as_ref() {
            "" => Arc::new(self.s3.clone()),
            _ => Arc::new(PrefixStore::new(self.s3.clone(), self.prefix.clone())),
        }
    }

    /// The key in the bucket that a key of the store has.
    pub(super) fn full(&self, key: &Key) -> Key {
        self.prefix.parts().chain(key.parts()).collect()
    }

    /// The key in the store that a key of the bucket has; `None` when it is none of the store's.
    pub(super) fn within(&self, full: &str) -> Option<String> {
        let rest = full.strip_prefix(self.prefix.as_ref())?;
        match self.prefix.as_ref() {
            "" => Some(rest.to_owned()),
            _ => rest.strip_prefix('/').map(str::to_owned),
        }
    }

    /// One signed request; `key` is within the bucket, empty for the bucket itself.
    pub(super) async fn ask(&self, method: Method, key: &Key, query: &[(&str, &str)]) -> Result<Answer> {
        self.send(method, key, query, HeaderMap::new(), Bytes::new()).await
    }

    /// As [`Bucket::ask`], with headers that are signed and a body.
    pub(super) async fn send(
        &self,
        method: Method,
        key: &Key,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer> {
        let mut options = SignedUrlOptions::new().with_query(query.iter().copied());
        options.signed_headers = headers.clone();
        let url = self.s3.signed_url_opts(method.clone(), key, SIGNED_FOR, &options).await?;
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        if request.body().is_empty() && request.method() != Method::GET {
            // Some servers want to be told that there is nothing.
            request.headers_mut().insert("content-length", 0.into());
        }
        *request.uri_mut() = url.as_str().parse().map_err(|error| unexpected(&error))?;
        let response = self.http.execute(request).await.map_err(|error| unexpected(&error))?;
        let status = response.status().as_u16();
        let body = response.into_body().bytes().await.map_err(|error| unexpected(&error))?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Ends an upload that nobody will finish.
    pub(super) async fn abort(&self, key: &Key, upload: &str) -> Result<()> {
        match self.s3.abort_multipart(key, &upload.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn client_options(settings: &Settings) -> Result<ClientOptions, String> {
    // No time for a whole request: what gets on may take as long as it needs, what stands still may not.
    let mut options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(settings.connect_timeout)
        .with_read_timeout(settings.stall_timeout)
        .with_allow_http(settings.allow_http);
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|error| format!("ca_file: cannot read {path}: {error}"))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| format!("ca_file {path}: {error}"))?;
        if certificates.is_empty() {
            return Err(format!("ca_file: {path} holds no certificate in PEM form"));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

fn encrypted(builder: AmazonS3Builder, settings: &Settings) -> Result<AmazonS3Builder> {
    let key_id = settings.sse_kms_key_id.clone().unwrap_or_default();
    let builder = match settings.server_side_encryption {
        None => return Ok(builder),
        Some(Encryption::S3) => builder.with_config("server_side_encryption".parse()?, "AES256"),
        Some(Encryption::Kms) => builder.with_sse_kms_encryption(key_id),
        Some(Encryption::KmsTwice) => builder.with_dsse_kms_encryption(key_id),
        Some(Encryption::OwnKey) => {
            let key = settings.sse_customer_key_base64.as_ref().map(super::secret::Secret::read).transpose()?;
            builder.with_ssec_encryption(key.unwrap_or_default())
        }
    };
    Ok(match settings.sse_bucket_key_enabled {
        true => builder.with_bucket_key(true),
        false => builder,
    })
}

/// With the bucket in the host's name, where the server wants it there.
fn endpoint_for(endpoint: &str, bucket: &str, path_style: bool) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !path_style && !host.starts_with(&format!("{bucket}.")) => {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => endpoint.to_owned(),
    }
}

fn unexpected(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Error::Store(object_store::Error::Generic { store: "S3", source: text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_hosts_name() {
        assert_eq!(endpoint_for("https://s3.example.net", "rec", true), "https://s3.example.net");
        assert_eq!(endpoint_for("https://s3.example.net", "rec", false), "https://rec.s3.example.net");
        assert_eq!(endpoint_for("https://rec.s3.example.net", "rec", false), "https://rec.s3.example.net");
    }

    #[test]
    fn a_certificate_authority_that_cannot_be_read_is_named() {
        for (path, complaint) in [("/no/such.pem", "cannot read /no/such.pem"), ("/dev/null", "no certificate")] {
            let options = vec![("ca_file".to_owned(), path.to_owned()), ("region".to_owned(), "x".to_owned())];
            let config = StoreConfig { name: "bucket".to_owned(), url: "s3://x".to_owned(), options };
            let error = Bucket::open(&config, &Settings::read(&config).unwrap()).unwrap_err().to_string();
            assert!(error.contains(complaint) && error.contains("store \"bucket\""), "{error}");
        }
    }
}
