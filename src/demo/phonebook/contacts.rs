//! The sample phonebook's contents: names in several scripts, numbers as people write them, and text
//! that a careless reader trips over (quotes, wildcards, markup, a company named `Private Bank`).
//!
//! All of it is made up, and the domains are those reserved for examples.

use super::Person;

/// One contact. Missing columns are empty.
pub(super) struct Entry {
    /// Title, first name, last name.
    name: [&'static str; 3],
    /// Society, e-mail, url, description.
    about: [&'static str; 4],
    /// Kind and number.
    numbers: &'static [(&'static str, &'static str)],
    /// Kind and address: two lines, city, state, zip code, country.
    addresses: &'static [(&'static str, [&'static str; 6])],
}

impl Entry {
    pub(super) fn person(&self) -> Person {
        let [title, firstname, lastname] = self.name;
        let [society, email, url, description] = self.about;
        Person::new(|column| {
            let text = match column {
                "title" => title,
                "firstname" => firstname,
                "lastname" => lastname,
                "society" => society,
                "email" => email,
                "url" => url,
                "description" => description,
                _ => "",
            };
            text.to_owned()
        })
    }

    /// How many numbers and addresses are written here.
    #[cfg(test)]
    pub(super) fn row_counts(&self) -> (usize, usize) {
        (self.numbers.len(), self.addresses.len())
    }

    pub(super) fn number(&self, kind: &str) -> Option<String> {
        let (_, number) = self.numbers.iter().find(|(its, _)| *its == kind)?;
        Some((*number).to_owned())
    }

    pub(super) fn address(&self, kind: &str) -> Option<[String; 6]> {
        let (_, columns) = self.addresses.iter().find(|(its, _)| *its == kind)?;
        Some(columns.map(str::to_owned))
    }
}

/// The contacts, in the order of their ids, from 1.
#[rustfmt::skip]
pub(super) const CONTACTS: &[Entry] = &[
    Entry {
        name: ["mr", "John", "Doe"],
        about: ["Acme", "jd@example.org", "", ""],
        numbers: &[("office", "5551234"), ("mobile", "+1 418 555 0101")],
        addresses: &[("office", ["1 Main St", "", "Québec", "QC", "G1R 1A1", "CA"])],
    },
    Entry {
        name: ["mrs", "Élodie", "Tremblay"],
        about: ["Acme", "elodie.tremblay@example.org", "", "Comptabilité"],
        numbers: &[("office", "(418) 555-0102"), ("mobile", "+1-418-555-0103")],
        addresses: &[("office", ["1 Main St", "Bureau 210", "Québec", "QC", "G1R 1A1", "CA"])],
    },
    Entry {
        name: ["mr", "François", "Lefèvre"],
        about: ["Fromagerie des Alpes", "francois@fromagerie.example", "https://fromagerie.example/", ""],
        numbers: &[("office", "04 72 00 01 04")],
        addresses: &[("office", ["12, rue de la République", "", "Lyon", "", "69002", "FR"])],
    },
    Entry {
        name: ["ms", "Zoë", "Lambert"],
        about: ["Librairie Mirabel", "zoe@mirabel.example", "", "Livraisons le mardi"],
        numbers: &[("office", "514.555.0105"), ("fax", "514.555.0106")],
        addresses: &[("office", ["870, rue Saint-Denis", "", "Montréal", "QC", "H2X 3K2", "CA"])],
    },
    Entry {
        name: ["mr", "Jürgen", "Müller"],
        about: ["Müller & Söhne GmbH", "j.mueller@soehne.example", "", "Einkauf"],
        numbers: &[("office", "+49 30 5550107"), ("mobile", "0049 170 5550108")],
        addresses: &[("office", ["Große Straße 5", "", "Berlin", "", "10115", "DE"])],
    },
    Entry {
        name: ["mrs", "Anna-Lena", "Rüegg"],
        about: ["Uhren Rüegg AG", "info@rueegg.example", "https://rueegg.example/uhren", ""],
        numbers: &[("office", "+41 44 555 01 09")],
        addresses: &[("office", ["Bahnhofstrasse 9", "3. Stock", "Zürich", "ZH", "8001", "CH"])],
    },
    Entry {
        name: ["mr", "Łukasz", "Wiśniewski"],
        about: ["Tkalnia Łódź", "lukasz@tkalnia.example", "", ""],
        numbers: &[("office", "+48 42 555 01 10")],
        addresses: &[("office", ["ul. Piotrkowska 11", "", "Łódź", "", "90-004", "PL"])],
    },
    Entry {
        name: ["mr", "Conor", "O'Brien"],
        about: ["O'Brien & Daughters", "conor@obrien.example", "", "Calls back after 17:00"],
        numbers: &[("mobile", "+353 87 555 0111")],
        addresses: &[("home", ["4 Quay Lane", "", "Galway", "", "H91 E2K8", "IE"])],
    },
    Entry {
        name: ["mr", "太郎", "山田"],
        about: ["山田商店", "taro.yamada@shoten.example", "", "東京支店"],
        numbers: &[("office", "+81 3-5550-0112")],
        addresses: &[("office", ["丸の内1-1", "", "東京", "", "100-0005", "JP"])],
    },
    Entry {
        name: ["ms", "Private", "Line"],
        about: ["", "private.line@example.org", "", "Not listed elsewhere"],
        numbers: &[("home", "5550113")],
        addresses: &[],
    },
    Entry {
        name: ["", "", ""],
        about: ["Private Bank", "desk@privatebank.example", "https://privatebank.example/", "Night desk"],
        numbers: &[("office", "+352 555 0114"), ("fax", "+352 555 0115")],
        addresses: &[("office", ["2, boulevard Royal", "", "Luxembourg", "", "L-2449", "LU"])],
    },
    Entry {
        name: ["mrs", "Айгуль", "Иванова"],
        about: ["Северный Ветер", "ivanova@veter.example", "", "Отдел продаж"],
        numbers: &[("office", "+7 812 555-01-16")],
        addresses: &[("office", ["Невский проспект, 1", "", "Санкт-Петербург", "", "191186", "RU"])],
    },
    Entry {
        name: ["mr", "Νίκος", "Παπαδόπουλος"],
        about: ["Ελαιώνες ΑΕ", "nikos@elaiones.example", "", ""],
        numbers: &[("mobile", "+30 694 555 0117")],
        addresses: &[("office", ["Οδός Ερμού 8", "", "Αθήνα", "", "105 63", "GR"])],
    },
    Entry {
        name: ["ms", "ليلى", "حداد"],
        about: ["مكتبة النور", "layla@alnoor.example", "", ""],
        numbers: &[("office", "+961 1 555 018")],
        addresses: &[("office", ["شارع الحمرا", "", "بيروت", "", "", "LB"])],
    },
    Entry {
        name: ["mr", "דוד", "לוי"],
        about: ["לוי ובניו", "david@levi.example", "", ""],
        numbers: &[("office", "+972-3-555-0119")],
        addresses: &[],
    },
    Entry {
        name: ["mrs", "İpek", "Şahin"],
        about: ["Çınar Lojistik", "ipek@cinar.example", "", ""],
        numbers: &[("mobile", "+90 532 555 01 20")],
        addresses: &[("office", ["Bağdat Caddesi 20", "", "İstanbul", "", "34728", "TR"])],
    },
    Entry {
        name: ["mr", "Søren", "Ågård"],
        about: ["Ågård Møbler", "soren@agard.example", "", ""],
        numbers: &[("office", "+45 55 50 01 21")],
        addresses: &[("office", ["Ørstedsgade 3", "", "København", "", "1050", "DK"])],
    },
    Entry {
        name: ["ms", "Þórdís", "Guðmundsdóttir"],
        about: ["", "thordis@example.net", "", ""],
        numbers: &[("mobile", "+354 555 0122")],
        addresses: &[("home", ["Laugavegur 7", "", "Reykjavík", "", "101", "IS"])],
    },
    Entry {
        name: ["mr", "Jiří", "Dvořák"],
        about: ["Pivovar U Řeky", "dvorak@pivovar.example", "", "50% sleva v pondělí"],
        numbers: &[("office", "+420 555 012 300")],
        addresses: &[("office", ["Nábřežní 14", "", "Plzeň", "", "301 00", "CZ"])],
    },
    Entry {
        name: ["mrs", "Nguyễn", "Thị Hương"],
        about: ["Cà phê Hương", "huong@caphe.example", "", ""],
        numbers: &[("mobile", "+84 90 555 0124")],
        addresses: &[("other", ["12 Hàng Bạc", "", "Hà Nội", "", "", "VN"])],
    },
    Entry {
        name: ["mr", "João", "Conceição"],
        about: ["Padaria São Bento", "joao@padaria.example", "", ""],
        numbers: &[("office", "+351 21 555 0125"), ("home", "215550126")],
        addresses: &[("office", ["Rua de São Bento 40", "", "Lisboa", "", "1200-816", "PT"])],
    },
    Entry {
        name: ["ms", "María José", "Núñez"],
        about: ["Peña y Asociados", "mj.nunez@pena.example", "", ""],
        numbers: &[("office", "+34 91 555 01 27"), ("other", "*27")],
        addresses: &[("office", ["Calle Mayor 3", "2º B", "Madrid", "", "28013", "ES"])],
    },
    Entry {
        name: ["mr", "민준", "김"],
        about: ["한빛전자", "minjun@hanbit.example", "", ""],
        numbers: &[("office", "+82-2-555-0128")],
        addresses: &[("office", ["세종대로 1", "", "서울", "", "04524", "KR"])],
    },
    Entry {
        name: ["mrs", "सीता", "शर्मा"],
        about: ["शर्मा वस्त्र", "sita@vastra.example", "", ""],
        numbers: &[("mobile", "+91 98555 00129")],
        addresses: &[],
    },
    Entry {
        name: ["mr", "Jean_Luc", "Bélanger"],
        about: ["Acme", "jl_belanger@example.org", "", "Poste 130"],
        numbers: &[("office", "5551234 ext. 130")],
        addresses: &[("office", ["1 Main St", "", "Québec", "QC", "G1R 1A1", "CA"])],
    },
    Entry {
        name: ["mrs", "Béatrice", "d'Amours"],
        about: ["Clinique Sainte-Foy", "accueil@clinique.example", "", "Urgences : 911"],
        numbers: &[("office", "1-800-555-0131"), ("fax", "1-800-555-0132")],
        addresses: &[("office", ["2700, boul. Laurier", "Porte C", "Québec", "QC", "G1V 2L8", "CA"])],
    },
    Entry {
        name: ["mr", "Tane", "Māhuta"],
        about: ["Kōwhai Gardens", "tane@kowhai.example", "", ""],
        numbers: &[("mobile", "+64 21 555 0133")],
        addresses: &[("home", ["3 Pōhutukawa Way", "", "Tauranga", "", "3110", "NZ"])],
    },
    Entry {
        name: ["", "", ""],
        about: ["Taxis Vieux-Port", "", "", "Paiement par carte <24h/24>"],
        numbers: &[("office", "514 555-0134"), ("mobile", "5145550135")],
        addresses: &[],
    },
    Entry {
        name: ["mr", "Emil", "Backslash\\Quote\""],
        about: ["", "emil@example.org", "", "C:\\Temp, 100%_sure"],
        numbers: &[("other", "sip:emil@example.org")],
        addresses: &[],
    },
    Entry {
        name: ["ms", "Renée", "Sans-Téléphone"],
        about: ["", "renee@example.org", "", ""],
        numbers: &[],
        addresses: &[("home", ["5, chemin du Lac", "", "Chicoutimi", "QC", "G7H 1A1", "CA"])],
    },
    Entry {
        name: ["mr", "A.", "Minimal"],
        about: ["", "", "", ""],
        numbers: &[],
        addresses: &[],
    },
];
