#!/usr/bin/env bash
# Starts a release and waits for its end.
#
#     release.sh STATE_MACHINE_ARN REQUEST_FILE [EXECUTION_NAME]
#
# Exits 0 when the execution SUCCEEDED, 1 when it ended otherwise, 2 when it could not be started,
# and 3 when its end could not be learned. Needs the AWS CLI and credentials, nothing else.
#
# With an EXECUTION_NAME a job that is run again while its release is going on waits for that one,
# instead of starting a second. A name cannot be used again for 90 days after its release.
#
# The release does not depend on this script: when the job dies, or its credentials expire, it goes on,
# and its alarms stay armed.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: release.sh STATE_MACHINE_ARN REQUEST_FILE [EXECUTION_NAME]" >&2
    exit 2
fi
machine=$1 request=$2 name=${3:-}
seconds=${POLL_SECONDS:-10}

execution=$(aws stepfunctions start-execution --state-machine-arn "$machine" \
    --input "file://$request" ${name:+--name "$name"} --query executionArn --output text) || exit 2
echo "$execution"

unread=0
while true; do
    if status=$(aws stepfunctions describe-execution --execution-arn "$execution" \
        --query status --output text); then
        unread=0
        [ "$status" = RUNNING ] || break
    else
        unread=$((unread + 1))
        if [ "$unread" -ge 5 ]; then
            echo "its end could not be learned; the release goes on without this job" >&2
            exit 3
        fi
    fi
    sleep "$seconds"
done

echo "$status"
# What the release says of itself: its output, or its error and Cause.
aws stepfunctions describe-execution --execution-arn "$execution" \
    --query '[error, output || cause]' --output text || true
[ "$status" = SUCCEEDED ]
