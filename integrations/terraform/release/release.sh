#!/usr/bin/env bash
# Starts a release and waits for its end. Called by the module, with its variables in the environment.
#
# Exits 0 when the release succeeded, 1 when it ended otherwise, 2 when it was not started, and 3 when its end is not
# known: the release then continues, and the next `apply` waits for it. Needs the AWS CLI and credentials.
set -euo pipefail

machine=${CROSSFADE_STATE_MACHINE:?} request=${CROSSFADE_REQUEST:?} base=${CROSSFADE_NAME:?}
wait=${CROSSFADE_WAIT_SECONDS:?} poll=${CROSSFADE_POLL_SECONDS:?}
export AWS_PAGER=""
# The state machine is in this Region, whatever the environment says.
IFS=: read -r _ _ _ AWS_REGION _ <<<"$machine"
export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION
executions=${machine/:stateMachine:/:execution:}
execution= sleeping=

continues() {
    echo "$1; the release continues: $execution" >&2
    echo "the next apply waits for it; to return its traffic to blue:" >&2
    echo "    aws stepfunctions stop-execution --execution-arn $execution" >&2
    exit 3
}
stopped() {
    trap '' INT TERM
    [ -z "$sleeping" ] || kill "$sleeping" 2>/dev/null || true
    [ -n "$execution" ] || { echo "interrupted before a release was started" >&2; exit 2; }
    continues "interrupted"
}
trap stopped INT TERM

# Prints an execution's status; nothing if there is none of this name.
status_of() {
    local said
    if said=$(aws stepfunctions describe-execution --execution-arn "$1" --query status --output text 2>&1); then
        echo "$said"
    elif [[ $said != *ExecutionDoesNotExist* ]]; then
        echo "$said" >&2
        return 1
    fi
}

# The first name that is free, or the release that an earlier apply has left running. Names are kept for 90 days.
for nth in $(seq 1 100); do
    found=$(status_of "$executions:$base-$nth") || exit 2
    case $found in
    RUNNING)
        execution=$executions:$base-$nth
        echo "an earlier apply has started this release, which is still running"
        break
        ;;
    "")
        execution=$executions:$base-$nth
        aws stepfunctions start-execution --state-machine-arn "$machine" --name "$base-$nth" \
            --input "$request" --query executionArn --output text >/dev/null || exit 2
        break
        ;;
    esac
done
[ -n "$execution" ] || { echo "this release has failed 100 times in 90 days; change a trigger" >&2; exit 2; }
echo "$execution"

unread=0 until=$((SECONDS + wait))
while true; do
    if status=$(status_of "$execution"); then
        unread=0
        [ "$status" = RUNNING ] || break
    else
        unread=$((unread + 1))
        [ "$unread" -lt 5 ] || continues "the end of the release could not be read"
    fi
    [ "$SECONDS" -lt "$until" ] || continues "the release did not end within $((wait / 60)) minutes"
    # In the background, as a trap runs only after a command in the foreground.
    sleep "$poll" &
    sleeping=$!
    wait "$sleeping" || true
    sleeping=
done

echo "$status"
aws stepfunctions describe-execution --execution-arn "$execution" --query '[error, output || cause]' --output text || true
[ "$status" = SUCCEEDED ]
