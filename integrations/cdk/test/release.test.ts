import assert from "node:assert/strict";
import { test } from "node:test";

import { Duration, Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";
import { Alias, Function, Version } from "aws-cdk-lib/aws-lambda";

import { CrossfadeRelease } from "../src";
import { Chat, chat } from "./chat";

type Resources = { [id: string]: { Type: string; Properties: { [name: string]: any }; [name: string]: any } };

/** Returns the template's resources. */
function resources(given: Chat = {}): Resources {
  return Template.fromStack(chat(given).stack).toJSON().Resources;
}

/** Returns the one resource of a type, with its logical id. */
function only(all: Resources, type: string): Resources[string] & { id: string } {
  const found = Object.entries(all).filter(([, one]) => one.Type === type);
  assert.equal(found.length, 1, `${type}: ${found.length}`);
  return { id: found[0]![0], ...found[0]![1] };
}

/** Returns the request of the release; what CloudFormation fills in is between angle brackets. */
function request(all: Resources): any {
  const text = only(all, "Custom::CrossfadeRelease").Properties.Request;
  if (typeof text === "string") {
    return JSON.parse(text);
  }
  const parts: unknown[] = text["Fn::Join"][1];
  return JSON.parse(parts.map((part) => (typeof part === "string" ? part : `<${JSON.stringify(part).replaceAll('"', "'")}>`)).join(""));
}

test("new code changes neither alias nor version, and starts a release", () => {
  const [one, two] = [resources(), resources({ key: "2.zip" })];
  for (const type of ["AWS::Lambda::Alias", "AWS::Lambda::Version"]) {
    assert.deepEqual(only(one, type), only(two, type));
  }
  const [first, second] = [one, two].map((all) => only(all, "Custom::CrossfadeRelease").Properties);
  assert.notEqual(first!.Revision, second!.Revision);
  assert.deepEqual(first!.Request, second!.Request);
});

test("new configuration starts a release, and nothing new starts none", () => {
  const revision = (given: Chat) => only(resources(given), "Custom::CrossfadeRelease").Properties.Revision;
  assert.notEqual(revision({}), revision({ memorySize: 512 }));
  assert.equal(revision({}), revision({}));
  assert.equal(revision({ release: { revision: "abc" } }), "abc");
});

test("the version is published once, stays when it leaves the stack, and CodeDeploy is not used", () => {
  const all = resources();
  const version = only(all, "AWS::Lambda::Version");
  assert.equal(version.id, `${only(all, "AWS::Lambda::Function").id}CrossfadeVersion`);
  assert.equal(version.DeletionPolicy, "Retain");
  const alias = only(all, "AWS::Lambda::Alias");
  assert.deepEqual(alias.Properties.FunctionVersion, { "Fn::GetAtt": [version.id, "Version"] });
  assert.equal(alias.UpdatePolicy, undefined);
});

test("the release begins after all that it needs", () => {
  const all = resources();
  const ids = ["AWS::Lambda::Alias", "AWS::Lambda::Function", "AWS::CloudWatch::Alarm"].map((type) => only(all, type).id);
  assert.deepEqual([...only(all, "Custom::CrossfadeRelease").DependsOn].sort(), ids.sort());
});

test("the request has what was given, and rolls back what it cannot judge", () => {
  const made = request(
    resources({
      release: {
        application: "chat",
        smokeTests: [{ name: "health", payload: { path: "/health" } }],
        functionRequest: { prewarm: 2 },
        request: { analysis: { settleSeconds: 0, maxErrorRatePercent: 1 }, retention: { blueHours: 1 } },
      },
    }),
  );
  assert.equal(made.application, "chat");
  assert.equal(made.strategy, "Canary10Percent5Minutes");
  assert.equal(made.functions.length, 1);
  assert.deepEqual(made.functions[0].smokeTests, [{ name: "health", payload: { path: "/health" } }]);
  assert.equal(made.functions[0].prewarm, 2);
  assert.match(made.functions[0].functionName, /'Ref':'Assistant/);
  assert.equal(made.analysis.onInconclusive, "rollBack");
  assert.equal(made.analysis.maxErrorRatePercent, 1);
  assert.equal(made.analysis.alarms.length, 1);
  assert.deepEqual(made.retention, { blueHours: 1 });
  const held = request(resources({ release: { request: { analysis: { onInconclusive: "hold" } } } }));
  assert.equal(held.analysis.onInconclusive, "hold");
});

test("the application has a name that a request takes", () => {
  assert.match(chat().release.application, /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
});

test("the provider is the export of its stack, or the one that is given", () => {
  const template = Template.fromStack(chat().stack);
  template.hasResourceProperties("Custom::CrossfadeRelease", {
    ServiceToken: { "Fn::ImportValue": "crossfade-release-ServiceToken" },
    ServiceTimeout: "3600",
    Request: Match.anyValue(),
  });
  const token = "arn:aws:lambda:eu-west-1:123456789012:function:provider";
  const given = chat({ release: { serviceToken: token, timeout: Duration.minutes(10) } });
  Template.fromStack(given.stack).hasResourceProperties("Custom::CrossfadeRelease", { ServiceToken: token, ServiceTimeout: "600" });
});

test("a timeout that CloudFormation refuses is an error", () => {
  for (const timeout of [Duration.seconds(59), Duration.seconds(3601)]) {
    assert.throws(() => chat({ release: { timeout } }), /expected 60 to 3600/);
  }
});

test("an imported function needs a revision, and a fixed version stays as it is", () => {
  const stack = new Stack(undefined, "Other");
  const lambda = Function.fromFunctionName(stack, "Imported", "chat-assistant");
  const alias = new Alias(stack, "Live", { aliasName: "live", version: Version.fromVersionArn(stack, "One", `${lambda.functionArn}:1`) });
  assert.throws(() => new CrossfadeRelease(stack, "A", { alias, strategy: "AllAtOnce" }), /expected a revision/);
});

test("an alias of another stack is an error", () => {
  const { stack } = chat();
  const alias = stack.node.findChild("Live") as Alias;
  const other = new Stack(stack.node.root as any, "Elsewhere");
  assert.throws(() => new CrossfadeRelease(other, "A", { alias, strategy: "AllAtOnce" }), /in another stack/);
});
