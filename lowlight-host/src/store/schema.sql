CREATE TABLE log (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  log_id BLOB NOT NULL,
  format INTEGER NOT NULL,
  size INTEGER NOT NULL,
  head BLOB NOT NULL,
  frontier BLOB NOT NULL
) STRICT;
CREATE TABLE entry (
  seq INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  leaf BLOB NOT NULL,
  fields BLOB,
  recorded INTEGER,
  occurred INTEGER,
  monotonic INTEGER,
  run INTEGER,
  clock INTEGER,
  id BLOB,
  severity INTEGER,
  app TEXT,
  environment TEXT,
  module TEXT,
  trace_id TEXT,
  span_id TEXT,
  parent_id TEXT,
  request_id TEXT,
  redactions INTEGER,
  redaction_kinds INTEGER,
  redaction_policy INTEGER,
  operation TEXT,
  provider TEXT,
  model TEXT,
  model_actual TEXT,
  model_digest TEXT,
  status TEXT,
  error_type TEXT,
  finish_reason TEXT,
  duration_ns INTEGER,
  ttft_ns INTEGER,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cached_tokens INTEGER,
  reasoning_tokens INTEGER,
  tokens_source INTEGER,
  attempt INTEGER,
  tier TEXT,
  cost_nano_usd INTEGER,
  rate_version TEXT,
  event_type TEXT,
  registered INTEGER,
  action TEXT,
  outcome TEXT,
  resource TEXT,
  auth_method TEXT,
  target TEXT,
  file TEXT,
  line INTEGER,
  function TEXT,
  reason INTEGER,
  lost INTEGER,
  lost_from INTEGER,
  lost_to INTEGER,
  event BLOB,
  raw BLOB
) STRICT;
CREATE INDEX entry_recorded ON entry (recorded);
CREATE INDEX entry_rules ON entry (seq) WHERE kind >= 6 AND kind <= 8;
CREATE TABLE content (
  id INTEGER PRIMARY KEY,
  salt BLOB NOT NULL,
  value TEXT
) STRICT;
CREATE TABLE node (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL
) STRICT;
CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  pid INTEGER NOT NULL,
  started INTEGER NOT NULL,
  stopped INTEGER,
  queue_bound INTEGER NOT NULL
) STRICT;
CREATE TABLE cursor (
  name TEXT NOT NULL UNIQUE,
  position INTEGER NOT NULL
) STRICT;
CREATE VIEW entries AS
SELECT seq,
  CASE kind WHEN 0 THEN 'open' WHEN 1 THEN 'inference' WHEN 2 THEN 'audit' WHEN 3 THEN 'log' WHEN 4 THEN 'lifecycle'
    WHEN 5 THEN 'gap' WHEN 6 THEN 'tombstone' WHEN 7 THEN 'policy' WHEN 8 THEN 'key_change' WHEN 9 THEN 'import'
    ELSE 'unknown' END AS kind,
  strftime('%Y-%m-%dT%H:%M:%S', recorded / 1000000000, 'unixepoch') || printf('.%03dZ', recorded / 1000000 % 1000) AS recorded,
  strftime('%Y-%m-%dT%H:%M:%S', occurred / 1000000000, 'unixepoch') || printf('.%03dZ', occurred / 1000000 % 1000) AS occurred,
  run,
  CASE clock WHEN 0 THEN 'unset' WHEN 1 THEN 'rtc' WHEN 2 THEN 'synchronised' END AS clock,
  CASE severity WHEN 0 THEN 'trace' WHEN 1 THEN 'debug' WHEN 2 THEN 'info' WHEN 3 THEN 'warn' WHEN 4 THEN 'error'
    WHEN 5 THEN 'fatal' END AS severity,
  app, environment, module, trace_id, span_id, parent_id, request_id, redactions,
  operation, provider, model, model_actual, model_digest, status, error_type, finish_reason,
  duration_ns / 1e6 AS latency_ms, ttft_ns / 1e6 AS ttft_ms,
  input_tokens, output_tokens, cached_tokens, reasoning_tokens,
  CASE tokens_source WHEN 0 THEN 'reported' WHEN 1 THEN 'derived' WHEN 2 THEN 'estimated' END AS tokens_source,
  attempt, tier, cost_nano_usd / 1e9 AS cost_usd, rate_version,
  event_type, action, outcome, resource, auth_method, target, file, line, function,
  CASE reason WHEN 0 THEN 'queue_full' WHEN 1 THEN 'sampled' WHEN 2 THEN 'disk_full' WHEN 3 THEN 'rejected'
    WHEN 4 THEN 'device_reset' END AS reason, lost,
  lower(hex(id)) AS id, lower(hex(leaf)) AS leaf
FROM entry;
CREATE VIEW contents AS
SELECT id >> 6 AS seq,
  CASE id & 63 WHEN 0 THEN 'prompt' WHEN 1 THEN 'response' WHEN 2 THEN 'message' WHEN 3 THEN 'attributes'
    WHEN 4 THEN 'actor' WHEN 5 THEN 'error' WHEN 6 THEN 'resource_id' WHEN 7 THEN 'before' WHEN 8 THEN 'after'
    WHEN 9 THEN 'correlation_id' WHEN 10 THEN 'session_id' WHEN 11 THEN 'actor_metadata' WHEN 12 THEN 'reason'
    ELSE (CASE WHEN id & 63 < 32 THEN 'field_' ELSE 'app_' END) || (id & 63) END AS field,
  value
FROM content;
