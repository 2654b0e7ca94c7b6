//! Keys, tokens and passwords, the unseen half: measure with them, never tune on them.

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
            "Is ⟦*⟧ still valid? The service says no.",
            "user: use ⟦*⟧ for the request, it is my personal one",
            r#""credential": {"value": "⟦*⟧", "rotated": "⟦date⟧"}"#,
            "APP_KEY=⟦*⟧ cargo run --release",
            "set VENDOR_KEY=⟦*⟧",
            "settings:\n    key: \"⟦*⟧\"\n    model: ⟦model⟧",
            r#"session.headers.update({"X-Api-Key": "⟦*⟧"})"#,
            "⟦clock⟧ WARN fallback credential in use: ⟦*⟧",
            r#"wget --header="Authorization: Bearer ⟦*⟧" https://⟦host⟧/dump"#,
            r#"{\"credential\":\"⟦*⟧\",\"n\":⟦small⟧}"#,
            "I found this in a public gist: ⟦*⟧\nWhat should I do first?",
            r#"static KEY: &str = "⟦*⟧";"#,
            "- bad: **⟦*⟧**",
            "<secret>⟦*⟧</secret>",
            "panic: auth failed for \"⟦*⟧\"\n\ngoroutine 1 [running]:\nmain.main()",
            "La clé est ⟦*⟧ ; merci de la révoquer.",
            "@@ -1,2 +1,2 @@\n-key = None\n+key = \"⟦*⟧\"",
            "first ⟦*⟧ then ⟦*⟧",
        ],
    },
    // Openai.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "docker run -e OPENAI_API_KEY=⟦OPENAI_KEY⟧ chat-proxy:⟦semver⟧",
            r#"client = OpenAI(api_key="⟦OPENAI_KEY⟧", base_url="https://api.openai.com/v1")"#,
            "error: key ⟦OPENAI_KEY⟧ has no access to model ⟦model⟧",
        ],
    },
    // Anthropic.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "ANTHROPIC_API_KEY: ⟦ANTHROPIC_KEY⟧",
            r#"const a = new Anthropic({ apiKey: "⟦ANTHROPIC_KEY⟧" });"#,
            r#"{"type":"authentication_error","message":"invalid x-api-key ⟦ANTHROPIC_KEY⟧"}"#,
        ],
    },
    // Google.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "POST https://generativelanguage.googleapis.com/v1beta/models/gemini-pro:generateContent?key=⟦GOOGLE_KEY⟧",
            r#""current_key": "⟦GOOGLE_KEY⟧""#,
            r#"const firebaseConfig = { apiKey: "⟦GOOGLE_KEY⟧" };"#,
        ],
    },
    // Aws.
    Family {
        lines: 36,
        star: &[],
        templates: &[
            "provider \"aws\" {\n  access_key = \"⟦AWS_ID⟧\"\n  secret_key = \"⟦AWS_SECRET⟧\"\n}",
            "export AWS_ACCESS_KEY_ID=⟦AWS_ID⟧\nexport AWS_SECRET_ACCESS_KEY=⟦AWS_SECRET⟧",
            r#""aws_secret_access_key": "⟦AWS_SECRET⟧""#,
            "credentials: { accessKeyId: '⟦AWS_ID⟧', secretAccessKey: '⟦AWS_SECRET⟧' }",
            "  AWS_SECRET_ACCESS_KEY: ⟦AWS_SECRET⟧",
        ],
    },
    // Github.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "git push https://⟦user⟧:⟦GITHUB⟧@github.com/⟦user⟧/⟦word⟧",
            "echo ⟦GITHUB⟧ | docker login ghcr.io -u ⟦user⟧ --password-stdin",
            "Authorization: token ⟦GITHUB⟧",
        ],
    },
    // Gitlab.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "git clone https://oauth2:⟦GITLAB⟧@gitlab.⟦domain⟧/infra/⟦word⟧.git",
            "CI_JOB_TOKEN=⟦GITLAB⟧",
            r#"gitlab.Gitlab("https://gitlab.⟦domain⟧", private_token="⟦GITLAB⟧")"#,
        ],
    },
    // Slack.
    Family {
        lines: 14,
        star: &[],
        templates: &[r#"SLACK_TOKEN: "⟦SLACK⟧""#, "const web = new WebClient('⟦SLACK⟧');", "POST /api/chat.postMessage token=⟦SLACK⟧"],
    },
    // Slack, webhook.
    Family {
        lines: 24,
        star: &[],
        templates: &[
            "SLACK_WEBHOOK=⟦SLACK_WEBHOOK⟧",
            r#"requests.post("⟦SLACK_WEBHOOK⟧", json={"text": msg})"#,
            r#"{"url":"⟦SLACK_WEBHOOK⟧","retries":⟦small⟧}"#,
            "The bot posts to <⟦SLACK_WEBHOOK⟧> every morning.",
        ],
    },
    // Stripe.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "const stripe = require('stripe')('⟦STRIPE⟧');",
            "STRIPE_WEBHOOK_SECRET=⟦STRIPE⟧",
            "No such customer; request made with key ⟦STRIPE⟧",
        ],
    },
    // Huggingface.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            r#"login(token="⟦HUGGINGFACE⟧")"#,
            "export HUGGING_FACE_HUB_TOKEN=⟦HUGGINGFACE⟧",
            "401 Client Error: Repository not found, token ⟦HUGGINGFACE⟧",
        ],
    },
    // Npm.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            "npm config set //registry.npmjs.org/:_authToken ⟦NPM⟧",
            "NODE_AUTH_TOKEN: ⟦NPM⟧",
            "npm notice using token ⟦NPM⟧ for publish",
        ],
    },
    // Pypi.
    Family {
        lines: 14,
        star: &[],
        templates: &["poetry config pypi-token.pypi ⟦PYPI⟧", "hatch publish -u __token__ -a ⟦PYPI⟧", "password: ⟦PYPI⟧"],
    },
    // Twilio.
    Family {
        lines: 14,
        star: &[],
        templates: &[
            r#"twilio = Client("⟦TWILIO⟧", secret)"#,
            r#"curl -X GET "https://api.twilio.com/2010-04-01/Accounts.json" -u ⟦TWILIO⟧:$SECRET"#,
            "apiKeySid: '⟦TWILIO⟧'",
        ],
    },
    // Sendgrid.
    Family {
        lines: 14,
        star: &[],
        templates: &["sgMail.setApiKey('⟦SENDGRID⟧');", "SENDGRID_KEY: ⟦SENDGRID⟧", "the grid key ⟦SENDGRID⟧ has full access"],
    },
    // Telegram.
    Family {
        lines: 14,
        star: &[],
        templates: &["curl https://api.telegram.org/bot⟦TELEGRAM⟧/getMe", r#"telebot.TeleBot("⟦TELEGRAM⟧")"#, "telegram_token: ⟦TELEGRAM⟧"],
    },
    // Azure.
    Family {
        lines: 24,
        star: &[],
        templates: &[
            r#"AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=https;AccountName=⟦word⟧data;AccountKey=⟦AZURE⟧""#,
            r#"{"accountName":"⟦word⟧","accountKey":"⟦AZURE⟧"}"#,
            "export AZURE_STORAGE_ACCOUNT_KEY=⟦AZURE⟧",
            "BlobEndpoint=https://⟦word⟧.blob.core.windows.net/;AccountKey=⟦AZURE⟧;",
        ],
    },
    // Jwt.
    Family {
        lines: 36,
        star: &[],
        templates: &[
            "Set-Cookie: session_jwt=⟦JWT⟧; Path=/; HttpOnly",
            "what claims are in ⟦JWT⟧ ?",
            r#"{"access_token":"⟦JWT⟧","token_type":"Bearer"}"#,
            r#"-H "Authorization: Bearer ⟦JWT⟧""#,
            "WARN token expired ⟦ms⟧ ms ago: ⟦JWT⟧",
            "https://⟦host⟧/callback#id_token=⟦JWT⟧",
        ],
    },
    // Private, key.
    Family {
        lines: 50,
        star: &[],
        templates: &[
            "Is this key encrypted?\n\n⟦PRIVATE_KEY⟧",
            "ssh-add - <<EOK\n⟦PRIVATE_KEY⟧\nEOK",
            r#""arguments": {"filename":"server.key","content":"⟦PRIVATE_KEY_ESCAPED⟧"}"#,
            "  signing_key: |\n    ⟦PRIVATE_KEY_INDENTED⟧",
            "log start\n⟦PRIVATE_KEY⟧\nlog end",
            r#"KEY = """⟦PRIVATE_KEY⟧""""#,
            "SSH_KEY='⟦PRIVATE_KEY_ESCAPED⟧'",
        ],
    },
    // Authorization.
    Family {
        lines: 90,
        star: &[],
        templates: &[
            "proxied with authorization: Bearer ⟦BEARER⟧ (scope=write)",
            r#"http POST ⟦host⟧/v1/messages "Authorization:Bearer ⟦BEARER⟧" model=⟦model⟧"#,
            r#"headers = {"Authorization": "Bearer ⟦BEARER⟧"}"#,
            "POST /rpc HTTP/1.1\nAuthorization: Basic ⟦BASIC⟧\nContent-Length: ⟦int⟧",
            r#""authorization":"Basic ⟦BASIC⟧""#,
            "xhr.setRequestHeader('Authorization', 'Bearer ⟦BEARER⟧')",
            r#""request": "{\"headers\": {\"Authorization\": \"Bearer ⟦BEARER⟧\"}}""#,
            r#"curl -v --proxy-header "Proxy-Authorization: Basic ⟦BASIC⟧" https://⟦host⟧/"#,
            "⟦iso⟧ TRACE hyper headers: authorization: Bearer ⟦BEARER⟧",
            "wget --header 'Authorization: Basic ⟦BASIC⟧' http://⟦host⟧/backup.tar",
        ],
    },
    // Url, credentials.
    Family {
        lines: 80,
        star: &[],
        templates: &[
            "sqlalchemy.url = postgresql+psycopg2://⟦CREDENTIALS⟧@⟦host⟧/⟦word⟧",
            "OperationalError: mysql://⟦CREDENTIALS⟧@⟦host⟧:3306/⟦word⟧ refused",
            "wget https://⟦CREDENTIALS⟧@files.⟦domain⟧/export/⟦date⟧.csv",
            "celery -A app --broker amqp://⟦CREDENTIALS⟧@⟦host⟧//",
            "REDIS_URL=rediss://:⟦URL_PASSWORD⟧@⟦host⟧:6380/1",
            r#"MONGO_URI: "mongodb://⟦CREDENTIALS⟧@⟦host⟧:27017/?authSource=admin""#,
            "extra-index-url = https://⟦CREDENTIALS⟧@repo.⟦domain⟧/pypi",
            "why does ftp://⟦CREDENTIALS⟧@⟦host⟧/in time out after ⟦ms⟧ ms?",
        ],
    },
    // Assignment, env.
    Family {
        lines: 70,
        star: &["PASS", "PASS_WORD", "OPAQUE"],
        templates: &[
            "MYSQL_ROOT_PASSWORD=⟦*⟧",
            "export APP_SECRET=⟦*⟧",
            "PGPASSWORD=⟦*⟧ psql -h ⟦host⟧ -U ⟦user⟧",
            "JWT_SECRET=⟦*⟧\nPORT=3000",
            "kubectl create secret generic db --from-literal=password=⟦*⟧",
            "quarkus.mail.password=⟦*⟧",
            "auth_token=⟦*⟧",
            "ADMIN_PASS='⟦*⟧'",
            "passwd=⟦*⟧",
            r#"setx VAULT_PASSWORD "⟦*⟧""#,
        ],
    },
    // Assignment, json.
    Family {
        lines: 70,
        star: &["PASS", "PASS_QUOTED", "PASS_ESCAPED", "PASS_WORD", "OPAQUE"],
        templates: &[
            r#"{"login":"⟦user⟧","password":"⟦*⟧","otp":null}"#,
            r#""api_key": "⟦*⟧""#,
            r#"{"grant_type":"password","username":"⟦user⟧","password":"⟦*⟧"}"#,
            r#"{"name":"db_connect","input":{"host":"⟦host⟧","password": "⟦*⟧"}}"#,
            r#"{ "secret_key": "⟦*⟧", "region": "fsn1" }"#,
            r#""refresh_token" : "⟦*⟧","#,
            r#"{"ts":"⟦iso⟧","ctx":{"auth_token":"⟦*⟧"}}"#,
        ],
    },
    // Assignment, escaped.
    Family {
        lines: 30,
        star: &["PASS", "PASS_WORD", "OPAQUE"],
        templates: &[
            r#""function": {"arguments": "{\"host\":\"⟦host⟧\",\"passwd\":\"⟦*⟧\"}"}"#,
            r#"data='{\"client_secret\": \"⟦*⟧\"}'"#,
            r#""raw": "{\"secret\": \"⟦*⟧\", \"ttl\": 60}""#,
        ],
    },
    // Assignment, yaml.
    Family {
        lines: 50,
        star: &["PASS", "OPAQUE"],
        templates: &[
            "smtp:\n  user: ⟦user⟧\n  password: ⟦*⟧",
            "admin_password: '⟦*⟧'",
            "credentials:\n  client_secret: \"⟦*⟧\"",
            "password = ⟦*⟧",
            "tried with user ⟦user⟧ and password: ⟦*⟧",
            "[db]\npass = \"⟦*⟧\"\nname = \"⟦word⟧\"",
            "api_key: ⟦*⟧",
        ],
    },
    // Assignment, code.
    Family {
        lines: 40,
        star: &["PASS", "PASS_QUOTED", "OPAQUE"],
        templates: &[
            r#"psycopg.connect(dbname="⟦word⟧", password="⟦*⟧")"#,
            r#"var clientSecret = "⟦*⟧";"#,
            r#"PASSWORD: &str = "⟦*⟧""#,
            "self.password = '⟦*⟧'",
            "auth: { user: '⟦user⟧', password: '⟦*⟧' }",
            r#"String apiKey = "⟦*⟧"; // rotate on ⟦date⟧"#,
        ],
    },
    // Assignment, flag.
    Family {
        lines: 12,
        star: &["PASS", "OPAQUE"],
        templates: &["restic backup /srv --password=⟦*⟧", "vault login --token=⟦*⟧", "GET /feed?lang=en&access_token=⟦*⟧ HTTP/1.1"],
    },
];
