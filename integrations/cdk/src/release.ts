import { createHash } from "node:crypto";

import { CustomResource, Duration, Fn, Lazy, Names, RemovalPolicy, Stack, Token } from "aws-cdk-lib";
import { IAlarm } from "aws-cdk-lib/aws-cloudwatch";
import { Alias, CfnAlias, CfnFunction, CfnVersion } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

import { FunctionRequest, ReleaseRequest, SmokeTest, StrategyOrName } from "./request";

/** The export of the provider's stack, if that stack has the name of its documentation. */
const SERVICE_TOKEN = "crossfade-release-ServiceToken";

/** CloudFormation waits no longer for a custom resource. */
const MAX_TIMEOUT = Duration.hours(1);

/** What a {@link CrossfadeRelease} is made with. */
export interface CrossfadeReleaseProps {
  /** The alias whose traffic moves. Its version may be the function's `currentVersion`. */
  readonly alias: Alias;

  /** How traffic goes from the old version to the new one: a name, such as one of CodeDeploy's, or an object. */
  readonly strategy: StrategyOrName;

  /**
   * The alarms that return all traffic to the old version.
   *
   * @default none; the two versions are compared all the same
   */
  readonly alarms?: IAlarm[];

  /**
   * The application, as notices and the command line name it. One release of an application runs at a time.
   *
   * @default the function's path in the stack
   */
  readonly application?: string;

  /**
   * Invocations of the new version that must succeed before it gets traffic.
   *
   * @default none
   */
  readonly smokeTests?: SmokeTest[];

  /**
   * Fields of the function's entry in the request, such as `prewarm`.
   *
   * @default none
   */
  readonly functionRequest?: Omit<FunctionRequest, "functionName" | "alias" | "code" | "smokeTests">;

  /**
   * All other fields of the request. No operator is waited for in a stack's update, so `analysis.onInconclusive` is
   * `rollBack` if it is not given.
   *
   * @default none
   */
  readonly request?: Omit<ReleaseRequest, "action" | "application" | "functions" | "strategy">;

  /**
   * What is released, such as a commit: a new value starts a release. Required if the function is imported.
   *
   * @default a hash of the function's code and configuration
   */
  readonly revision?: string;

  /**
   * How long CloudFormation waits for the release, at most an hour. Then the release is stopped, and the update fails.
   *
   * @default an hour
   */
  readonly timeout?: Duration;

  /**
   * The ARN of the provider's function.
   *
   * @default the export `crossfade-release-ServiceToken` of the stack in integrations/cloudformation
   */
  readonly serviceToken?: string;
}

/**
 * Releases a function with Crossfade as part of the stack's update, which waits for the release and fails with it. Takes
 * the place of CodeDeploy's `LambdaDeploymentGroup`.
 *
 * The alias stays in the stack, and CloudFormation does not move it any more: its version is published once, whatever the
 * function's code. Crossfade publishes each new version and moves the alias to it.
 */
export class CrossfadeRelease extends Construct {
  /** How the release ended: `SUCCESSFUL` or `NO_CHANGE`. */
  public readonly deploymentStatus: string;

  /** The ARN of the execution that was the release. */
  public readonly executionArn: string;

  /** The application. */
  public readonly application: string;

  constructor(scope: Construct, id: string, props: CrossfadeReleaseProps) {
    super(scope, id);
    const { alias } = props;
    const stack = Stack.of(this);
    if (Stack.of(alias) !== stack) {
      throw new Error(`${this.node.path}: the alias is in another stack; expected it in ${stack.stackName}`);
    }
    const timeout = props.timeout ?? MAX_TIMEOUT;
    if (!timeout.isUnresolved() && (timeout.toSeconds() < 60 || timeout.toSeconds() > MAX_TIMEOUT.toSeconds())) {
      throw new Error(`${this.node.path}: timeout is ${timeout.toSeconds()} s; expected 60 to ${MAX_TIMEOUT.toSeconds()}`);
    }
    const cfnAlias = alias.node.defaultChild as CfnAlias;
    const cfnFunction = alias.lambda.node.defaultChild;
    const ownFunction = cfnFunction instanceof CfnFunction ? cfnFunction : undefined;
    if (!ownFunction && props.revision === undefined) {
      throw new Error(`${this.node.path}: the function is imported; expected a revision, as its code is not known here`);
    }

    pinVersion(alias, ownFunction);

    this.application =
      props.application ?? Names.uniqueResourceName(alias.lambda, { maxLength: 64, allowedSpecialCharacters: "-" });
    const request = {
      ...props.request,
      application: this.application,
      functions: [
        {
          functionName: alias.lambda.functionName,
          alias: alias.aliasName,
          ...(props.smokeTests && { smokeTests: props.smokeTests }),
          ...props.functionRequest,
        },
      ],
      strategy: props.strategy,
      analysis: {
        onInconclusive: "rollBack",
        ...props.request?.analysis,
        alarms: [...(props.alarms ?? []).map((alarm) => alarm.alarmName), ...(props.request?.analysis?.alarms ?? [])],
      },
    };

    const resource = new CustomResource(this, "Resource", {
      resourceType: "Custom::CrossfadeRelease",
      serviceToken: props.serviceToken ?? Fn.importValue(SERVICE_TOKEN),
      serviceTimeout: timeout,
      properties: {
        // Text, as CloudFormation makes text of every number in a custom resource's properties.
        Request: stack.toJsonString(request),
        Revision: props.revision ?? Lazy.uncachedString({ produce: () => hashOf(ownFunction!) }),
      },
    });
    // The release begins when all that it needs is as the template says.
    resource.node.addDependency(cfnAlias);
    if (ownFunction) {
      resource.node.addDependency(ownFunction);
    }
    for (const alarm of props.alarms ?? []) {
      if (alarm.node.defaultChild) {
        resource.node.addDependency(alarm.node.defaultChild);
      }
    }
    this.deploymentStatus = resource.getAttString("DeploymentStatus");
    this.executionArn = resource.getAttString("Execution");
  }
}

/**
 * Gives the version that the alias is made on a name that does not change with the code, so that CloudFormation
 * publishes it once and never moves the alias. It stays in Lambda when it leaves the stack.
 */
function pinVersion(alias: Alias, ownFunction: CfnFunction | undefined): void {
  const version = alias.version.node.defaultChild;
  if (!(version instanceof CfnVersion)) {
    if (!Token.isUnresolved(alias.version.version)) {
      return; // A number, which does not change either.
    }
    throw new Error(`${alias.node.path}: its version is not known here; expected a Version of this stack, or a number`);
  }
  version.applyRemovalPolicy(RemovalPolicy.RETAIN);
  if (ownFunction && alias.version.node.id === "CurrentVersion") {
    const stack = Stack.of(ownFunction);
    version.overrideLogicalId(
      Lazy.uncachedString({ produce: () => `${stack.resolve(ownFunction.logicalId)}CrossfadeVersion` }),
    );
  }
}

/** Returns a hash of the function as the template has it: its code, by the hash of its asset, and its configuration. */
function hashOf(resource: CfnFunction): string {
  const stack = Stack.of(resource);
  const template = (resource as unknown as { _toCloudFormation(): { Resources: object } })._toCloudFormation();
  const resources = stack.resolve(template).Resources as { [id: string]: { Properties: object } };
  const properties = Object.values(resources).map((one) => one.Properties);
  return createHash("sha256").update(JSON.stringify(properties)).digest("hex").slice(0, 32);
}
