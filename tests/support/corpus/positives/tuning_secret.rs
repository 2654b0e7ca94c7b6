//! Keys, tokens and passwords, the tuning half.

use super::super::template::Family;

/// The families of this file.
pub const FAMILIES: &[Family] = &[
    // Carrier.
    Family {
        lines: 352,
        star: &[
            "OPENAI_KEY",
            "ANTHROPIC_KEY",
            "GOOGLE_KEY",
            "AWS_ID",
            "GITHUB",
            "GITLAB",
            "SLACK",
            "STRIPE",
            "HUGGINGFACE",
            "NPM",
            "PYPI",
            "TWILIO",
            "SENDGRID",
            "TELEGRAM",
            "JWT",
        ],
        templates: &[
            "Why do I get 401 with ⟦*⟧ ?",
            "I pasted my key ⟦*⟧ by accident, is it leaked now?",
            r#"{"headers":{"x-api-key":"⟦*⟧"},"timeout":30}"#,
            "API_KEY=⟦*⟧",
            r#"export SERVICE_TOKEN="⟦*⟧""#,
            "  token: ⟦*⟧\n  region: eu-central-1",
            r#"client = Client(key="⟦*⟧", timeout=⟦int⟧)"#,
            "⟦iso⟧ ERROR upstream rejected credential ⟦*⟧ (request ⟦uuid⟧)",
            r#"curl -H "Authorization: Bearer ⟦*⟧" https://api.⟦domain⟧/v1/ping"#,
            r#""arguments": "{\"key\": \"⟦*⟧\", \"dry_run\": true}""#,
            "Here is my .env:\nMODEL=⟦model⟧\nKEY=⟦*⟧\nDEBUG=0",
            "const secret = '⟦*⟧';",
            "`⟦*⟧` does not work on staging",
            r#"<add key="apiKey" value="⟦*⟧" />"#,
            "Exception: invalid credential: ⟦*⟧\n    at Client.connect (client.js:⟦int⟧:⟦small⟧)",
            "Der Schlüssel lautet ⟦*⟧, bitte nicht weitergeben.",
            "diff --git a/.env b/.env\n-KEY=\n+KEY=⟦*⟧",
            "old=⟦*⟧ new=⟦*⟧",
        ],
    },
    // Openai.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "OPENAI_API_KEY=⟦OPENAI_KEY⟧ python run.py --model ⟦model⟧",
            r#"openai.api_key = "⟦OPENAI_KEY⟧""#,
            "Incorrect API key provided: ⟦OPENAI_KEY⟧. You can find your API key in the dashboard.",
        ],
    },
    // Anthropic.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "export ANTHROPIC_API_KEY=⟦ANTHROPIC_KEY⟧",
            "client = anthropic.Anthropic(api_key='⟦ANTHROPIC_KEY⟧')",
            "x-api-key: ⟦ANTHROPIC_KEY⟧\nanthropic-version: 2023-06-01",
        ],
    },
    // Google.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "https://maps.googleapis.com/maps/api/geocode/json?address=Berlin&key=⟦GOOGLE_KEY⟧",
            r#"GOOGLE_API_KEY: "⟦GOOGLE_KEY⟧""#,
            r#"genai.configure(api_key="⟦GOOGLE_KEY⟧")"#,
        ],
    },
    // Aws.
    Family {
        lines: 36,
        star: &[],
        templates: &[
            "[default]\naws_access_key_id = ⟦AWS_ID⟧\naws_secret_access_key = ⟦AWS_SECRET⟧",
            "AWS_ACCESS_KEY_ID=⟦AWS_ID⟧ AWS_SECRET_ACCESS_KEY=⟦AWS_SECRET⟧ aws s3 ls",
            r#"{"AccessKeyId":"⟦AWS_ID⟧","SecretAccessKey":"⟦AWS_SECRET⟧"}"#,
            "export AWS_SECRET_ACCESS_KEY='⟦AWS_SECRET⟧'",
            r#"boto3.client("s3", aws_access_key_id="⟦AWS_ID⟧", aws_secret_access_key="⟦AWS_SECRET⟧")"#,
        ],
    },
    // Github.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "git clone https://x-access-token:⟦GITHUB⟧@github.com/⟦company⟧/⟦word⟧.git",
            "GITHUB_TOKEN=⟦GITHUB⟧ gh pr list",
            "remote: Invalid username or password for token ⟦GITHUB⟧",
        ],
    },
    // Gitlab.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            r#"curl --header "PRIVATE-TOKEN: ⟦GITLAB⟧" "https://gitlab.⟦domain⟧/api/v4/projects""#,
            "GITLAB_TOKEN: ⟦GITLAB⟧",
            "glab auth login --token ⟦GITLAB⟧",
        ],
    },
    // Slack.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "SLACK_BOT_TOKEN=⟦SLACK⟧",
            r#"slack_sdk.WebClient(token="⟦SLACK⟧")"#,
            r#"{"ok":false,"error":"invalid_auth","provided":"⟦SLACK⟧"}"#,
        ],
    },
    // Slack, webhook.
    Family {
        lines: 24,
        star: &[],
        templates: &[
            r#"curl -X POST -d '{"text":"done"}' ⟦SLACK_WEBHOOK⟧"#,
            r#"webhook_url: "⟦SLACK_WEBHOOK⟧""#,
            r##"notify(channel="#ml", url="⟦SLACK_WEBHOOK⟧")"##,
            "Alertmanager posts to ⟦SLACK_WEBHOOK⟧ but nothing arrives.",
        ],
    },
    // Stripe.
    Family {
        lines: 14,
        star: &[],
        templates: &[r#"stripe.api_key = "⟦STRIPE⟧""#, "curl https://api.stripe.com/v1/charges -u ⟦STRIPE⟧:", "STRIPE_SECRET=⟦STRIPE⟧"],
    },
    // Huggingface.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "huggingface-cli login --token ⟦HUGGINGFACE⟧",
            "HF_TOKEN=⟦HUGGINGFACE⟧ python train.py",
            r#"snapshot_download("org/⟦word⟧", token="⟦HUGGINGFACE⟧")"#,
        ],
    },
    // Npm.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "//registry.npmjs.org/:_authToken=⟦NPM⟧",
            "NPM_TOKEN=⟦NPM⟧ npm publish --access public",
            "npm ERR! 403 for token ⟦NPM⟧",
        ],
    },
    // Pypi.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "[pypi]\nusername = __token__\npassword = ⟦PYPI⟧",
            "TWINE_PASSWORD=⟦PYPI⟧ twine upload dist/*",
            "uv publish --token ⟦PYPI⟧",
        ],
    },
    // Twilio.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "TWILIO_API_KEY=⟦TWILIO⟧",
            r#"Client(username="⟦TWILIO⟧", region="ie1")"#,
            "twilio key ⟦TWILIO⟧ was revoked on ⟦date⟧",
        ],
    },
    // Sendgrid.
    Family {
        lines: 14,
        star: &[],
        templates: &["SENDGRID_API_KEY='⟦SENDGRID⟧'", r#"sg = SendGridAPIClient("⟦SENDGRID⟧")"#, "Authorization: Bearer ⟦SENDGRID⟧"],
    },
    // Telegram.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "https://api.telegram.org/bot⟦TELEGRAM⟧/sendMessage?chat_id=⟦big⟧",
            "BOT_TOKEN=⟦TELEGRAM⟧",
            "Use this token to access the HTTP API: ⟦TELEGRAM⟧",
        ],
    },
    // Azure.
    Family {
        lines: 24,
        star: &[],
        templates: &[
            "DefaultEndpointsProtocol=https;AccountName=⟦word⟧store;AccountKey=⟦AZURE⟧;EndpointSuffix=core.windows.net",
            "AZURE_STORAGE_KEY=⟦AZURE⟧",
            r#""connectionString": "AccountName=⟦word⟧;AccountKey=⟦AZURE⟧""#,
            r#"az storage blob list --account-name ⟦word⟧ --account-key "⟦AZURE⟧""#,
        ],
    },
    // Jwt.
    Family {
        lines: 36,
        star: &[],
        templates: &[
            "Cookie: lang=de; jwt=⟦JWT⟧",
            "decode this for me please: ⟦JWT⟧",
            r#"{"id_token":"⟦JWT⟧","expires_in":3600}"#,
            "Authorization: Bearer ⟦JWT⟧",
            "jwt malformed? ⟦JWT⟧ was accepted yesterday",
            "ws://⟦host⟧/socket?jwt=⟦JWT⟧",
        ],
    },
    // Private, key.
    Family {
        lines: 50,
        star: &[],
        templates: &[
            "Here is the deploy key:\n⟦PRIVATE_KEY⟧\nCan you tell me its length?",
            "cat > id_rsa <<'EOT'\n⟦PRIVATE_KEY⟧\nEOT",
            r#"{"type":"service_account","private_key":"⟦PRIVATE_KEY_ESCAPED⟧\n","client_id":"⟦big⟧"}"#,
            "tls.key: |\n    ⟦PRIVATE_KEY_INDENTED⟧\ntls.port: 8443",
            "⟦PRIVATE_KEY⟧",
            "ERROR could not parse key ⟦PRIVATE_KEY⟧ (line ⟦small⟧)",
            r#"PRIVATE_KEY="⟦PRIVATE_KEY_ESCAPED⟧""#,
        ],
    },
    // Authorization.
    Family {
        lines: 90,
        star: &[],
        templates: &[
            "Authorization: Bearer ⟦BEARER⟧",
            "curl -H 'Authorization: Bearer ⟦BEARER⟧' http://⟦host⟧:8000/v1/models",
            r#"{"headers": {"Authorization": "Bearer ⟦BEARER⟧", "Accept": "application/json"}}"#,
            "> GET /admin HTTP/1.1\n> Host: ⟦host⟧\n> Authorization: Basic ⟦BASIC⟧\n> Accept: */*",
            r#"-H "authorization: basic ⟦BASIC⟧""#,
            r#"req.headers["Authorization"] = "Bearer ⟦BEARER⟧""#,
            r#""{\"authorization\":\"Bearer ⟦BEARER⟧\"}""#,
            "Proxy-Authorization: Basic ⟦BASIC⟧",
            r"DEBUG urllib3 send: b'POST /v1/embeddings HTTP/1.1\r\nAuthorization: Bearer ⟦BEARER⟧\r\n'",
            "fetch(url, { headers: { Authorization: 'Basic ⟦BASIC⟧' } })",
        ],
    },
    // Url, credentials.
    Family {
        lines: 80,
        star: &[],
        templates: &[
            "DATABASE_URL=postgres://⟦CREDENTIALS⟧@⟦host⟧:5432/⟦word⟧",
            "could not connect to mysql://⟦CREDENTIALS⟧@⟦host⟧/⟦word⟧?ssl=true",
            "git remote set-url origin https://⟦CREDENTIALS⟧@git.⟦domain⟧/team/⟦word⟧.git",
            r#""broker": "amqp://⟦CREDENTIALS⟧@⟦host⟧:5672/%2f""#,
            r#"redis.from_url("redis://:⟦URL_PASSWORD⟧@⟦host⟧:6379/0")"#,
            "mongodb+srv://⟦CREDENTIALS⟧@⟦host⟧/admin?retryWrites=true",
            "pip install --index-url https://⟦CREDENTIALS⟧@pypi.⟦domain⟧/simple ⟦word⟧",
            "proxy is http://⟦CREDENTIALS⟧@⟦host⟧:3128, works with curl",
        ],
    },
    // Assignment, env.
    Family {
        lines: 70,
        star: &["PASS", "PASS_WORD", "OPAQUE"],
        templates: &[
            "DB_PASSWORD=⟦*⟧",
            "export ADMIN_PASSWORD=⟦*⟧",
            "PASSWORD=⟦*⟧ ./migrate.sh --all",
            "SECRET_KEY=⟦*⟧\nDEBUG=false",
            "docker run -e POSTGRES_PASSWORD=⟦*⟧ -p 5432:5432 postgres:16",
            "spring.datasource.password=⟦*⟧",
            "client_secret=⟦*⟧",
            r#"API_TOKEN="⟦*⟧""#,
            "pwd=⟦*⟧",
            r#"$env:SMTP_PASSWORD = "⟦*⟧""#,
        ],
    },
    // Assignment, json.
    Family {
        lines: 70,
        star: &["PASS", "PASS_QUOTED", "PASS_ESCAPED", "PASS_WORD", "OPAQUE"],
        templates: &[
            r#"{"username": "⟦user⟧", "password": "⟦*⟧"}"#,
            r#"{"client_id":"⟦word⟧","client_secret":"⟦*⟧","scope":"read"}"#,
            r#""access_token": "⟦*⟧","#,
            r#"{"tool":"login","arguments":{"user":"⟦user⟧","password":"⟦*⟧","remember":true}}"#,
            r#"  "apiKey" : "⟦*⟧""#,
            r#"{"level":"debug","msg":"connect","db":{"host":"⟦host⟧","passwd":"⟦*⟧"}}"#,
            r#"{"auth": {"secret": "⟦*⟧"}, "stream": false}"#,
        ],
    },
    // Assignment, escaped.
    Family {
        lines: 30,
        star: &["PASS", "PASS_WORD", "OPAQUE"],
        templates: &[
            r#""arguments": "{\"username\": \"⟦user⟧\", \"password\": \"⟦*⟧\"}""#,
            r#"body="{\"api_key\":\"⟦*⟧\",\"n\":⟦small⟧}""#,
            r#"payload: {\"refresh_token\": \"⟦*⟧\"}"#,
        ],
    },
    // Assignment, yaml.
    Family {
        lines: 50,
        star: &["PASS", "OPAQUE"],
        templates: &[
            "database:\n  host: ⟦host⟧\n  password: ⟦*⟧\n  pool: ⟦small⟧",
            r#"password: "⟦*⟧""#,
            "auth:\n  api_key: '⟦*⟧'\n  retries: 2",
            r#"db_password = "⟦*⟧""#,
            "login failed, password: ⟦*⟧",
            "[mail]\nsmtp_pass = ⟦*⟧\nport = 587",
            "secret: ⟦*⟧",
        ],
    },
    // Assignment, code.
    Family {
        lines: 40,
        star: &["PASS", "PASS_QUOTED", "OPAQUE"],
        templates: &[
            r#"conn = connect(host="⟦host⟧", user="⟦user⟧", password="⟦*⟧")"#,
            r#"const apiKey = "⟦*⟧";"#,
            r#"let password = "⟦*⟧"; // only for local runs"#,
            "passwd = '⟦*⟧'",
            "new Client({ clientSecret: '⟦*⟧', retries: ⟦small⟧ })",
            r#"login(user="⟦user⟧", passwd="⟦*⟧", retries=2)"#,
        ],
    },
    // Assignment, flag.
    Family {
        lines: 12,
        star: &["PASS", "OPAQUE"],
        templates: &[
            "mysqldump --user=⟦user⟧ --password=⟦*⟧ --all-databases",
            "./sync --token ⟦*⟧ --dry-run",
            "POST /login?user=⟦user⟧&password=⟦*⟧ HTTP/1.1",
        ],
    },
];
