// A CDK application whose alias Crossfade moves. `cdk deploy` puts new code on $LATEST; then release.sh
// releases what is on $LATEST, with release.json.
import { App, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Alias, Code, Function, Runtime, Version } from "aws-cdk-lib/aws-lambda";
import { Alarm, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";

const stack = new Stack(new App(), "Chat");

const assistant = new Function(stack, "Assistant", {
  functionName: "chat-assistant",
  runtime: Runtime.PYTHON_3_13,
  handler: "app.handler",
  code: Code.fromAsset("src"),
});

// Not assistant.currentVersion, which is another one after each change and would move the alias.
// This one is published by the first deployment, and stays; the alias is made on it.
const first = new Version(stack, "FirstVersion", {
  lambda: assistant,
  removalPolicy: RemovalPolicy.RETAIN,
});
const live = new Alias(stack, "Live", { aliasName: "live", version: first });

new HttpApi(stack, "Api", { defaultIntegration: new HttpLambdaIntegration("Live", live) });

new Alarm(stack, "Errors", {
  alarmName: "chat-errors",
  metric: live.metricErrors({ period: Duration.minutes(1) }),
  evaluationPeriods: 1,
  threshold: 5,
  treatMissingData: TreatMissingData.NOT_BREACHING,
});
