use serde_json::json;

use super::*;

fn names(contacts: &[&Contact]) -> Vec<String> {
    contacts.iter().map(|contact| contact.phonebook.displayname.clone()).collect()
}

fn found(term: &str) -> Vec<String> {
    names(&Phonebook::sample().search(term))
}

#[test]
fn element_has_the_documented_shape() {
    let book = Phonebook::sample();
    let john = serde_json::to_value(book.view(1).unwrap()).unwrap();
    assert_eq!(
        john,
        json!({
            "phonebook": {
                "id": 1, "title": "mr", "firstname": "John", "lastname": "Doe",
                "displayname": "John Doe", "fullname": "John Doe", "society": "Acme",
                "email": "jd@example.org", "url": "", "image": null, "description": ""
            },
            "phonebookaddress": {"office": {
                "id": 1, "phonebookid": 1, "type": "office", "address1": "1 Main St",
                "address2": "", "city": "Québec", "state": "QC", "zipcode": "G1R 1A1",
                "country": "CA"
            }},
            "phonebooknumber": {
                "office": {"id": 1, "phonebookid": 1, "type": "office", "number": "5551234"},
                "mobile": {"id": 2, "phonebookid": 1, "type": "mobile", "number": "+1 418 555 0101"}
            }
        })
    );
}

#[test]
fn missing_addresses_and_numbers_are_false() {
    let book = Phonebook::sample();
    let minimal = serde_json::to_value(book.search("minimal")[0]).unwrap();
    assert_eq!(minimal["phonebookaddress"], json!(false));
    assert_eq!(minimal["phonebooknumber"], json!(false));
    let renee = serde_json::to_value(book.search("sans-téléphone")[0]).unwrap();
    assert_eq!(renee["phonebooknumber"], json!(false));
    assert_eq!(renee["phonebookaddress"]["home"]["city"], json!("Chicoutimi"));
}

#[test]
fn sample_has_some_thirty_contacts_with_consecutive_ids() {
    let book = Phonebook::sample();
    assert!((28..=35).contains(&book.len()), "{}", book.len());
    for (at, contact) in book.list().iter().enumerate() {
        assert_eq!(usize::try_from(contact.phonebook.id).unwrap(), at + 1);
        assert!(!contact.phonebook.displayname.is_empty());
    }
}

#[test]
fn every_row_of_the_sample_has_a_kind_that_xivo_knows() {
    // A row of another kind would be lost in silence.
    let book = Phonebook::sample();
    for (entry, contact) in contacts::CONTACTS.iter().zip(book.list()) {
        assert_eq!(entry.row_counts(), (contact.numbers.len(), contact.addresses.len()));
    }
}

#[test]
fn search_ignores_case_in_every_script() {
    assert_eq!(found("TREMBLAY"), ["Élodie Tremblay"]);
    assert_eq!(found("éLODIE"), ["Élodie Tremblay"]);
    assert_eq!(found("ИВАНОВА"), ["Айгуль Иванова"]);
    // A final sigma is a letter of its own in lower case and folds to itself.
    assert_eq!(found("ΠΑΠΑΔΌΠΟΥΛΟ"), ["Νίκος Παπαδόπουλος"]);
    assert_eq!(found("łódź"), ["Łukasz Wiśniewski"]);
    assert_eq!(found("山田"), ["太郎 山田"]);
}

#[test]
fn search_keeps_accents_apart() {
    assert!(found("quebec").is_empty());
    assert!(found("québec").len() >= 3);
}

#[test]
fn search_looks_into_all_fourteen_columns() {
    for (column, term, name) in [
        ("firstname", "françois", "François Lefèvre"),
        ("lastname", "o'brien", "Conor O'Brien"),
        ("displayname", "doe", "John Doe"),
        ("society", "private bank", "Private Bank"),
        ("email", "jd@example", "John Doe"),
        ("url", "rueegg.example/uhren", "Anna-Lena Rüegg"),
        ("description", "einkauf", "Jürgen Müller"),
        ("address1", "saint-denis", "Zoë Lambert"),
        ("address2", "bureau 210", "Élodie Tremblay"),
        ("city", "montréal", "Zoë Lambert"),
        ("state", "zh", "Anna-Lena Rüegg"),
        ("zipcode", "h2x 3k2", "Zoë Lambert"),
        ("country", "lu", "Private Bank"),
        ("number", "(418) 555-0102", "Élodie Tremblay"),
    ] {
        assert!(found(term).iter().any(|its| its == name), "{column}: {:?}", found(term));
    }
}

#[test]
fn search_does_not_look_at_title_fullname_or_types() {
    let mut book = Phonebook::default();
    let json = br#"{"phonebook": {"title": "xylophone", "firstname": "A", "lastname": "B",
        "displayname": "C"}, "phonebooknumber": {"fax": "1"}}"#;
    book.add(json).unwrap();
    assert!(book.search("xylophone").is_empty());
    assert!(book.search("a b").is_empty());
    assert!(book.search("fax").is_empty());
    assert_eq!(book.search("c").len(), 1);
}

#[test]
fn wildcards_are_mere_characters() {
    assert_eq!(found("100%_sure").len(), 1);
    assert_eq!(found("50%").len(), 1);
    assert!(found("J%n").is_empty());
    assert_eq!(found("jl_").len(), 1);
    assert_eq!(found("\\").len(), 1);
}

#[test]
fn empty_term_finds_nothing() {
    assert!(found("").is_empty());
}

#[test]
fn add_gives_fresh_ids_and_delete_removes() {
    let mut book = Phonebook::sample();
    let before = book.len();
    let json = r#"{"phonebook": {"firstname": "Noël", "lastname": "Côté", "nonsense": [1]},
        "phonebookaddress": {"home": {"city": "Gaspé"}, "moon": {"city": "X"}, "office": "text"},
        "phonebooknumber": {"mobile": "555", "office": {"number": "556"}, "fax": 3}}"#;
    let id = book.add(json.as_bytes()).unwrap();
    assert_eq!(book.len(), before + 1);
    let added = book.view(id).unwrap();
    assert_eq!(added.phonebook.displayname, "Noël Côté");
    let kinds = |contact: &Contact| -> Vec<_> {
        contact.numbers.iter().map(|number| number.kind).collect()
    };
    assert_eq!(kinds(added), ["office", "mobile"]);
    assert_eq!(added.addresses.len(), 1);
    assert_eq!(added.addresses[0].city, "Gaspé");
    assert!(book.delete(id));
    assert!(!book.delete(id));
    assert_eq!(book.len(), before);
    assert_ne!(book.add(json.as_bytes()), Some(id));
}

#[test]
fn what_is_no_contact_is_not_added() {
    let mut book = Phonebook::default();
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"phonebook": []}"#,
        r#"{"phonebook": {}}"#,
        r#"{"phonebook": {"email": "a@example.org"}}"#,
        r#"{"phonebook": {"firstname": 1}}"#,
        r#"{"phonebook": {"firstname": "  "}}"#,
        &"[".repeat(100_000),
    ] {
        assert_eq!(book.add(json.as_bytes()), None, "{json:.40}");
    }
    assert!(book.is_empty());
}
