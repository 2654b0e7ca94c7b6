//! Personal data and network addresses, the unseen half: measure with them, never tune on them.

use super::super::template::Family;

/// The families of this file.
pub const FAMILIES: &[Family] = &[
    // Email.
    Family {
        lines: 150,
        star: &[],
        templates: &[
            "Can someone add ⟦EMAIL⟧ to the on-call rota?",
            "assistant: I have sent the summary to ⟦EMAIL⟧ and to ⟦EMAIL⟧.",
            r#"{"name":"create_contact","input":{"full_name":"⟦first⟧ ⟦last⟧","email":"⟦EMAIL⟧"}}"#,
            "⟦iso⟧ [mailer] delivered message=⟦md5⟧ to=⟦EMAIL⟧ dsn=2.0.0",
            "Reply-To: ⟦first⟧ <⟦EMAIL⟧>\nDate: ⟦date⟧\n\nHello team,",
            "Her new address is ⟦EMAIL⟧; the old one bounces.",
            "cc: ⟦EMAIL⟧;⟦EMAIL⟧",
            "- [ ] ping ⟦EMAIL⟧ about the contract",
            r#"<a href="mailto:⟦EMAIL⟧">⟦first⟧</a>"#,
            "KeyError: '⟦EMAIL⟧'\n  at users.py:⟦int⟧ in lookup",
            r#"git config user.email "⟦EMAIL⟧""#,
            "Signed-off-by: ⟦first⟧ ⟦last⟧ <⟦EMAIL⟧>",
            "Meine Adresse hat sich geändert: ⟦EMAIL⟧ (privat).",
            "INSERT INTO leads (mail, src) VALUES ('⟦EMAIL⟧', 'webinar');",
            "actor.id=⟦EMAIL⟧ action=export rows=⟦big⟧",
            "denied: ⟦EMAIL⟧ exceeded quota of ⟦big⟧ tokens on ⟦model⟧",
            "id;mail;since\n⟦int⟧;⟦EMAIL⟧;⟦date⟧",
            "Pourriez-vous répondre à ⟦EMAIL⟧ demain matin ?",
            r#"who is "⟦EMAIL⟧"?"#,
            "assignee: ⟦EMAIL⟧\npriority: high",
            "お問い合わせは⟦EMAIL⟧までお願いします。",
            r#"Translate to French: "Contact ⟦first⟧ (⟦EMAIL⟧) for the keys.""#,
        ],
    },
    // Email, quoted.
    Family {
        lines: 30,
        star: &[],
        templates: &[
            "⟦clock⟧ postfix: ⟦EMAIL_QUOTED⟧ has no mailbox here",
            "Does your validator accept ⟦EMAIL_QUOTED⟧ ? Mine does not.",
            "MAIL FROM:<⟦EMAIL_QUOTED⟧> BODY=8BITMIME",
            "row ⟦int⟧ skipped, odd address ⟦EMAIL_QUOTED⟧ in column 4",
        ],
    },
    // Email, unicode.
    Family {
        lines: 40,
        star: &["EMAIL_UNICODE", "EMAIL_IDN"],
        templates: &[
            "Invite ⟦*⟧ to the workspace as a viewer.",
            r#"{"event":"signup","mail":"⟦*⟧","plan":"free"}"#,
            "punycode conversion failed for ⟦*⟧ at ⟦clock⟧",
            "Schreib doch einfach an ⟦*⟧ wegen der Rechnung.",
            "RCPT TO:<⟦*⟧> SMTPUTF8",
            "user ⟦*⟧ opened ticket ⟦big⟧",
        ],
    },
    // Phone.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "If the alarm goes off, ring ⟦PHONE⟧ at once.",
            r#"{"type":"contact","mobile":"⟦PHONE⟧","verified":false}"#,
            "Two numbers on file: ⟦PHONE⟧ and ⟦PHONE⟧",
            "⟦iso⟧ voice: dialing ⟦PHONE⟧ codec=opus leg=⟦uuid⟧",
            "⟦first⟧ ⟦last⟧\n⟦company⟧\n⟦PHONE⟧",
            "Is ⟦PHONE⟧ a German number?",
            "reach her on ⟦PHONE⟧ (evenings)",
            "<tel>⟦PHONE⟧</tel>",
            "Meine Handynummer lautet ⟦PHONE⟧.",
            "verify_otp(phone='⟦PHONE⟧', ttl=300)",
            "Mon numéro : ⟦PHONE⟧.",
        ],
    },
    // Phone, local.
    Family {
        lines: 60,
        star: &[],
        templates: &[
            "You can reach my wife by phone at ⟦PHONE_US⟧ in the evening.",
            "Tel. ⟦PHONE_US⟧",
            "patient requests a phone call to ⟦PHONE_US⟧ before the visit",
            r#"{"phone_number":"⟦PHONE_US⟧"}"#,
            "Tel.: ⟦PHONE_DE⟧",
            "Handy ⟦PHONE_DE⟧, Büro geschlossen",
            "Our phone: ⟦PHONE_UK⟧ (weekdays)",
            "telephone=⟦PHONE_UK⟧",
            "Tél. ⟦PHONE_FR⟧",
            "fax: ⟦PHONE_US⟧",
        ],
    },
    // Ssn.
    Family {
        lines: 60,
        star: &[],
        templates: &[
            "Employee record: SSN ⟦SSN⟧, hired ⟦date⟧",
            r#""social_security_number": "⟦SSN⟧""#,
            "The caller verified with ⟦SSN⟧ and a date of birth.",
            "SSN on file for ⟦last⟧ is ⟦SSN⟧ (dept ⟦small⟧)",
            "SSN: ⟦SSN_SPACED⟧",
            r#""employee_ssn": "⟦SSN_PLAIN⟧""#,
            "WARN pii detected in prompt: ssn ⟦SSN⟧ model=⟦model⟧",
            "rows:\n- ⟦SSN⟧\n- ⟦SSN⟧",
            "Can you format ⟦SSN⟧ as a social security number?",
        ],
    },
    // Iban.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "The deposit goes to account ⟦IBAN⟧ at ⟦company⟧.",
            "iban=⟦IBAN⟧",
            r#"{"debtorAccount":{"iban":"⟦IBAN⟧"},"instructedAmount":{"amount":"⟦int⟧.00"}}"#,
            "Bitte Lastschrift von ⟦IBAN⟧ einziehen.",
            "⟦iso⟧ mandate created ref=⟦word⟧-⟦big⟧ iban ⟦IBAN⟧",
            r#"Is "⟦IBAN⟧" well formed?"#,
            "* ⟦first⟧: ⟦IBAN⟧",
            r#"assert not is_valid("⟦IBAN⟧")  # fails"#,
            "Virement vers ⟦IBAN⟧ effectué.",
            "from ⟦IBAN⟧ to ⟦IBAN⟧ amount ⟦price⟧",
        ],
    },
    // Card.
    Family {
        lines: 110,
        star: &[],
        templates: &[
            "I'd like to pay with ⟦CARD⟧ please, cvc follows.",
            r#""card_number": "⟦CARD⟧","#,
            "they billed ⟦CARD⟧ twice last month",
            "WARN pan in clear text: ⟦CARD⟧ route=/v1/checkout span=⟦span⟧",
            "number=⟦CARD⟧\nexpiry=07/26",
            "Agent: could you confirm the card ending? Customer: it's ⟦CARD⟧",
            "Does ⟦CARD⟧ pass the Luhn check?",
            "Kreditkarte: ⟦CARD⟧, gültig bis 12/28",
            "<cc>⟦CARD⟧</cc>",
            r#"charge(card="⟦CARD⟧", cents=⟦big⟧)"#,
            "credit ⟦CARD⟧ instead of ⟦CARD⟧, thanks",
        ],
    },
    // Ipv4.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "sshd[⟦big⟧]: Invalid user test from ⟦IPV4⟧",
            r#"nginx: ⟦IPV4⟧ "POST /api/generate" 499 ⟦ms⟧"#,
            "dial tcp ⟦IPV4⟧:443: i/o timeout",
            "Is ⟦IPV4⟧ on a block list?",
            r#"{"ip": "⟦IPV4⟧", "asn": ⟦big⟧, "country": "NL"}"#,
            "rsync -av ./out/ backup@⟦IPV4⟧:/srv/out",
            r#"base_url = "http://⟦IPV4⟧:8080/v1""#,
            "Real-IP ⟦IPV4⟧, proxy ⟦IPV4⟧",
            "A record: ⟦IPV4⟧ ttl 300",
            "OSError: [Errno 113] No route to host: ('⟦IPV4⟧', ⟦port⟧)",
            "nameserver ⟦IPV4⟧",
            "Der Rechner mit der Adresse ⟦IPV4⟧ antwortet nicht.",
        ],
    },
    // Ipv6.
    Family {
        lines: 100,
        star: &[],
        templates: &[
            "bound to [⟦IPV6⟧]:⟦port⟧ (tls)",
            r#""GET /metrics" from ⟦IPV6⟧ took ⟦ms⟧ ms"#,
            "traceroute to ⟦IPV6⟧, 30 hops max",
            r#"{"src":"⟦IPV6⟧","bytes":⟦big⟧}"#,
            "default via ⟦IPV6⟧ dev eth0 metric 1024",
            "dig: ⟦IPV6⟧ is the answer for ⟦host⟧",
            r#"ollama serve --host "[⟦IPV6⟧]:11434""#,
            "banned ⟦IPV6⟧ for ⟦int⟧ minutes",
            "addr=⟦IPV6⟧ state=REACHABLE",
            "allow ⟦IPV6⟧ to any port 22",
            "Which provider owns ⟦IPV6⟧ ?",
        ],
    },
    // Mac.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "new lease for ⟦MAC⟧ on vlan ⟦int⟧",
            r#"{"hwaddr":"⟦MAC⟧","name":"camera-⟦small⟧"}"#,
            "ether ⟦MAC⟧ txqueuelen 1000",
            "The printer's MAC is ⟦MAC⟧, add it to the allow list.",
            "hostapd: STA ⟦MAC⟧ deauthenticated",
            "switch port ⟦small⟧ learned ⟦MAC⟧",
            "wake-on-lan ⟦MAC⟧ sent",
        ],
    },
    // Mixed.
    Family {
        lines: 70,
        star: &[],
        templates: &[
            "New lead ⟦first⟧ ⟦last⟧: ⟦EMAIL⟧, ⟦PHONE⟧, card on file ⟦CARD⟧",
            r#"{"session":"⟦uuid⟧","login":"⟦EMAIL⟧","src":"⟦IPV6⟧"}"#,
            "neighbour ⟦IPV4⟧ lladdr ⟦MAC⟧, global ⟦IPV6⟧",
            "Rückzahlung an ⟦first⟧ ⟦last⟧ (⟦EMAIL⟧), Konto ⟦IBAN⟧",
            "user: ⟦EMAIL⟧\npassword: ⟦PASS⟧\nhost: ⟦host⟧",
            "push by ⟦EMAIL⟧ from ⟦IPV4⟧ used ⟦GITLAB⟧",
            "claimant ⟦SSN⟧, mail ⟦EMAIL⟧, phone ⟦PHONE⟧",
            "ANTHROPIC_API_KEY=⟦ANTHROPIC_KEY⟧\nREDIS_URL=redis://⟦CREDENTIALS⟧@⟦host⟧:6379",
        ],
    },
];
