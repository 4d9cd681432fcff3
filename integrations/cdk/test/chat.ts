import { App, DefaultStackSynthesizer, Duration, Stack } from "aws-cdk-lib";
import { Alarm, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { Alias, Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
import { Bucket } from "aws-cdk-lib/aws-s3";
import { Role } from "aws-cdk-lib/aws-iam";

import { CrossfadeRelease, CrossfadeReleaseProps } from "../src";

/** What the stack of the tests is made with. */
export interface Chat {
  readonly functionName?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly memorySize?: number;
  readonly release?: Partial<CrossfadeReleaseProps>;
}

/** Returns a stack with a function, an alias on its current version, an alarm, and the release. */
export function chat(given: Chat = {}): { stack: Stack; release: CrossfadeRelease } {
  const stack = new Stack(new App(), "Chat", {
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
  });
  const assistant = new Function(stack, "Assistant", {
    functionName: given.functionName ?? "chat-assistant",
    runtime: Runtime.PROVIDED_AL2023,
    handler: "bootstrap",
    code: Code.fromBucket(Bucket.fromBucketName(stack, "Code", given.bucket ?? "artifacts"), given.key ?? "1.zip"),
    memorySize: given.memorySize ?? 256,
    role: Role.fromRoleArn(stack, "Role", "arn:aws:iam::000000000000:role/sample", { mutable: false }),
  });
  const alias = new Alias(stack, "Live", { aliasName: "production", version: assistant.currentVersion });
  const errors = new Alarm(stack, "Errors", {
    alarmName: `${given.functionName ?? "chat-assistant"}-errors`,
    metric: alias.metricErrors({ period: Duration.minutes(1) }),
    evaluationPeriods: 1,
    threshold: 5,
    treatMissingData: TreatMissingData.NOT_BREACHING,
  });
  const release = new CrossfadeRelease(stack, "Release", {
    alias,
    strategy: "Canary10Percent5Minutes",
    alarms: [errors],
    ...given.release,
  });
  return { stack, release };
}
