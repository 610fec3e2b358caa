//! The sample XiVO's phonebook: its contacts, its search, and the JSON that XiVO makes of them.
//!
//! Guarantees: an element has exactly the shape of XiVO's web service, `false` where a contact has
//! no address or no number at all; the search is XiVO's, a case-insensitive *contains* over 14
//! columns in which an empty term finds nothing. As in PostgreSQL's `ILIKE`, case is folded and
//! accents are not: `quebec` does not find `Québec`.

mod contacts;

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Value;

/// All contacts, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Phonebook {
    contacts: Vec<Contact>,
    /// The last ids given to a contact, an address and a number.
    last: LastIds,
}

#[derive(Debug, Clone, Copy, Default)]
struct LastIds {
    contact: u32,
    address: u32,
    number: u32,
}

/// One element of XiVO's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// The contact's own columns.
    pub phonebook: Person,
    /// Its addresses by kind.
    #[serde(rename = "phonebookaddress", serialize_with = "by_kind")]
    pub addresses: Vec<Address>,
    /// Its numbers by kind.
    #[serde(rename = "phonebooknumber", serialize_with = "by_kind")]
    pub numbers: Vec<Number>,
}

/// The columns of XiVO's table `phonebook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    pub id: u32,
    pub title: String,
    pub firstname: String,
    pub lastname: String,
    pub displayname: String,
    pub fullname: String,
    pub society: String,
    pub email: String,
    pub url: String,
    /// XiVO's pictures are not part of the sample: always JSON's `null`.
    pub image: (),
    pub description: String,
}

/// A row of XiVO's table `phonebookaddress`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    pub id: u32,
    pub phonebookid: u32,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub address1: String,
    pub address2: String,
    pub city: String,
    pub state: String,
    pub zipcode: String,
    pub country: String,
}

/// A row of XiVO's table `phonebooknumber`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Number {
    pub id: u32,
    pub phonebookid: u32,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub number: String,
}

/// A row that belongs to a contact and is keyed by its kind in the JSON.
trait Kinded: Serialize {
    fn kind(&self) -> &'static str;
}

impl Kinded for Address {
    fn kind(&self) -> &'static str {
        self.kind
    }
}

impl Kinded for Number {
    fn kind(&self) -> &'static str {
        self.kind
    }
}

/// PHP answers `false`, not an empty object, where the database has no row.
fn by_kind<T: Kinded, S: Serializer>(rows: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if rows.is_empty() {
        return serializer.serialize_bool(false);
    }
    serializer.collect_map(rows.iter().map(|row| (row.kind(), row)))
}

impl Phonebook {
    /// The phonebook of the demonstration: some thirty contacts.
    #[must_use]
    pub fn sample() -> Self {
        let mut book = Self::default();
        for entry in contacts::CONTACTS {
            book.insert(entry.person(), |kind| entry.address(kind), |kind| entry.number(kind));
        }
        book
    }

    /// How many contacts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there are no contacts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    /// All contacts, in XiVO's order.
    #[must_use]
    pub fn list(&self) -> &[Contact] {
        &self.contacts
    }

    /// The contact with this id.
    #[must_use]
    pub fn view(&self, id: u32) -> Option<&Contact> {
        self.contacts.iter().find(|contact| contact.phonebook.id == id)
    }

    /// The contacts with the term in one of the 14 columns; none for an empty term.
    #[must_use]
    pub fn search(&self, term: &str) -> Vec<&Contact> {
        if term.is_empty() {
            return Vec::new();
        }
        let term = fold_case(term);
        self.contacts.iter().filter(|contact| contact.contains(&term)).collect()
    }

    /// Removes a contact; `false` if there is none with this id.
    pub fn delete(&mut self, id: u32) -> bool {
        let before = self.contacts.len();
        self.contacts.retain(|contact| contact.phonebook.id != id);
        self.contacts.len() < before
    }

    /// Adds a contact from the JSON that XiVO's `act=add` takes, and returns its id.
    ///
    /// `phonebook` holds the columns, of which a first name, a last name or a society is needed;
    /// `phonebookaddress` and `phonebooknumber` hold objects by kind, a number also as mere text.
    /// Anything else in the JSON is ignored. `None` if it is no contact.
    pub fn add(&mut self, json: &[u8]) -> Option<u32> {
        let json: Value = serde_json::from_slice(json).ok()?;
        let columns = json.get("phonebook")?.as_object()?;
        let column = |name: &str| {
            let text = columns.get(name).and_then(Value::as_str);
            text.unwrap_or_default().trim().to_owned()
        };
        let person = Person::new(column);
        if person.displayname.is_empty() {
            return None;
        }
        let row = |table: &str, kind: &str| Some(json.get(table)?.get(kind)?.clone());
        Some(self.insert(
            person,
            |kind| {
                let row = row("phonebookaddress", kind)?;
                let column = |name| Some(row.get(name)?.as_str()?.to_owned());
                let names = ["address1", "address2", "city", "state", "zipcode", "country"];
                row.is_object().then(|| names.map(|name| column(name).unwrap_or_default()))
            },
            |kind| {
                let row = row("phonebooknumber", kind)?;
                let number = row.as_str().or_else(|| row.get("number")?.as_str())?;
                (!number.is_empty()).then(|| number.to_owned())
            },
        ))
    }

    /// Gives ids to a contact and its rows, and keeps it.
    fn insert(
        &mut self,
        mut person: Person,
        address: impl Fn(&'static str) -> Option<[String; 6]>,
        number: impl Fn(&'static str) -> Option<String>,
    ) -> u32 {
        self.last.contact += 1;
        let phonebookid = self.last.contact;
        person.id = phonebookid;
        let mut addresses = Vec::new();
        for kind in ADDRESS_KINDS {
            let Some([address1, address2, city, state, zipcode, country]) = address(kind) else {
                continue;
            };
            self.last.address += 1;
            addresses.push(Address {
                id: self.last.address,
                phonebookid,
                kind,
                address1,
                address2,
                city,
                state,
                zipcode,
                country,
            });
        }
        let mut numbers = Vec::new();
        for kind in NUMBER_KINDS {
            let Some(number) = number(kind) else { continue };
            self.last.number += 1;
            numbers.push(Number { id: self.last.number, phonebookid, kind, number });
        }
        self.contacts.push(Contact { phonebook: person, addresses, numbers });
        phonebookid
    }
}

impl Person {
    /// A person, not yet with an id, from its columns by name.
    fn new(column: impl Fn(&str) -> String) -> Self {
        let (firstname, lastname, society) =
            (column("firstname"), column("lastname"), column("society"));
        let fullname = format!("{firstname} {lastname}").trim().to_owned();
        let displayname = [column("displayname"), fullname.clone(), society.clone()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        Self {
            id: 0,
            title: column("title"),
            firstname,
            lastname,
            displayname,
            fullname,
            society,
            email: column("email"),
            url: column("url"),
            image: (),
            description: column("description"),
        }
    }
}

impl Contact {
    fn contains(&self, folded_term: &str) -> bool {
        let person = &self.phonebook;
        let own = [
            &person.firstname,
            &person.lastname,
            &person.displayname,
            &person.society,
            &person.email,
            &person.url,
            &person.description,
        ];
        let addresses = self.addresses.iter().flat_map(|address| {
            [
                &address.address1,
                &address.address2,
                &address.city,
                &address.state,
                &address.zipcode,
                &address.country,
            ]
        });
        let numbers = self.numbers.iter().map(|number| &number.number);
        own.into_iter()
            .chain(addresses)
            .chain(numbers)
            .any(|column| fold_case(column).contains(folded_term))
    }
}

/// Lower case, letter by letter: `str::to_lowercase` makes a final sigma of some, which would hide
/// a term inside a word.
fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The kinds of address that XiVO knows.
const ADDRESS_KINDS: [&str; 3] = ["office", "home", "other"];
/// The kinds of number that XiVO knows.
const NUMBER_KINDS: [&str; 5] = ["office", "home", "mobile", "fax", "other"];

#[cfg(test)]
mod tests;
