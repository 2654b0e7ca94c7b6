#!/bin/sh
# Records a conversation from a shell, exports it, verifies the export, and shows that a changed export is caught.
#
#     LOWLIGHT=target/release/lowlight sh examples/shell_pipe.sh
#
# The binary is $LOWLIGHT, or `lowlight` in PATH.
set -eu
lowlight=${LOWLIGHT:-lowlight}
data=$(dirname "$0")/data/conversation.ndjson
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
LOWLIGHT_PATH=$folder/logs
export LOWLIGHT_PATH

echo "1. record"
"$lowlight" record < "$data"

echo "2. query"
"$lowlight" query --status error
"$lowlight" query --sql "SELECT model, count(*) AS n FROM entries WHERE kind = 'inference' GROUP BY model"

echo "3. export and verify"
"$lowlight" export --format ndjson --fail-on-tamper --out "$folder/export.ndjson"
"$lowlight" verify "$folder/export.ndjson" > "$folder/report"
head -n 1 "$folder/report" | sed "s|$folder/||"

echo "4. a changed copy"
sed 's/"status":"error"/"status":"ok"/' "$folder/export.ndjson" > "$folder/changed.ndjson"
if "$lowlight" verify "$folder/changed.ndjson" > "$folder/report"; then
    echo "the change went unnoticed" >&2
    exit 1
fi
sed "s|$folder/||" "$folder/report"
grep -q "entry 10: modified" "$folder/report"
