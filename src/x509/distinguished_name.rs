//! Distinguished names as text: RFC 2253, in the reading of OpenSSL's `XN_FLAG_RFC2253`.
//!
//! nginx's `$ssl_client_s_dn` is that text. The last part comes first, `,` stands between parts and `+`
//! within one; types have OpenSSL's short names; every byte of a character beyond ASCII is escaped as
//! `\C3`. A type without a short name is written as numbers, with its value's encoding behind `#`.

use x509_parser::asn1_rs::{Any, Oid, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::x509::Hex;

/// The name as text.
pub(super) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<Vec<_>> = name.iter_rdn().map(|part| part.iter().collect()).collect();
    for part in parts.iter().rev() {
        let mut separator = ',';
        for attribute in part.iter().rev() {
            if !out.is_empty() {
                out.push(separator);
            }
            push_attribute(attribute, &mut out);
            separator = '+';
        }
    }
    out
}

fn push_attribute(attribute: &AttributeTypeAndValue<'_>, out: &mut String) {
    let value = attribute.attr_value();
    let oid = dotted(attribute.attr_type());
    match short_name(&oid) {
        Some(name) => {
            out.push_str(name);
            out.push('=');
            match characters(value) {
                Some(characters) => push_escaped(&characters, out),
                None => push_encoding(value, out),
            }
        }
        None => {
            out.push_str(&oid);
            out.push('=');
            push_encoding(value, out);
        }
    }
}

/// The type as numbers. Those below 2 reach beyond 39 (X.690, section 8.19.4), as in 2.999.
fn dotted(oid: &Oid<'_>) -> String {
    let mut numbers = Vec::new();
    let mut number: u128 = 0;
    for byte in oid.as_bytes() {
        let Some(more) = number.checked_mul(128) else {
            // Nobody has been given a number of this length.
            return oid.to_id_string();
        };
        number = more | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

/// The value as the bytes of its UTF-8 form, or `None` if it is not one of the types that OpenSSL
/// takes for text.
fn characters(value: &Any<'_>) -> Option<Vec<u8>> {
    if value.header.is_constructed() {
        return None;
    }
    match value.tag() {
        // Taken as it is, valid or not, like OpenSSL does.
        Tag::Utf8String => Some(value.data.to_vec()),
        Tag::NumericString
        | Tag::PrintableString
        | Tag::T61String
        | Tag::Ia5String
        | Tag::UtcTime
        | Tag::GeneralizedTime
        | Tag::VisibleString => {
            let latin: String = value.data.iter().copied().map(char::from).collect();
            Some(latin.into_bytes())
        }
        Tag::BmpString => Some(bmp(value.data)?.flatten().collect::<String>().into_bytes()),
        Tag::UniversalString => {
            let (quads, rest) = value.data.as_chunks::<4>();
            let characters =
                quads.iter().filter_map(|quad| char::from_u32(u32::from_be_bytes(*quad)));
            rest.is_empty().then(|| characters.collect::<String>().into_bytes())
        }
        _ => None,
    }
}

/// The characters of a BMPString, `None` for each surrogate: it has no pairs of them.
pub(super) fn bmp(data: &[u8]) -> Option<impl Iterator<Item = Option<char>>> {
    let (pairs, rest) = data.as_chunks::<2>();
    let character = |pair: &[u8; 2]| char::from_u32(u16::from_be_bytes(*pair).into());
    rest.is_empty().then(|| pairs.iter().map(character))
}

fn push_escaped(text: &[u8], out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (at, &byte) in text.iter().enumerate() {
        // A text of one character is judged as its last by OpenSSL: a lone `#` is not escaped.
        let at_an_end = match byte {
            b' ' => at == 0 || at == last,
            b'#' => at == 0 && at != last,
            _ => false,
        };
        match byte {
            0..=0x1f | 0x7f.. => out.push_str(&format!("\\{byte:02X}")),
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.extend(['\\', char::from(byte)]);
            }
            _ if at_an_end => out.extend(['\\', char::from(byte)]),
            _ => out.push(char::from(byte)),
        }
    }
}

fn push_encoding(value: &Any<'_>, out: &mut String) {
    // Writing into memory has no reason to fail; a value that cannot be encoded again shows nothing.
    let encoding = value.to_der_vec_raw().unwrap_or_default();
    out.push('#');
    out.push_str(&Hex(&encoding).to_string().to_ascii_uppercase());
}

/// OpenSSL's short name of an attribute type: those of X.520, RFC 4524, PKCS #9 and the CA/Browser
/// Forum.
fn short_name(oid: &str) -> Option<&'static str> {
    if let Some(arc) = oid.strip_prefix("2.5.4.") {
        return x520(arc);
    }
    if let Some(arc) = oid.strip_prefix("0.9.2342.19200300.100.1.") {
        return pilot(arc);
    }
    Some(match oid {
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "1.2.840.113549.1.9.7" => "challengePassword",
        "1.2.840.113549.1.9.8" => "unstructuredAddress",
        "1.2.840.113549.1.9.20" => "friendlyName",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        _ => return None,
    })
}

fn x520(arc: &str) -> Option<&'static str> {
    Some(match arc {
        "3" => "CN",
        "4" => "SN",
        "5" => "serialNumber",
        "6" => "C",
        "7" => "L",
        "8" => "ST",
        "9" => "street",
        "10" => "O",
        "11" => "OU",
        "12" => "title",
        "13" => "description",
        "14" => "searchGuide",
        "15" => "businessCategory",
        "16" => "postalAddress",
        "17" => "postalCode",
        "18" => "postOfficeBox",
        "19" => "physicalDeliveryOfficeName",
        "20" => "telephoneNumber",
        "21" => "telexNumber",
        "22" => "teletexTerminalIdentifier",
        "23" => "facsimileTelephoneNumber",
        "24" => "x121Address",
        "25" => "internationaliSDNNumber",
        "26" => "registeredAddress",
        "27" => "destinationIndicator",
        "28" => "preferredDeliveryMethod",
        "29" => "presentationAddress",
        "30" => "supportedApplicationContext",
        "31" => "member",
        "32" => "owner",
        "33" => "roleOccupant",
        "34" => "seeAlso",
        "35" => "userPassword",
        "36" => "userCertificate",
        "37" => "cACertificate",
        "38" => "authorityRevocationList",
        "39" => "certificateRevocationList",
        "40" => "crossCertificatePair",
        "41" => "name",
        "42" => "GN",
        "43" => "initials",
        "44" => "generationQualifier",
        "45" => "x500UniqueIdentifier",
        "46" => "dnQualifier",
        "47" => "enhancedSearchGuide",
        "48" => "protocolInformation",
        "49" => "distinguishedName",
        "50" => "uniqueMember",
        "51" => "houseIdentifier",
        "52" => "supportedAlgorithms",
        "53" => "deltaRevocationList",
        "54" => "dmdName",
        "65" => "pseudonym",
        "72" => "role",
        "97" => "organizationIdentifier",
        "98" => "c3",
        "99" => "n3",
        "100" => "dnsName",
        _ => return None,
    })
}

fn pilot(arc: &str) -> Option<&'static str> {
    Some(match arc {
        "1" => "UID",
        "2" => "textEncodedORAddress",
        "3" => "mail",
        "4" => "info",
        "5" => "favouriteDrink",
        "6" => "roomNumber",
        "7" => "photo",
        "8" => "userClass",
        "9" => "host",
        "10" => "manager",
        "11" => "documentIdentifier",
        "12" => "documentTitle",
        "13" => "documentVersion",
        "14" => "documentAuthor",
        "15" => "documentLocation",
        "20" => "homeTelephoneNumber",
        "21" => "secretary",
        "22" => "otherMailbox",
        "23" => "lastModifiedTime",
        "24" => "lastModifiedBy",
        "25" => "DC",
        "26" => "aRecord",
        "27" => "pilotAttributeType27",
        "28" => "mXRecord",
        "29" => "nSRecord",
        "30" => "sOARecord",
        "31" => "cNAMERecord",
        "37" => "associatedDomain",
        "38" => "associatedName",
        "39" => "homePostalAddress",
        "40" => "personalTitle",
        "41" => "mobileTelephoneNumber",
        "42" => "pagerTelephoneNumber",
        "43" => "friendlyCountryName",
        "44" => "uid",
        "45" => "organizationalStatus",
        "46" => "janetMailbox",
        "47" => "mailPreferenceOption",
        "48" => "buildingName",
        "49" => "dSAQuality",
        "50" => "singleLevelQuality",
        "51" => "subtreeMinimumQuality",
        "52" => "subtreeMaximumQuality",
        "53" => "personalSignature",
        "54" => "dITRedirect",
        "55" => "audio",
        "56" => "documentPublisher",
        _ => return None,
    })
}
