#!/bin/sh
# Asks an agent and prints its reply as it arrives. Wants curl and jq.
#
#     ALM_KEY=alm_live_… sh ask.sh "What can you show me?"
set -eu

# A refusal is one line of JSON, a reply is lines of events.
jq -n --arg question "${1:-Hello}" '{messages: [{role: "user", content: $question}]}' |
  curl -sSN "${ALM_URL:-http://127.0.0.1:2560}/api/v1/chat" \
    -H "Authorization: Bearer $ALM_KEY" -H 'Content-Type: application/json' --data-binary @- |
  sed -un 's/^\(data: \)\{0,1\}{/{/p' |
  jq -rj --unbuffered '
    if .success == false then .error.message + "\n" | halt_error
    elif .type == "error" then .errorText + "\n" | halt_error
    elif .type == "text-delta" then .delta else empty end'
echo
