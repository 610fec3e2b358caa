//! Certificates of many kinds, made by OpenSSL, and clients that show them whatever the server asks for.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, Signer, SigningKey},
};

use super::{needs::Missing, openssl::OpenSsl, process::becomes_true};

/// How a kind of certificates is made.
struct Recipe {
    name: &'static str,
    /// What `openssl genpkey` makes the key of, and its options.
    key: (&'static str, &'static [&'static str]),
    /// Whether the key is written anew, by these options of `openssl ec`.
    rewritten: &'static [&'static str],
    subject: &'static str,
    /// The extensions; none at all makes a certificate of version 1.
    extensions: &'static str,
    days: &'static str,
    /// Whether it is signed by its own key instead of the authority's.
    own: bool,
}

const EC: &[&str] = &["ec_paramgen_curve:P-256", "ec_param_enc:named_curve"];
const NAMES: &str = "subjectAltName=DNS:cert.example,DNS:both.example,DNS:either.example\n\
                     extendedKeyUsage=clientAuth\n";

impl Recipe {
    const fn of_key(
        name: &'static str,
        algorithm: &'static str,
        options: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            key: (algorithm, options),
            rewritten: &[],
            subject: "/O=Example/CN=cert",
            extensions: NAMES,
            days: "30",
            own: false,
        }
    }

    const fn ordinary(name: &'static str) -> Self {
        Self::of_key(name, "EC", EC)
    }
}

/// Those that a handshake goes by, and those that it does not.
const RECIPES: &[Recipe] = &[
    Recipe::ordinary("p256"),
    Recipe::of_key("p384", "EC", &["ec_paramgen_curve:P-384", "ec_param_enc:named_curve"]),
    Recipe::of_key("ed25519", "ED25519", &[]),
    Recipe::of_key("rsa2048", "RSA", &["rsa_keygen_bits:2048"]),
    Recipe::of_key("rsa3072", "RSA", &["rsa_keygen_bits:3072"]),
    Recipe::of_key("rsa-exponent-3", "RSA", &["rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"]),
    Recipe { days: "0", ..Recipe::ordinary("expired") },
    Recipe { own: true, ..Recipe::ordinary("foreign") },
    Recipe {
        extensions: "subjectAltName=DNS:cert.example\nextendedKeyUsage=serverAuth\n",
        ..Recipe::ordinary("server")
    },
    Recipe {
        extensions: "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:cert.example\n",
        own: true,
        ..Recipe::ordinary("authority")
    },
    Recipe {
        extensions: "subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:lyon@corp.example\n",
        ..Recipe::ordinary("upn")
    },
    Recipe { extensions: "extendedKeyUsage=clientAuth\n", ..Recipe::ordinary("nameless") },
    Recipe {
        subject: "/CN=Ly\u{f3}n",
        extensions: "extendedKeyUsage=clientAuth\n",
        ..Recipe::ordinary("t61")
    },
    Recipe::of_key("rsa1024", "RSA", &["rsa_keygen_bits:1024"]),
    Recipe::of_key("rsa2041", "RSA", &["rsa_keygen_bits:2041"]),
    Recipe::of_key("rsa2040", "RSA", &["rsa_keygen_bits:2040"]),
    Recipe::of_key(
        "rsa-exponent",
        "RSA",
        &["rsa_keygen_bits:2048", "rsa_keygen_pubexp:8589934593"],
    ),
    Recipe::of_key("p521", "EC", &["ec_paramgen_curve:P-521", "ec_param_enc:named_curve"]),
    Recipe::of_key("secp256k1", "EC", &["ec_paramgen_curve:secp256k1", "ec_param_enc:named_curve"]),
    Recipe::of_key("brainpool", "EC", &["ec_paramgen_curve:brainpoolP256r1"]),
    Recipe::of_key("explicit", "EC", &["ec_paramgen_curve:P-256", "ec_param_enc:explicit"]),
    Recipe { rewritten: &["-conv_form", "compressed"], ..Recipe::ordinary("compressed") },
    Recipe::of_key("ed448", "ED448", &[]),
    Recipe::of_key("rsa-pss", "RSA-PSS", &["rsa_keygen_bits:2048"]),
    Recipe { extensions: "", ..Recipe::ordinary("version1") },
    Recipe {
        extensions: "1.2.3.4=critical,DER:0500\nsubjectAltName=DNS:cert.example\n",
        ..Recipe::ordinary("critical")
    },
];

/// A certificate with its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) certificate: PathBuf,
    key: PathBuf,
    openssl: OpenSsl,
}

/// Makes certificates of all kinds, and `ca.pem`, the authority of most, in this directory. A kind that this OpenSSL
/// cannot make is in the second list.
pub(crate) fn make(directory: &Path) -> Result<(Vec<Kind>, Vec<Missing>), Missing> {
    let openssl = OpenSsl::find()?;
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    openssl_in(
        &openssl,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", EC[0], "-out", &at("ca.key")],
    )
    .unwrap();
    let ca =
        ["req", "-x509", "-new", "-key", &at("ca.key"), "-subj", "/CN=Peers' CA", "-days", "30"];
    openssl_in(&openssl, &[&ca[..], &["-out", &at("ca.pem")]].concat()).unwrap();
    let (mut kinds, mut missing) = (Vec::new(), Vec::new());
    for recipe in RECIPES {
        match one(&openssl, directory, recipe) {
            Ok(kind) => kinds.push(kind),
            Err(said) => missing.push(Missing::new(
                format!("this openssl makes no certificate `{}`: {said}", recipe.name),
                "apt-get install openssl",
            )),
        }
    }
    kinds.push(damaged(&openssl, directory));
    Ok((kinds, missing))
}

fn openssl_in(openssl: &OpenSsl, words: &[&str]) -> Result<(), String> {
    let output = openssl.run(words, b"");
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or_else(said)
}

fn one(openssl: &OpenSsl, directory: &Path, recipe: &Recipe) -> Result<Kind, String> {
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let file = |kind: &str| at(&format!("{}.{kind}", recipe.name));
    let (key, request, pem, extensions) = (file("key"), file("csr"), file("pem"), file("ext"));
    let mut words = vec!["genpkey", "-algorithm", recipe.key.0, "-out", &key];
    recipe.key.1.iter().for_each(|option| words.extend(["-pkeyopt", option]));
    openssl_in(openssl, &words)?;
    if !recipe.rewritten.is_empty() {
        let words = [&["ec", "-in", &key, "-out", &key], recipe.rewritten].concat();
        openssl_in(openssl, &words)?;
    }
    let config = at("subject.cnf");
    // The mask leaves T61String alone for what is no ASCII, as old authorities did.
    let text = "[req]\ndistinguished_name=dn\nstring_mask=MASK:0x2006\n[dn]\n";
    fs::write(&config, text).unwrap();
    let words = ["req", "-new", "-key", &key, "-subj", recipe.subject, "-config", &config];
    openssl_in(openssl, &[&words[..], &["-out", &request]].concat())?;
    let mut words = vec!["x509", "-req", "-in", &request, "-days", recipe.days, "-out", &pem];
    let (ca, ca_key) = (at("ca.pem"), at("ca.key"));
    if recipe.own {
        words.extend(["-signkey", &key]);
    } else {
        words.extend(["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"]);
    }
    if !recipe.extensions.is_empty() {
        fs::write(&extensions, recipe.extensions).unwrap();
        words.extend(["-extfile", &extensions]);
    }
    openssl_in(openssl, &words)?;
    let end = openssl.says(&["x509", "-in", &pem, "-noout", "-text"], b"").unwrap_or_default();
    if recipe.extensions.is_empty() && !String::from_utf8_lossy(&end).contains("Version: 1 ") {
        return Err("its certificates without extensions are of version 3".to_owned());
    }
    if recipe.days == "0" {
        let over = || {
            !openssl.run(&["x509", "-in", &pem, "-noout", "-checkend", "0"], b"").status.success()
        };
        assert!(becomes_true(over), "{pem} does not expire");
    }
    let (certificate, key) = (pem.into(), key.into());
    Ok(Kind { name: recipe.name, certificate, key, openssl: openssl.clone() })
}

/// An ordinary certificate whose names are no longer DER.
fn damaged(openssl: &OpenSsl, directory: &Path) -> Kind {
    let pem = directory.join("damaged.pem");
    let mut der =
        CertificateDer::from_pem_file(directory.join("p256.pem")).unwrap().as_ref().to_vec();
    let names = b"cert.example";
    let at = der.windows(names.len()).position(|window| window == names).unwrap();
    // The length of the first name, which reaches beyond the others then.
    der[at - 1] = 0x7f;
    fs::write(directory.join("damaged.der"), &der).unwrap();
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let base64 = openssl.says(&["base64"], &der).unwrap();
    text.push_str(&String::from_utf8(base64).unwrap());
    text.push_str("-----END CERTIFICATE-----\n");
    fs::write(&pem, text).unwrap();
    Kind {
        name: "damaged",
        certificate: pem,
        key: directory.join("p256.key"),
        openssl: openssl.clone(),
    }
}

impl Kind {
    /// The name of its key's file, without `.key`.
    pub(crate) fn key_name(&self) -> &str {
        self.key.file_stem().unwrap().to_str().unwrap()
    }

    /// A client that shows it, whatever the server can verify: a signature by its key, in the way that comes closest to
    /// one of those that are offered.
    pub(crate) fn client(&self) -> Arc<dyn ResolvesClientCert> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).ok();
        let key = key.and_then(|key| ring::sign::any_supported_type(&key).ok());
        let key = key.unwrap_or_else(|| {
            Arc::new(Program {
                key: self.key.clone(),
                name: self.name,
                openssl: self.openssl.clone(),
            })
        });
        Arc::new(Insists(Arc::new(CertifiedKey::new(chain, key))))
    }
}

/// Shows its certificate always.
#[derive(Debug)]
struct Insists(Arc<CertifiedKey>);

impl ResolvesClientCert for Insists {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Signs by the program, with keys that rustls does not take.
#[derive(Clone, Debug)]
struct Program {
    key: PathBuf,
    name: &'static str,
    openssl: OpenSsl,
}

impl Program {
    fn is_rsa(&self) -> bool {
        self.name.starts_with("rsa")
    }
}

impl SigningKey for Program {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.is_rsa() { SignatureAlgorithm::RSA } else { SignatureAlgorithm::ECDSA }
    }
}

impl Signer for Program {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let key = self.key.to_str().unwrap();
        let signed = if self.name == "ed448" {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), message).unwrap();
            let path = file.path().to_str().unwrap();
            self.openssl.says(&["pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", path], b"")
        } else {
            let mut words = vec!["dgst", "-sha256", "-sign", key];
            if self.is_rsa() {
                let options = ["rsa_padding_mode:pss", "rsa_pss_saltlen:-1"];
                options.iter().for_each(|option| words.extend(["-sigopt", option]));
            }
            self.openssl.says(&words, message)
        };
        signed.ok_or_else(|| rustls::Error::General(format!("openssl signs nothing by {key}")))
    }

    fn scheme(&self) -> SignatureScheme {
        if self.is_rsa() {
            SignatureScheme::RSA_PSS_SHA256
        } else if self.name == "ed448" {
            SignatureScheme::ED25519
        } else {
            SignatureScheme::ECDSA_NISTP256_SHA256
        }
    }
}
