//! What a redacted span was: fixed numbers for the bitmap, fixed names for the placeholder.
//!
//! Limits: at most 63 kinds, because an entry carries them as bits 0..=62 of one `u64`.
//! A number is never reused, a name is never changed: recordings of older versions keep their meaning.

/// The kind of a redacted span. The discriminant is the bit in [`Session::kinds`](super::Session::kinds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// An e-mail address.
    Email = 0,
    /// A telephone number.
    Phone = 1,
    /// A US social security number.
    Ssn = 2,
    /// An international bank account number (ISO 13616).
    Iban = 3,
    /// A payment card number.
    Card = 4,
    /// An IPv4 address.
    Ipv4 = 5,
    /// An IPv6 address.
    Ipv6 = 6,
    /// A hardware (MAC) address.
    Mac = 7,
    /// A UUID, only when the switch for it is on.
    Uuid = 8,
    /// The value of a secret assignment (`password=...`) or of a withheld key.
    Secret = 9,
    /// A private key block (PEM, OpenSSH, PGP).
    PrivateKey = 10,
    /// A JSON web token.
    Jwt = 11,
    /// The `user:password` part of a URL.
    UrlCredentials = 12,
    /// The credential of an `Authorization` header.
    Authorization = 13,
    /// A match of a rule from the configuration.
    Custom = 14,
    /// A text that could not be scanned, withheld as a whole.
    Withheld = 15,
    /// An `OpenAI` key.
    OpenaiKey = 16,
    /// An Anthropic key.
    AnthropicKey = 17,
    /// A Google API key or OAuth secret.
    GoogleKey = 18,
    /// An AWS access key id.
    AwsKeyId = 19,
    /// An AWS secret access key.
    AwsSecret = 20,
    /// A GitHub token.
    GithubToken = 21,
    /// A GitLab token.
    GitlabToken = 22,
    /// A Slack token.
    SlackToken = 23,
    /// A Slack webhook address.
    SlackWebhook = 24,
    /// A Stripe key or webhook secret.
    StripeKey = 25,
    /// A Hugging Face token.
    HuggingfaceToken = 26,
    /// An npm token.
    NpmToken = 27,
    /// A `PyPI` token.
    PypiToken = 28,
    /// A Twilio account or key id.
    TwilioKey = 29,
    /// A `SendGrid` key.
    SendgridKey = 30,
    /// A Telegram bot token.
    TelegramToken = 31,
    /// An Azure storage or shared access key.
    AzureKey = 32,
    /// A key of another vendor with a published prefix.
    ApiKey = 33,
}

impl Kind {
    /// Every kind, in the order of the discriminants.
    pub const ALL: [Kind; 34] = [
        Kind::Email,
        Kind::Phone,
        Kind::Ssn,
        Kind::Iban,
        Kind::Card,
        Kind::Ipv4,
        Kind::Ipv6,
        Kind::Mac,
        Kind::Uuid,
        Kind::Secret,
        Kind::PrivateKey,
        Kind::Jwt,
        Kind::UrlCredentials,
        Kind::Authorization,
        Kind::Custom,
        Kind::Withheld,
        Kind::OpenaiKey,
        Kind::AnthropicKey,
        Kind::GoogleKey,
        Kind::AwsKeyId,
        Kind::AwsSecret,
        Kind::GithubToken,
        Kind::GitlabToken,
        Kind::SlackToken,
        Kind::SlackWebhook,
        Kind::StripeKey,
        Kind::HuggingfaceToken,
        Kind::NpmToken,
        Kind::PypiToken,
        Kind::TwilioKey,
        Kind::SendgridKey,
        Kind::TelegramToken,
        Kind::AzureKey,
        Kind::ApiKey,
    ];

    /// The name used in placeholders: `[EMAIL_1]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Email => "EMAIL",
            Kind::Phone => "PHONE",
            Kind::Ssn => "SSN",
            Kind::Iban => "IBAN",
            Kind::Card => "CARD",
            Kind::Ipv4 => "IPV4",
            Kind::Ipv6 => "IPV6",
            Kind::Mac => "MAC",
            Kind::Uuid => "UUID",
            Kind::Secret => "SECRET",
            Kind::PrivateKey => "PRIVATE_KEY",
            Kind::Jwt => "JWT",
            Kind::UrlCredentials => "URL_CREDENTIALS",
            Kind::Authorization => "AUTHORIZATION",
            Kind::Custom => "CUSTOM",
            Kind::Withheld => "WITHHELD",
            Kind::OpenaiKey => "OPENAI_KEY",
            Kind::AnthropicKey => "ANTHROPIC_KEY",
            Kind::GoogleKey => "GOOGLE_KEY",
            Kind::AwsKeyId => "AWS_KEY_ID",
            Kind::AwsSecret => "AWS_SECRET",
            Kind::GithubToken => "GITHUB_TOKEN",
            Kind::GitlabToken => "GITLAB_TOKEN",
            Kind::SlackToken => "SLACK_TOKEN",
            Kind::SlackWebhook => "SLACK_WEBHOOK",
            Kind::StripeKey => "STRIPE_KEY",
            Kind::HuggingfaceToken => "HUGGINGFACE_TOKEN",
            Kind::NpmToken => "NPM_TOKEN",
            Kind::PypiToken => "PYPI_TOKEN",
            Kind::TwilioKey => "TWILIO_KEY",
            Kind::SendgridKey => "SENDGRID_KEY",
            Kind::TelegramToken => "TELEGRAM_TOKEN",
            Kind::AzureKey => "AZURE_KEY",
            Kind::ApiKey => "API_KEY",
        }
    }

    /// The kind's bit in the bitmap of an entry.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1u64 << (self as u8)
    }

    /// True when some kind has this placeholder name.
    pub(super) fn is_name(name: &[u8]) -> bool {
        Kind::ALL.iter().any(|kind| kind.name().as_bytes() == name)
    }
}
