//! Personal data and network addresses, the tuning half.

use super::super::template::Family;

/// The families of this file.
pub const FAMILIES: &[Family] = &[
    // Email.
    Family {
        lines: 150,
        star: &[],
        templates: &[
            "Hi, could you forward the minutes to ⟦EMAIL⟧ before lunch?",
            "user: please draft a polite reply to ⟦EMAIL⟧ and copy ⟦EMAIL⟧",
            r#"{"tool":"send_mail","arguments":{"to":"⟦EMAIL⟧","subject":"Your booking ⟦order⟧"}}"#,
            "⟦iso⟧ INFO  smtp queued id=⟦uuid⟧ rcpt=<⟦EMAIL⟧> size=⟦big⟧",
            "From: \"⟦first⟧ ⟦last⟧\" <⟦EMAIL⟧>\nTo: support\nSubject: invoice question",
            "The customer wrote from ⟦EMAIL⟧.",
            "Contacts: ⟦EMAIL⟧, ⟦EMAIL⟧; ⟦EMAIL⟧",
            "| ⟦first⟧ | ⟦EMAIL⟧ | active | ⟦date⟧ |",
            "[write to us](mailto:⟦EMAIL⟧?subject=hello)",
            "Traceback (most recent call last):\n  File \"/srv/app/mail.py\", line ⟦int⟧, in send\nValueError: bounced address ⟦EMAIL⟧",
            "git log --author='⟦EMAIL⟧' --since=2.weeks --oneline",
            "commit ⟦sha1⟧\nAuthor: ⟦first⟧ ⟦last⟧ <⟦EMAIL⟧>\nDate:   ⟦date⟧",
            "Bitte schicken Sie die Unterlagen an ⟦EMAIL⟧, danke schön!",
            "SELECT id, plan FROM users WHERE email = '⟦EMAIL⟧' LIMIT 1;",
            "owner=⟦EMAIL⟧ region=eu-west-1 shard=⟦int⟧",
            "WARN rate limit for user:⟦EMAIL⟧ (model=⟦model⟧, ⟦int⟧ req/min)",
            r#"⟦first⟧,⟦EMAIL⟧,⟦date⟧,"⟦city⟧""#,
            "«Écrivez à ⟦EMAIL⟧ pour confirmer», dit-elle.",
            "(⟦EMAIL⟧)",
            "reply_to: ⟦EMAIL⟧\nretries: 3",
            "担当者のメールは⟦EMAIL⟧です。明日までに返信してください。",
            "Summarise this thread. The last message is by ⟦EMAIL⟧ on ⟦date⟧ at ⟦clock⟧.",
        ],
    },
    // Email, quoted.
    Family {
        lines: 30,
        star: &[],
        templates: &[
            "Delivery to ⟦EMAIL_QUOTED⟧ failed with 550 after ⟦ms⟧ ms",
            "The RFC allows addresses such as ⟦EMAIL_QUOTED⟧ and our customer really has that one.",
            "rcpt to:<⟦EMAIL_QUOTED⟧> accepted",
            "Is ⟦EMAIL_QUOTED⟧ a valid address? It is what the form sent us.",
        ],
    },
    // Email, unicode.
    Family {
        lines: 40,
        star: &["EMAIL_UNICODE", "EMAIL_IDN"],
        templates: &[
            "Please write to ⟦*⟧ in the local language.",
            r#"{"to": "⟦*⟧", "template": "welcome_v2"}"#,
            "⟦iso⟧ mailer: SMTPUTF8 required for ⟦*⟧",
            "Kundin erreichbar unter ⟦*⟧, bevorzugt vormittags.",
            "from=<⟦*⟧> nrcpt=1 (queue active)",
            "The signup form rejected ⟦*⟧ although the mailbox exists.",
        ],
    },
    // Phone.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "Call me at ⟦PHONE⟧ when the build is green.",
            r#"{"name":"⟦first⟧","phone":"⟦PHONE⟧","city":"⟦city⟧"}"#,
            "Text ⟦PHONE⟧ or ⟦PHONE⟧ if nobody answers the door",
            "⟦iso⟧ sms gateway accepted to=⟦PHONE⟧ parts=1 cost=0.04",
            "Tel: ⟦PHONE⟧\nFax: on request",
            "My WhatsApp is ⟦PHONE⟧, thanks!",
            "| mobile | ⟦PHONE⟧ |",
            "tool_result: contact ⟦first⟧ ⟦last⟧ → ⟦PHONE⟧",
            "Rufen Sie uns bitte unter ⟦PHONE⟧ an.",
            r#"send_sms(to="⟦PHONE⟧", body="Your table is ready")"#,
            "Appelez le ⟦PHONE⟧ avant midi, s'il vous plaît.",
        ],
    },
    // Phone, local.
    Family {
        lines: 60,
        star: &[],
        templates: &[
            "My phone number is ⟦PHONE_US⟧ and I'm usually home after six.",
            "phone: ⟦PHONE_US⟧",
            "Customer asked us to call ⟦PHONE_US⟧ about order ⟦order⟧",
            r#""contact_phone": "⟦PHONE_US⟧""#,
            "Telefon: ⟦PHONE_DE⟧",
            "Du erreichst mich mobil unter ⟦PHONE_DE⟧.",
            "Ring the office on ⟦PHONE_UK⟧, ask for ⟦first⟧",
            "mobile=⟦PHONE_UK⟧",
            "Téléphone : ⟦PHONE_FR⟧",
            "cell: ⟦PHONE_US⟧ (texts are fine)",
        ],
    },
    // Ssn.
    Family {
        lines: 60,
        star: &[],
        templates: &[
            "Applicant SSN ⟦SSN⟧, born ⟦date⟧",
            r#"{"ssn": "⟦SSN⟧", "state": "OH"}"#,
            "my social security number is ⟦SSN⟧, can you check the form?",
            "W-2 for ⟦first⟧ ⟦last⟧ — ⟦SSN⟧ — wages ⟦price⟧",
            "social security: ⟦SSN_SPACED⟧",
            "SSN=⟦SSN_PLAIN⟧",
            "⟦iso⟧ ERROR validation failed field=ssn value=⟦SSN⟧",
            "ssn,name\n⟦SSN⟧,⟦first⟧\n⟦SSN⟧,⟦first⟧",
            "The taxpayer id on line 3 reads ⟦SSN⟧.",
        ],
    },
    // Iban.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "Please transfer ⟦price⟧ to ⟦IBAN⟧ by Friday.",
            "IBAN: ⟦IBAN⟧",
            r#"{"creditor":{"name":"⟦company⟧","iban":"⟦IBAN⟧"},"amount":"⟦price⟧"}"#,
            "Überweise die Miete auf ⟦IBAN⟧ (Verwendungszweck ⟦order⟧).",
            "payout account=⟦IBAN⟧ currency=EUR batch=⟦uuid⟧",
            r#"Extract the account number from: "Konto ⟦IBAN⟧, BIC siehe Anlage""#,
            "| refund | ⟦IBAN⟧ | ⟦date⟧ |",
            "sepa.reject(iban='⟦IBAN⟧', code='AC04')",
            "Mon compte est le ⟦IBAN⟧.",
            "old: ⟦IBAN⟧\nnew: ⟦IBAN⟧",
        ],
    },
    // Card.
    Family {
        lines: 110,
        star: &[],
        templates: &[
            "Charge the card ⟦CARD⟧, exp 09/27.",
            r#"{"pan":"⟦CARD⟧","exp":"04/28","brand":"unknown"}"#,
            "my credit card number is ⟦CARD⟧ and it was declined twice",
            "⟦iso⟧ payment authorised card=⟦CARD⟧ amount=⟦price⟧ trace=⟦trace⟧",
            "Card: ⟦CARD⟧\nName: ⟦first⟧ ⟦last⟧\nExpires: 11/29",
            "The guest read ⟦CARD⟧ over the phone.",
            r#"test fixture uses "⟦CARD⟧" — is it a real number?"#,
            "Karte ⟦CARD⟧ wurde gesperrt",
            "| visa? | ⟦CARD⟧ | chargeback |",
            r#"tokenize("⟦CARD⟧")"#,
            "refund to ⟦CARD⟧ (order ⟦order⟧, invoice ⟦big⟧)",
        ],
    },
    // Ipv4.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "Failed password for root from ⟦IPV4⟧ port ⟦port⟧ ssh2",
            r#"⟦IPV4⟧ - - [05/Mar/2025:10:11:12 +0000] "GET /v1/models HTTP/1.1" 200 ⟦big⟧"#,
            "client=⟦IPV4⟧:⟦port⟧ upstream=⟦IPV4⟧:8080 rt=0.⟦int⟧",
            "Why can't I reach ⟦IPV4⟧ from the container?",
            r#"{"remote_addr":"⟦IPV4⟧","status":429,"model":"⟦model⟧"}"#,
            "ssh ubuntu@⟦IPV4⟧ -p ⟦port⟧",
            "curl -s http://⟦IPV4⟧:11434/api/tags | jq .",
            "X-Forwarded-For: ⟦IPV4⟧, ⟦IPV4⟧",
            "ping ⟦IPV4⟧: ⟦ms⟧ ms",
            "connect ECONNREFUSED ⟦IPV4⟧:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16)",
            "inet ⟦IPV4⟧/24 brd scope global eth0",
            "The camera sits on ⟦IPV4⟧, the printer on ⟦IPV4⟧.",
        ],
    },
    // Ipv6.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "Listening on [⟦IPV6⟧]:⟦port⟧",
            r#"⟦IPV6⟧ - - "POST /v1/chat/completions" 200 ⟦ms⟧ms"#,
            "ping6 ⟦IPV6⟧",
            r#"{"client_ip":"⟦IPV6⟧","latency_ms":⟦ms⟧}"#,
            "inet6 ⟦IPV6⟧ prefixlen 64 scopeid 0x⟦small⟧",
            "AAAA record of ⟦host⟧ is ⟦IPV6⟧",
            r#"curl -g "http://[⟦IPV6⟧]:8000/health""#,
            "refused connection from ⟦IPV6⟧ (acl deny-⟦int⟧)",
            "peer=⟦IPV6⟧ proto=h3 cc=DE",
            "route add ⟦IPV6⟧ dev wg0",
            "Our gateway answers at ⟦IPV6⟧, is that address public?",
        ],
    },
    // Mac.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "DHCPACK on the lab net to ⟦MAC⟧ via eth1",
            r#"{"device":"sensor-⟦small⟧","mac":"⟦MAC⟧","rssi":-⟦int⟧}"#,
            "link/ether ⟦MAC⟧ brd any",
            "Block ⟦MAC⟧ on the guest wifi, please.",
            "wlan0: authenticate with ⟦MAC⟧ (try 1/3)",
            "arp: ⟦MAC⟧ moved to port ⟦small⟧",
            "mac address ⟦MAC⟧ vlan ⟦int⟧",
        ],
    },
    // Mixed.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "Ticket ⟦big⟧: ⟦first⟧ ⟦last⟧, ⟦EMAIL⟧, tel ⟦PHONE⟧, paid with ⟦CARD⟧",
            r#"{"user":{"email":"⟦EMAIL⟧","ip":"⟦IPV4⟧"},"trace_id":"⟦trace⟧"}"#,
            "host ⟦MAC⟧ got ⟦IPV4⟧ and ⟦IPV6⟧ at ⟦clock⟧",
            "Kunde ⟦first⟧ ⟦last⟧, Mail ⟦EMAIL⟧, IBAN ⟦IBAN⟧",
            "SMTP_USER=⟦EMAIL⟧\nSMTP_PASSWORD=⟦PASS⟧\nSMTP_HOST=⟦host⟧",
            "login ok user=⟦EMAIL⟧ from ⟦IPV4⟧ via token ⟦GITHUB⟧",
            "applicant: ⟦EMAIL⟧ / SSN ⟦SSN⟧ / phone ⟦PHONE⟧",
            "OPENAI_API_KEY=⟦OPENAI_KEY⟧\nDATABASE_URL=postgres://⟦CREDENTIALS⟧@⟦host⟧/app",
        ],
    },
];
